//! A pod that has to wait for room, that gets none, or that has to make some.

use super::{ALWAYS, ONE, SIDECARS};
use crate::harness::Scenario;
use nacelle_lifecycle::{Event, Rejection};

const FULL: &str = "0/1 nodes are available: 1 Insufficient cpu.";

fn full() -> Event {
    Event::Unschedulable { message: FULL.into(), nominated_node: None }
}

fn preempt() -> Event {
    Event::Preempt { preemptor: "u2".into(), scheduler: "default-scheduler".into() }
}

#[test]
fn a_pod_without_room_is_pending_and_shows_no_containers() {
    let mut pod = Scenario::new(SIDECARS);
    pod.event(full()).phase("Pending").condition("PodScheduled", &format!("False Unschedulable: {FULL}"));
    pod.said("FailedScheduling", &format!("Warning: {FULL}")).asks([]).has_no_condition("Ready").sleeps();
    let status = pod.status();
    assert_eq!((status.container_statuses, status.init_container_statuses, status.start_time), (None, None, None));
    pod.start().asks(["create sandbox"]).condition("PodScheduled", "True").shows("app", "waiting PodInitializing");
}

#[test]
fn the_same_words_are_said_once() {
    let mut pod = Scenario::new(ONE);
    pod.event(full()).event(full()).tells(["FailedScheduling"]);
    pod.event(Event::Unschedulable { message: "1 Too many pods".into(), nominated_node: None });
    pod.tells(["FailedScheduling"]);
}

#[test]
fn a_pod_for_which_others_leave_knows_its_node() {
    let mut pod = Scenario::new(ONE);
    pod.event(Event::Unschedulable { message: FULL.into(), nominated_node: Some("here".into()) });
    assert_eq!(pod.status().nominated_node_name.as_deref(), Some("here"));
    pod.start().ignore("create sandbox");
    assert_eq!(pod.status().nominated_node_name, None);
}

#[test]
fn a_pod_that_waits_can_be_deleted() {
    let mut pod = Scenario::new(ONE);
    pod.event(full()).delete().is_finished().phase("Failed").start().is_finished();
    assert_eq!(pod.status().container_statuses, None);
}

#[test]
fn a_pod_that_runs_has_room() {
    let mut pod = Scenario::up(ONE);
    pod.event(full()).condition("PodScheduled", "True").runs("app").ignore("start");
    pod.event(Event::Reject { reason: Rejection::OutOfCpu, message: "full".into() }).phase("Running");
}

#[test]
fn a_pod_that_the_node_will_not_have_fails() {
    let mut pod = Scenario::new(ONE);
    let message = "Node didn't have enough resource: cpu, requested: 2000, used: 0, capacity: 1000";
    pod.event(Event::Reject { reason: Rejection::OutOfCpu, message: message.into() });
    pod.is_finished().phase("Failed").explains("OutOfcpu", &format!("Pod was rejected: {message}"));
    pod.said("OutOfcpu", &format!("Warning: {message}"));
    assert_eq!(pod.status().container_statuses, None);
}

#[test]
fn a_preempted_pod_stops_as_if_it_were_deleted() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").event(preempt()).asks(["stop app/0 30s"]).phase("Running");
    pod.said("Preempted", "Normal: Preempted by pod u2 on node this node");
    let condition = "True PreemptionByScheduler: default-scheduler: preempting to accommodate a higher priority pod";
    pod.condition("DisruptionTarget", condition);
    pod.exits("app", 143).ends("Failed").condition("DisruptionTarget", condition);
    assert_eq!(pod.status().reason, None);
}

#[test]
fn a_preempted_pod_that_did_all_it_should_has_succeeded() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").ignore("start").event(preempt()).ignore("stop").exits("app", 0).ends("Succeeded");
}

#[test]
fn a_pod_that_goes_already_is_not_preempted() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").ignore("start").delete().ignore("stop").event(preempt()).asks([]);
    pod.has_no_condition("DisruptionTarget").exits("app", 0).ends("Succeeded");
}
