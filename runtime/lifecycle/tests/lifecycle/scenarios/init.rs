//! Init containers: in order, each to success.

use super::INIT;
use crate::harness::Scenario;
use nacelle_lifecycle::StartFailure;

#[test]
fn each_init_container_waits_for_the_success_of_the_one_before() {
    let mut pod = Scenario::new("{initContainers: [{name: i1}, {name: i2}], containers: [{name: app}]}");
    pod.start().sandbox_created().asks(["create sandbox", "pull i1"]);
    pod.runs("i1").asks(["start i1/0"]).after(100).exits("i1", 0).asks(["pull i2"]);
    pod.runs("i2").asks(["start i2/0"]).exits("i2", 0).asks(["pull app"]);
}

#[test]
fn apps_wait_as_pod_initializing() {
    let mut pod = Scenario::up(INIT);
    pod.runs("init").shows("init", "running").shows("app", "waiting PodInitializing").phase("Pending");
    pod.exits("init", 0).shows("init", "terminated Completed 0").shows("app", "waiting PodInitializing");
    assert!(pod.container("init").ready, "an init container is ready when it has succeeded");
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let mut pod = Scenario::up(INIT);
    pod.runs("init").ignore("start").exits("init", 1).shows("init", "terminated Error 1");
    pod.shows("app", "waiting PodInitializing").ends("Failed");
    pod.condition("Initialized", "False ContainersNotInitialized: containers with incomplete status: [init]");
}

#[test]
fn a_failed_init_container_is_retried_on_failure() {
    let mut pod = Scenario::up("{restartPolicy: OnFailure, initContainers: [{name: init}], containers: [{name: app}]}");
    pod.runs("init").ignore("start").exits("init", 1).asks(["pull init"]).runs("init").exits("init", 1);
    pod.asks(["start init/1"]).shows("init", "waiting CrashLoopBackOff").phase("Pending").restarts("init", 1);
    pod.wakes_in(10).asks(["pull init"]).runs("init").exits("init", 0).asks(["start init/2", "pull app"]);
    pod.shows("init", "terminated Completed 0").last("init", "terminated Error 1").restarts("init", 2);
}

#[test]
fn a_failed_init_container_is_retried_under_always() {
    let mut pod = Scenario::up("{initContainers: [{name: init}], containers: [{name: app}]}");
    pod.runs("init").ignore("start").exits("init", 1).asks(["pull init"]);
}

#[test]
fn an_init_container_that_succeeded_is_not_restarted_under_always() {
    let mut pod = Scenario::up("{initContainers: [{name: init}], containers: [{name: app}]}");
    pod.runs("init").exits("init", 0).runs("app").ignore("starts").exits("app", 0).asks(["pull app"]);
    pod.shows("init", "terminated Completed 0");
}

#[test]
fn a_later_init_container_that_fails_is_the_one_retried() {
    let mut pod = Scenario::up("{initContainers: [{name: i1}, {name: i2}], containers: [{name: app}]}");
    pod.runs("i1").exits("i1", 0).runs("i2").ignore("starts").exits("i2", 1).asks(["pull i2"]);
}

#[test]
fn an_init_program_that_cannot_run_fails_a_pod_that_never_restarts() {
    let mut pod = Scenario::up(INIT);
    pod.pulled("init").ignore("start").start_fails("init", StartFailure::RunContainerError, "no such file");
    pod.shows("init", "terminated StartError 128").ends("Failed");
}

#[test]
fn a_sidecar_is_stopped_when_a_later_init_container_fails_for_good() {
    let mut pod = Scenario::up(
        "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always}, {name: i}],
          containers: [{name: app}]}",
    );
    pod.runs("s").runs("i").ignore("starts").exits("i", 1).asks(["stop s/0 30s"]).phase("Pending");
    pod.exits("s", 143).ends("Failed");
}
