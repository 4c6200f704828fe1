//! Termination messages in the status.

use crate::harness::Scenario;

fn message(pod: &Scenario, container: &str) -> String {
    let state = pod.container(container).state.unwrap();
    state.terminated.unwrap().message.unwrap_or_default()
}

#[test]
fn a_containers_last_words_are_in_its_status() {
    let mut pod = Scenario::up(super::ONE);
    pod.runs("app").exits_with_message("app", 1, "no such table".into());
    assert_eq!(message(&pod, "app"), "no such table");
}

#[test]
fn those_of_the_run_before_are_in_the_last_state() {
    let mut pod = Scenario::up(super::ALWAYS);
    pod.runs("app").exits_with_message("app", 1, "no such table".into());
    let last = pod.container("app").last_state.unwrap().terminated.unwrap();
    assert_eq!(last.message.as_deref(), Some("no such table"));
}

#[test]
fn all_containers_share_twelve_kibibytes() {
    let names = ["a", "b", "c", "d"];
    let containers = names.map(|name| format!("{{name: {name}}}")).join(", ");
    let mut pod = Scenario::up(&format!("{{restartPolicy: Never, containers: [{containers}]}}"));
    for name in names {
        pod.runs(name).exits_with_message(name, 1, "x".repeat(4096));
    }
    assert_eq!(names.map(|name| message(&pod, name).len()), [3072; 4]);
}

#[test]
fn one_container_may_use_all_of_its_four() {
    let mut pod = Scenario::up(super::TWO);
    pod.runs("a").runs("b").exits_with_message("a", 1, "x".repeat(4096)).exits("b", 0);
    assert_eq!(message(&pod, "a").len(), 4096);
}
