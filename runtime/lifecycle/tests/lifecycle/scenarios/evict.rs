//! Eviction, for the node's reasons and for the pod's own doing.

use super::{ALWAYS, INIT, ONE, SIDECARS};
use crate::harness::{STORAGE_MESSAGE, Scenario};
use nacelle_lifecycle::{Event, Eviction};

#[test]
fn of_a_node_under_pressure() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").evict().asks(["stop app/0 30s"]).said("Evicted", "Warning: low on memory");
    pod.phase("Running").has_no_condition("DisruptionTarget");
    assert_eq!(pod.status().reason, None, "not before the containers have ended");
    pod.exits("app", 0).explains("Evicted", "low on memory").ends("Failed");
    pod.condition("DisruptionTarget", "True TerminationByKubelet: low on memory");
}

#[test]
fn the_time_of_the_disruption_is_that_of_the_end() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").after(5).evict().after(3).exits("app", 0).after(60).event(Event::Tick);
    assert_eq!(pod.changed_at("DisruptionTarget"), 8);
}

#[test]
fn a_node_may_say_how_long() {
    let mut pod = Scenario::up(ALWAYS);
    let cause = Eviction::NodePressure { grace: Some(std::time::Duration::from_secs(7)) };
    pod.runs("app").ignore("start").event(Event::Evict { cause, message: "m".into() }).asks(["stop app/0 7s"]);
}

#[test]
fn of_a_pod_that_exceeds_its_storage() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").exceeds_its_storage().asks(["stop app/0 1s"]);
    pod.said("Evicted", "Warning: Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ");
    pod.exits("app", 137).explains("Evicted", STORAGE_MESSAGE).has_no_condition("DisruptionTarget").ends("Failed");
}

#[test]
fn nothing_is_restarted_whatever_the_policy() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").exits("app", 1).ignore("pull for the restart").exceeds_its_storage().ends("Failed");
    pod.explains("Evicted", STORAGE_MESSAGE).shows("app", "terminated Error 1");
}

#[test]
fn a_success_at_the_evictions_stop_is_still_a_failure() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").ignore("start").exceeds_its_storage().ignore("stop").exits("app", 0).ends("Failed");
    pod.shows("app", "terminated Completed 0");
}

#[test]
fn sidecars_share_the_second() {
    let mut pod = Scenario::up(SIDECARS);
    pod.runs("s1").runs("s2").runs("app").ignore("starts").exceeds_its_storage().asks(["stop app/0 1s"]);
    pod.exits("app", 137).asks(["stop s2/0 1s"]).after(1).exits("s2", 137).asks(["stop s1/0 1s"]);
    pod.exits("s1", 137).explains("Evicted", STORAGE_MESSAGE).ends("Failed");
}

#[test]
fn during_init() {
    let mut pod = Scenario::up(INIT);
    pod.runs("init").ignore("start").exceeds_its_storage().asks(["stop init/0 1s"]).exits("init", 0).ends("Failed");
    pod.explains("Evicted", STORAGE_MESSAGE);
}

#[test]
fn before_the_start() {
    let mut pod = Scenario::new(ONE);
    pod.evict().is_finished().phase("Failed").explains("Evicted", "low on memory").start().is_finished();
}

#[test]
fn during_sandbox_creation() {
    let mut pod = Scenario::new(ONE);
    pod.start().ignore("create").evict().asks([]).is_not_finished().sandbox_created().ends("Failed");
}

#[test]
fn the_first_cause_stays() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").exceeds_its_storage().evict().asks(["stop app/0 1s"]);
    pod.tells(["Scheduled", "Pulled app", "Created app", "Started app", "Evicted", "Killing app"]);
    pod.exits("app", 0).explains("Evicted", STORAGE_MESSAGE).has_no_condition("DisruptionTarget");
}

#[test]
fn a_pod_that_is_deleted_already_is_not_evicted_but_has_less_time() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").delete().ignore("stop").exceeds_its_storage().asks(["stop app/0 1s"]);
    pod.exits("app", 0).phase("Succeeded");
    assert_eq!(pod.status().reason, None);
}

#[test]
fn after_the_end_it_changes_nothing() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").ignore("start").exits("app", 0).exceeds_its_storage().ends("Succeeded");
    assert_eq!(pod.status().reason, None);
}
