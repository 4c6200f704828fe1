//! The sandbox: made, retried, removed.

use super::ONE;
use crate::harness::Scenario;

#[test]
fn a_failed_sandbox_is_retried_with_back_off() {
    let mut pod = Scenario::new(ONE);
    pod.start().asks(["create sandbox"]);
    for delay in [10, 20, 40, 80, 160, 300, 300] {
        pod.sandbox_failed("port 80 in use").asks([]).phase("Pending").shows("app", "waiting ContainerCreating");
        pod.wakes_in(delay).asks(["create sandbox"]);
    }
    pod.sandbox_created().asks(["pull app"]);
}

#[test]
fn a_failed_sandbox_is_told() {
    let mut pod = Scenario::new(ONE);
    pod.start().sandbox_failed("port 80 in use");
    pod.said("FailedCreatePodSandBox", "Warning: Failed to create pod sandbox: port 80 in use");
}

#[test]
fn nothing_is_pulled_before_the_sandbox_stands() {
    let mut pod = Scenario::new(ONE);
    pod.start().asks(["create sandbox"]).event(nacelle_lifecycle::Event::Tick).asks([]);
    pod.condition("PodReadyToStartContainers", "False").sandbox_created();
    pod.condition("PodReadyToStartContainers", "True");
}

#[test]
fn addresses_stay_in_the_status_after_the_end() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").exits("app", 0).sandbox_removed();
    assert_eq!(pod.status().pod_ip.as_deref(), Some("10.0.0.7"));
}
