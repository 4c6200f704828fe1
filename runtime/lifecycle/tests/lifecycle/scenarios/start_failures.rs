//! Containers that cannot be created or started.

use super::{ALWAYS, ONE};
use crate::harness::Scenario;
use nacelle_lifecycle::StartFailure::{CreateContainerConfigError, CreateContainerError, RunContainerError};

#[test]
fn a_config_error_is_retried_with_back_off_whatever_the_policy() {
    let mut pod = Scenario::up(ONE);
    for (attempt, delay) in [10, 20, 40, 80, 160, 300, 300].into_iter().enumerate() {
        pod.ignore("pull").pulled("app").asks([&*format!("start app/{attempt}")]);
        pod.start_fails("app", CreateContainerConfigError, "configmap \"c\" not found");
        pod.shows("app", "waiting CreateContainerConfigError").waits_with("app", "configmap \"c\" not found");
        pod.phase("Pending").wakes_in(delay).asks(["pull app"]);
    }
}

#[test]
fn a_config_error_that_goes_away_lets_the_container_run() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("app").start_fails("app", CreateContainerConfigError, "missing").wakes_in(10);
    pod.runs("app").phase("Running").restarts("app", 0).last("app", "none");
}

#[test]
fn a_creation_error_is_told() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("app").start_fails("app", CreateContainerError, "disk full");
    pod.shows("app", "waiting CreateContainerError").said("Failed", "Warning: Error: disk full");
}

#[test]
fn a_program_that_cannot_run_ends_the_container_where_nothing_restarts() {
    let mut pod = Scenario::up(ONE);
    pod.pulled("app").ignore("start").start_fails("app", RunContainerError, "not a component");
    pod.shows("app", "terminated StartError 128").ends("Failed");
}

#[test]
fn a_program_that_cannot_run_crash_loops_under_always() {
    let mut pod = Scenario::up(ALWAYS);
    pod.pulled("app").ignore("start").start_fails("app", RunContainerError, "not a component").asks(["pull app"]);
    pod.pulled("app").start_fails("app", RunContainerError, "not a component").ignore("start");
    pod.shows("app", "waiting CrashLoopBackOff").last("app", "terminated StartError 128").wakes_in(10);
    pod.asks(["pull app"]);
}
