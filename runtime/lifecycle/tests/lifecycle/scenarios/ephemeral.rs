//! Ephemeral containers: they come to a pod that runs, and nothing depends on them.

use nacelle_lifecycle::{Event, ResizeVerdict, StartFailure};

use super::{ALWAYS, ONE, TWO};
use crate::harness::Scenario;

#[test]
fn one_is_pulled_and_started_beside_what_runs() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("its start");
    pod.gets("debug").asks(["pull debug"]).shows("debug", "waiting ContainerCreating");
    pod.pulled("debug").asks(["start debug/0"]).started("debug").shows("debug", "running");
    pod.is_not_ready("debug").condition("Ready", "True").phase("Running");
    let status = pod.status();
    assert_eq!(status.container_statuses.unwrap().len(), 1);
    assert_eq!(status.ephemeral_container_statuses.unwrap()[0].started, None);
    assert_eq!(status.observed_generation, Some(2));
}

#[test]
fn its_events_name_its_list() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").gets("debug").runs("debug");
    pod.is_about("Started", "spec.ephemeralContainers{debug}");
}

#[test]
fn one_that_ends_is_not_started_again_whatever_the_policy() {
    for code in [0, 3] {
        let mut pod = Scenario::up(ALWAYS);
        pod.runs("app").gets("debug").runs("debug").after(5).exits("debug", code).sleeps();
        let ended = if code == 0 { "terminated Completed 0" } else { "terminated Error 3" };
        pod.shows("debug", ended).phase("Running").condition("Ready", "True").restarts("debug", 0);
    }
}

#[test]
fn one_does_not_wait_for_init_containers() {
    let mut pod = Scenario::up("{initContainers: [{name: init}], containers: [{name: app}]}");
    pod.runs("init").ignore("its start");
    pod.gets("debug").asks(["pull debug"]).pulled("debug").asks(["start debug/0"]).started("debug");
    pod.condition("Initialized", "False ContainersNotInitialized: containers with incomplete status: [init]");
    pod.exits("init", 0).asks(["pull app"]).shows("debug", "running");
}

#[test]
fn one_that_comes_before_the_sandbox_waits_for_it() {
    let mut pod = Scenario::new(ALWAYS);
    pod.gets("debug").asks([]).start().asks(["create sandbox"]);
    pod.sandbox_created().asks(["pull app", "pull debug"]);
}

#[test]
fn one_that_cannot_be_pulled_or_made_is_tried_again() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").gets("debug").ignore("the pulls");
    pod.pull_fails("debug").shows("debug", "waiting ErrImagePull").condition("Ready", "True");
    pod.wakes_in(1).shows("debug", "waiting ImagePullBackOff").wakes_in(9).asks(["pull debug"]);
    pod.pulled("debug").asks(["start debug/0"]);
    pod.start_fails("debug", StartFailure::CreateContainerConfigError, "no target");
    pod.shows("debug", "waiting CreateContainerConfigError").wakes_in(10).asks(["pull debug"]);
}

#[test]
fn one_whose_program_cannot_be_run_has_ended() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").gets("debug").pulled("debug").start_fails("debug", StartFailure::RunContainerError, "no such file");
    pod.shows("debug", "terminated StartError 128").sleeps();
}

#[test]
fn the_pod_ends_without_it() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").gets("debug").runs("debug");
    pod.ignore("what brought them up");
    pod.exits("app", 0).asks(["stop debug/0 30s"]).phase("Running");
    pod.exits("debug", 137).phase("Succeeded").ends("Succeeded");
}

#[test]
fn its_end_says_nothing_of_the_pods() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").gets("debug").runs("debug").exits("debug", 1).exits("app", 0).phase("Succeeded");
}

#[test]
fn it_stops_with_the_app_containers_and_before_the_sidecars() {
    let mut pod = Scenario::up("{initContainers: [{name: log, restartPolicy: Always}], containers: [{name: app}]}");
    pod.runs("log").runs("app").gets("debug").runs("debug");
    pod.ignore("what brought them up");
    pod.event(Event::Delete { grace: None }).asks(["stop app/0 30s", "stop debug/0 30s"]);
    pod.exits("app", 0).asks([]).exits("debug", 0).asks(["stop log/0 30s"]);
}

#[test]
fn a_pod_that_stops_takes_no_more() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").event(Event::Delete { grace: None }).gets("debug");
    assert_eq!(pod.status().ephemeral_container_statuses, None);
    pod.exits("app", 0).phase("Succeeded");
}

#[test]
fn one_that_never_came_to_run_is_not_missed() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").gets("debug").event(Event::Delete { grace: None });
    pod.exits("app", 0).phase("Succeeded").shows("debug", "waiting ContainerCreating");
}

#[test]
fn it_goes_on_while_all_others_start_over() {
    let mut pod = Scenario::up(
        "{restartPolicy: Never, containers: [{name: app, restartPolicy: Never, restartPolicyRules: [{action: \
         RestartAllContainers, exitCodes: {operator: In, values: [88]}}]}, {name: other}]}",
    );
    pod.pulled("app").pulled("other").started("app").started("other").gets("debug").runs("debug");
    pod.ignore("what brought them up");
    pod.exits("app", 88).asks(["stop other/0 0ns"]).exits("other", 137).asks(["pull app", "pull other"]);
    pod.shows("debug", "running").restarts("debug", 0);
}

#[test]
fn several_come_one_after_another_and_are_sorted_by_name() {
    let mut pod = Scenario::up(TWO);
    pod.pulled("a").pulled("b").started("a").started("b").gets("second").runs("second").gets("first");
    let names: Vec<_> =
        pod.status().ephemeral_container_statuses.unwrap().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["first", "second"]);
    pod.shows("second", "running");
}

#[test]
fn a_resize_that_waits_for_its_answer_is_asked_for_again() {
    let mut pod = Scenario::up("{containers: [{name: app, resources: {requests: {cpu: 1}}}]}");
    pod.runs("app").ignore("its start");
    pod.wants("{containers: [{name: app, resources: {requests: {cpu: 2}}}]}").asks(["consider resize"]);
    let old = pod.machine.desired().generation();
    pod.gets("debug").asks(["consider resize", "pull debug"]);
    pod.event(Event::ResizeConsidered { generation: old, verdict: ResizeVerdict::Fits }).asks([]);
    let new = pod.machine.desired().generation();
    pod.event(Event::ResizeConsidered { generation: new, verdict: ResizeVerdict::Fits });
    pod.asks(["reallocate", "apply resize to app/0"]).has("app", "1/");
    pod.event(Event::ResizeApplied { result: Ok(()) }).has("app", "2/");
    assert!(pod.machine.pod().container("debug").is_some());
}
