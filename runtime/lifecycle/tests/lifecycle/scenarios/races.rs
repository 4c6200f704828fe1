//! Reports that come late, early, twice, or about nothing.

use super::{ALWAYS, ONE};
use crate::harness::Scenario;
use nacelle_lifecycle::{Event, StartFailure};

#[test]
fn an_exit_before_its_start_was_reported() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("app").ignore("start").exits("app", 0).shows("app", "terminated Completed 0").started("app");
    pod.tells(["Scheduled", "Pulled app", "Created app", "Started app"]).ends("Succeeded");
}

#[test]
fn an_exit_before_its_start_lets_a_sidecars_successor_begin() {
    let mut pod = Scenario::up(super::SIDECARS);
    pod.pulled("s1").ignore("start").exits("s1", 1).asks(["pull s1", "pull s2"]);
}

#[test]
fn a_start_reported_twice() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").after(5).started("app").tells(["Scheduled", "Pulled app", "Created app", "Started app"]);
    pod.restarts("app", 0);
}

#[test]
fn an_exit_reported_twice() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").exits("app", 1).asks(["pull app"]).exits("app", 1).asks([]).pulled("app");
    pod.asks(["start app/1"]).exits_as("app", 0, 1).asks([]).started("app").exits_as("app", 0, 1).asks([]);
    pod.shows("app", "running");
}

#[test]
fn a_start_of_an_older_attempt() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").exits("app", 1).pulled("app").ignore("starts").started_as("app", 0).asks([]);
    pod.shows("app", "waiting ContainerCreating");
}

#[test]
fn a_report_of_an_attempt_that_was_never_asked_for() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").exits_as("app", 7, 0).shows("app", "running");
}

#[test]
fn an_image_reported_twice() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("app").ignore("start").pulled("app").pull_fails("app").asks([]);
}

#[test]
fn a_start_failure_after_the_start() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").start_fails("app", StartFailure::CreateContainerError, "late").shows("app", "running");
}

#[test]
fn a_container_that_the_pod_does_not_have() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("ghost").pull_fails("ghost").started_as("ghost", 0).exits_as("ghost", 0, 1).asks([]).phase("Pending");
}

#[test]
fn a_pull_that_nobody_asked_for() {
    let mut pod = Scenario::up(super::INIT);
    pod.pulled("app").asks([]).shows("app", "waiting PodInitializing");
}

#[test]
fn sandbox_reports_out_of_place() {
    let mut pod = Scenario::new(ONE);
    pod.sandbox_created().sandbox_removed().sandbox_failed("no").asks([]).start().asks(["create sandbox"]);
    pod.sandbox_removed().asks([]).sandbox_created().asks(["pull app"]).sandbox_created().sandbox_failed("no");
    pod.asks([]).condition("PodReadyToStartContainers", "True");
}

#[test]
fn a_second_start_of_the_pod() {
    let mut pod = Scenario::up("{activeDeadlineSeconds: 60, containers: [{name: app}]}");
    pod.after(20).start().asks([]).wakes_in(40);
}

#[test]
fn a_clock_that_goes_back_holds_time_and_breaks_nothing() {
    let mut pod = Scenario::up(ALWAYS);
    pod.after(100).runs("app").clock_goes_back(50).exits("app", 1).ignore("restart");
    let last = pod.container("app").last_state.unwrap().terminated.unwrap();
    assert_eq!(last.finished_at.unwrap().0.as_second(), 100);
    pod.runs("app").exits("app", 1).clock_goes_back(50).event(Event::Tick).wakes_in(110);
}

#[test]
fn a_container_that_ends_by_itself_while_it_is_being_stopped() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").ignore("start").delete().ignore("stop").exits("app", 0).ends("Succeeded");
}

#[test]
fn reports_after_the_end_change_nothing() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").ignore("start").exits("app", 0).ends("Succeeded");
    pod.pulled("app").started("app").exits("app", 1).sandbox_created().sandbox_removed().event(Event::Tick);
    pod.is_finished().phase("Succeeded").shows("app", "terminated Completed 0");
}
