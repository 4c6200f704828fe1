//! Restarts and their back-off.

use super::ALWAYS;
use crate::harness::Scenario;

/// Brings the container up and lets it end at once.
fn crash(pod: &mut Scenario) -> &mut Scenario {
    pod.runs("app").exits("app", 1)
}

#[test]
fn the_first_restart_is_at_once_and_the_later_ones_back_off_to_five_minutes() {
    let mut pod = Scenario::up(ALWAYS);
    crash(&mut pod).asks(["start app/0", "pull app"]);
    for delay in [10, 20, 40, 80, 160, 300, 300, 300] {
        crash(&mut pod).ignore("start").shows("app", "waiting CrashLoopBackOff");
        pod.wakes_in(delay).asks(["pull app"]);
    }
    pod.restarts("app", 8);
}

#[test]
fn the_waiting_message_names_delay_container_and_pod() {
    let mut pod = Scenario::up(ALWAYS);
    crash(&mut pod);
    crash(&mut pod).waits_with("app", "back-off 10s restarting failed container=app pod=web_default(u1)");
    pod.said("BackOff", "Warning: Back-off restarting failed container app in pod web_default(u1)");
    for delay in [10, 20, 40] {
        pod.wakes_in(delay);
        crash(&mut pod);
    }
    pod.waits_with("app", "back-off 1m20s restarting failed container=app pod=web_default(u1)");
}

#[test]
fn no_back_off_event_for_the_restart_at_once() {
    let mut pod = Scenario::up(ALWAYS);
    crash(&mut pod).tells(["Scheduled", "Pulled app", "Created app", "Started app"]);
    crash(&mut pod).tells(["Pulled app", "Created app", "Started app", "BackOff app"]);
}

#[test]
fn ten_minutes_of_running_reset_the_back_off() {
    let mut pod = Scenario::up(ALWAYS);
    crash(&mut pod);
    crash(&mut pod).wakes_in(10);
    crash(&mut pod).wakes_in(20);
    pod.runs("app").ignore("start").after(600).exits("app", 1).asks(["pull app"]);
    crash(&mut pod).wakes_in(10);
}

#[test]
fn a_second_less_than_ten_minutes_resets_nothing() {
    let mut pod = Scenario::up(ALWAYS);
    crash(&mut pod);
    crash(&mut pod).wakes_in(10);
    pod.runs("app").after(599).exits("app", 1).wakes_in(20);
}

#[test]
fn a_success_under_always_backs_off_too() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").exits("app", 0).runs("app").exits("app", 0).shows("app", "waiting CrashLoopBackOff");
    pod.last("app", "terminated Completed 0");
}

#[test]
fn a_tick_before_its_time_restarts_nothing() {
    let mut pod = Scenario::up(ALWAYS);
    crash(&mut pod);
    crash(&mut pod).ignore("starts").after(9).event(nacelle_lifecycle::Event::Tick).asks([]).wakes_in(1);
    pod.asks(["pull app"]);
}

#[test]
fn states_over_a_crash_and_a_restart() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").shows("app", "running").last("app", "none").restarts("app", 0);
    pod.exits("app", 1).shows("app", "waiting ContainerCreating").last("app", "terminated Error 1");
    pod.restarts("app", 0);
    pod.runs("app").shows("app", "running").last("app", "terminated Error 1").restarts("app", 1);
    pod.exits("app", 2).shows("app", "waiting CrashLoopBackOff").last("app", "terminated Error 2").restarts("app", 1);
}

#[test]
fn on_failure_leaves_a_success_alone_and_restarts_a_failure() {
    let mut pod = Scenario::up("{restartPolicy: OnFailure, containers: [{name: good}, {name: bad}]}");
    pod.runs("good").runs("bad").ignore("starts").exits("good", 0).asks([]).shows("good", "terminated Completed 0");
    pod.exits("bad", 1).asks(["pull bad"]).phase("Running").runs("bad").ignore("start");
    pod.exits("bad", 0).ends("Succeeded");
}

#[test]
fn on_failure_keeps_the_pod_running_through_back_off() {
    let mut pod = Scenario::up("{restartPolicy: OnFailure, containers: [{name: app}]}");
    crash(&mut pod);
    crash(&mut pod).phase("Running");
}

#[test]
fn each_container_has_its_own_back_off() {
    let mut pod = Scenario::up("{containers: [{name: other}, {name: app}]}");
    pod.runs("other");
    crash(&mut pod);
    crash(&mut pod).ignore("starts").exits("other", 1).asks(["pull other"]);
    pod.wakes_in(10).asks(["pull app"]);
}

#[test]
fn a_restart_count_counts_what_ran_and_not_what_was_asked() {
    let mut pod = Scenario::up(ALWAYS);
    pod.pulled("app");
    pod.start_fails("app", nacelle_lifecycle::StartFailure::CreateContainerError, "busy").restarts("app", 0);
    pod.wakes_in(10).runs("app").restarts("app", 0).exits("app", 1).runs("app").restarts("app", 1);
}
