//! Native sidecars (KEP-753).

use super::SIDECARS;
use crate::harness::Scenario;

/// Both sidecars and the app run.
fn running() -> Scenario {
    let mut pod = Scenario::up(SIDECARS);
    pod.runs("s1").runs("s2").runs("app").ignore("starts").phase("Running");
    pod
}

#[test]
fn a_sidecar_lets_the_next_begin_once_it_has_started() {
    let mut pod = Scenario::new(SIDECARS);
    pod.start().sandbox_created().asks(["create sandbox", "pull s1"]);
    pod.pulled("s1").asks(["start s1/0"]).started("s1").asks(["pull s2"]);
    pod.runs("s2").asks(["start s2/0", "pull app"]).phase("Pending");
    pod.condition("Initialized", "True");
}

#[test]
fn sidecars_stop_last_and_in_reverse_order() {
    let mut pod = running();
    pod.exits("app", 0).asks(["stop s2/0 30s"]).phase("Running");
    pod.after(4).exits("s2", 0).asks(["stop s1/0 26s"]);
    pod.exits("s1", 0).ends("Succeeded");
}

#[test]
fn a_sidecars_exit_code_does_not_matter_to_the_phase() {
    let mut pod = running();
    pod.exits("app", 0).exits("s2", 137).exits("s1", 1).ignore("stops").phase("Succeeded");
}

#[test]
fn a_sidecar_is_restarted_whatever_the_policy() {
    let mut pod = running();
    pod.exits("s1", 0).asks(["pull s1"]).phase("Running").runs("s1").asks(["start s1/1"]);
    pod.exits("s1", 1).shows("s1", "waiting CrashLoopBackOff").wakes_in(10).asks(["pull s1"]);
}

#[test]
fn a_sidecar_that_crashes_does_not_hold_back_its_successors() {
    let mut pod = Scenario::up(SIDECARS);
    pod.runs("s1").ignore("starts").exits("s1", 1).asks(["pull s1"]).runs("s2").asks(["start s2/0", "pull app"]);
}

#[test]
fn a_sidecar_that_never_started_holds_back_its_successors() {
    let mut pod = Scenario::up(SIDECARS);
    pod.pulled("s1").ignore("start");
    pod.start_fails("s1", nacelle_lifecycle::StartFailure::RunContainerError, "no such file").asks(["pull s1"]);
    pod.phase("Pending")
        .condition("Initialized", "False ContainersNotInitialized: containers with incomplete status: [s1 s2]");
}

#[test]
fn a_sidecar_in_back_off_is_not_restarted_when_the_apps_have_ended() {
    let mut pod = running();
    pod.exits("s1", 1).runs("s1").exits("s1", 1).ignore("restart").exits("app", 0).asks(["stop s2/0 30s"]);
    pod.shows("s1", "terminated Error 1").sleeps().exits("s2", 0).ends("Succeeded");
}

#[test]
fn a_sidecar_that_ends_while_the_apps_stop_is_not_restarted() {
    let mut pod = running();
    pod.delete().asks(["stop app/0 30s"]).exits("s1", 0).exits("s2", 0).asks([]).exits("app", 0).ends("Succeeded");
}

#[test]
fn on_delete_the_apps_stop_first_and_sidecars_share_what_is_left_of_the_period() {
    let mut pod = running();
    pod.delete().asks(["stop app/0 30s"]).after(10).exits("app", 0).asks(["stop s2/0 20s"]);
    pod.after(20).exits("s2", 137).asks(["stop s1/0 2s"]).exits("s1", 0).ends("Succeeded");
}

#[test]
fn a_sidecar_stops_even_while_another_one_is_starting() {
    let mut pod = Scenario::up(SIDECARS);
    pod.runs("s1").pulled("s2").ignore("starts").delete().asks(["stop s2/0 30s"]).started("s2").asks([]);
    pod.exits("s2", 143).asks(["stop s1/0 30s"]).exits("s1", 143).ends("Failed");
}

#[test]
fn a_sidecar_is_ready_while_it_runs_and_counts_for_readiness() {
    let mut pod = running();
    pod.condition("Ready", "True").exits("s1", 1);
    pod.condition("Ready", "False ContainersNotReady: containers with unready status: [s1]");
    pod.condition("Initialized", "True").runs("s1").condition("Ready", "True");
}

#[test]
fn a_delete_shortens_the_period_of_sidecars_that_are_stopping() {
    let mut pod = running();
    pod.exits("app", 0).asks(["stop s2/0 30s"]).delete_within(5).asks(["stop s2/0 5s"]);
    pod.exits("s2", 0).asks(["stop s1/0 5s"]).exits("s1", 0).ends("Succeeded");
}
