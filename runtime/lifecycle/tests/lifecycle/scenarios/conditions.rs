//! The pod's conditions and the times of their changes.

use super::{ALWAYS, INIT, ONE, TWO};
use crate::harness::Scenario;

#[test]
fn conditions_stand_in_the_kubelets_order() {
    let conditions = Scenario::new(ONE).status().conditions.unwrap();
    let kinds: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(kinds, ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]);
}

#[test]
fn over_a_pods_life() {
    let mut pod = Scenario::new(INIT);
    let unready = "False ContainersNotReady: containers with unready status: [app]";
    pod.condition("PodScheduled", "True").condition("Ready", unready).condition("ContainersReady", unready);
    pod.condition("Initialized", "False ContainersNotInitialized: containers with incomplete status: [init]");
    pod.start().sandbox_created().condition("PodReadyToStartContainers", "True");
    pod.runs("init").exits("init", 0).condition("Initialized", "True").condition("Ready", unready);
    pod.runs("app").condition("Ready", "True").condition("ContainersReady", "True");
    pod.exits("app", 0).condition("Ready", "False PodCompleted").condition("ContainersReady", "False PodCompleted");
    pod.condition("Initialized", "True PodCompleted").condition("PodReadyToStartContainers", "False");
}

#[test]
fn a_failed_pod_is_not_ready() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").exits("app", 1).condition("Ready", "False PodFailed").condition("Initialized", "True");
}

#[test]
fn unready_containers_are_listed_in_order_of_declaration() {
    let mut pod = Scenario::up("{containers: [{name: z}, {name: a}, {name: m}]}");
    pod.pulled("z").pulled("a").started("a");
    pod.condition("Ready", "False ContainersNotReady: containers with unready status: [z m]");
}

#[test]
fn a_pod_without_init_containers_is_initialized() {
    Scenario::new(TWO).condition("Initialized", "True");
}

#[test]
fn a_condition_keeps_its_time_until_its_truth_changes() {
    let mut pod = Scenario::up("{containers: [{name: a}, {name: b}]}");
    pod.after(5).runs("a");
    assert_eq!(pod.changed_at("Ready"), 0, "another message is no change");
    pod.after(5).runs("b");
    assert_eq!((pod.changed_at("Ready"), pod.changed_at("ContainersReady")), (10, 10));
    pod.after(5).event(nacelle_lifecycle::Event::Tick);
    assert_eq!((pod.changed_at("Ready"), pod.changed_at("PodScheduled")), (10, 0));
    pod.after(5).exits("a", 1);
    assert_eq!(pod.changed_at("Ready"), 20);
}

#[test]
fn started_and_ready_follow_the_container() {
    let mut pod = Scenario::up(ALWAYS);
    let flags = |pod: &Scenario| (pod.container("app").started, pod.container("app").ready);
    assert_eq!(flags(&pod), (Some(false), false));
    pod.runs("app");
    assert_eq!(flags(&pod), (Some(true), true));
    pod.exits("app", 0);
    assert_eq!(flags(&pod), (Some(false), false));
}
