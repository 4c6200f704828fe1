//! Deletion, in each state that it can meet.

use super::{ALWAYS, INIT, ONE, SIDECARS, TWO};
use crate::harness::Scenario;
use nacelle_lifecycle::StartFailure;

#[test]
fn before_the_start() {
    let mut pod = Scenario::new(ONE);
    pod.delete().is_finished().phase("Failed").start().is_finished();
}

#[test]
fn during_sandbox_creation() {
    let mut pod = Scenario::new(ONE);
    pod.start().ignore("create").delete().asks([]).is_not_finished().sandbox_created().ends("Failed");
}

#[test]
fn during_sandbox_creation_that_fails() {
    let mut pod = Scenario::new(ONE);
    pod.start().ignore("create").delete().sandbox_failed("no").is_finished().phase("Failed").sleeps();
}

#[test]
fn during_sandbox_back_off() {
    let mut pod = Scenario::new(ONE);
    pod.start().ignore("create").sandbox_failed("no").delete().is_finished().sleeps();
}

#[test]
fn during_a_pull() {
    let mut pod = Scenario::up(ONE);
    pod.delete().asks(["remove sandbox"]).pulled("app").asks([]).sandbox_removed().is_finished();
    pod.phase("Failed").shows("app", "terminated ContainerStatusUnknown 137");
}

#[test]
fn during_pull_back_off() {
    let mut pod = Scenario::up(ONE);
    pod.pull_fails("app").pull_error_fades().delete().sleeps().ends("Failed");
}

#[test]
fn during_a_start_that_succeeds() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("app").ignore("start").delete().asks(["stop app/0 30s"]).started("app").asks([]);
    pod.shows("app", "running").exits("app", 143).ends("Failed");
}

#[test]
fn during_a_start_that_fails() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("app").ignore("start").delete().ignore("stop");
    pod.start_fails("app", StartFailure::CreateContainerError, "given up").ends("Failed");
}

#[test]
fn while_running() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").delete().asks(["stop app/0 30s"]).phase("Running").condition("Ready", "True");
    pod.exits("app", 0).shows("app", "terminated Completed 0").ends("Succeeded");
}

#[test]
fn a_container_that_is_killed_fails_the_pod() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").delete().ignore("stop").after(30).exits("app", 137).ends("Failed");
}

#[test]
fn during_crash_loop_back_off() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").exits("app", 1).runs("app").exits("app", 2).ignore("restarts").delete().sleeps().ends("Failed");
    pod.shows("app", "terminated Error 2").last("app", "terminated Error 1").restarts("app", 1);
}

#[test]
fn during_the_pull_before_a_restart() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").exits("app", 1).ignore("pull").delete().shows("app", "terminated Error 1").ends("Failed");
}

#[test]
fn during_init() {
    let mut pod = Scenario::up(INIT);
    pod.runs("init").ignore("start").delete().asks(["stop init/0 30s"]).exits("init", 0).asks(["remove sandbox"]);
    pod.sandbox_removed().is_finished().phase("Failed");
}

#[test]
fn before_the_first_init_container_ran() {
    let mut pod = Scenario::up(INIT);
    pod.delete().ends("Failed");
    pod.shows("init", "terminated ContainerStatusUnknown 137").shows("app", "waiting PodInitializing");
}

#[test]
fn all_apps_stop_together() {
    let mut pod = Scenario::up(TWO);
    pod.runs("a").runs("b").ignore("starts").delete().asks(["stop a/0 30s", "stop b/0 30s"]);
    pod.exits("b", 0).asks([]).is_not_finished().exits("a", 0).ends("Succeeded");
}

#[test]
fn while_one_app_has_ended_already() {
    let mut pod = Scenario::up(TWO);
    pod.runs("a").runs("b").ignore("starts").exits("a", 0).delete().asks(["stop b/0 30s"]).exits("b", 0);
    pod.ends("Succeeded");
}

#[test]
fn the_period_of_the_pod_holds_when_the_request_names_none() {
    let mut pod = Scenario::up("{terminationGracePeriodSeconds: 7, containers: [{name: app}]}");
    pod.runs("app").ignore("start").delete().asks(["stop app/0 7s"]);
}

#[test]
fn the_period_of_the_request_holds_over_the_pods() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").delete_within(90).asks(["stop app/0 90s"]);
}

#[test]
fn a_second_delete_shortens() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").delete().ignore("stop").after(3).delete_within(5).asks(["stop app/0 5s"]);
    pod.tells(["Scheduled", "Pulled app", "Created app", "Started app", "Killing app"]);
}

#[test]
fn a_second_delete_does_not_lengthen() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").delete_within(5).ignore("stop").after(3).delete_within(5).asks([]).delete();
    pod.asks([]);
}

#[test]
fn a_period_of_zero_kills_everything_at_once() {
    let mut pod = Scenario::up(SIDECARS);
    pod.runs("s1").runs("s2").runs("app").ignore("starts").delete_within(0);
    pod.asks(["stop s1/0 0ns", "stop s2/0 0ns", "stop app/0 0ns"]);
    pod.exits("s1", 137).exits("app", 137).asks([]).exits("s2", 137).ends("Failed");
}

#[test]
fn a_second_delete_with_zero_kills_what_is_left() {
    let mut pod = Scenario::up(SIDECARS);
    pod.runs("s1").runs("s2").runs("app").ignore("starts").delete().asks(["stop app/0 30s"]);
    pod.delete_within(0).asks(["stop s1/0 0ns", "stop s2/0 0ns", "stop app/0 0ns"]);
}

#[test]
fn after_the_end_it_changes_nothing() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").ignore("start").exits("app", 0).delete().ends("Succeeded").delete().is_finished();
    pod.phase("Succeeded");
}
