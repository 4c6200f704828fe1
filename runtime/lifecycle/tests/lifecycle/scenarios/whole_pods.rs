//! Pods from their start to their end.

use super::{ALWAYS, ONE, TWO};
use crate::harness::Scenario;

#[test]
fn one_container_runs_to_succeeded() {
    let mut pod = Scenario::new(ONE);
    pod.phase("Pending").sleeps().shows("app", "waiting ContainerCreating");
    pod.start().asks(["create sandbox"]);
    pod.sandbox_created().asks(["pull app"]);
    pod.pulled("app").asks(["start app/0"]).phase("Pending");
    pod.started("app").asks([]).phase("Running").shows("app", "running").sleeps();
    pod.after(5).exits("app", 0).phase("Succeeded").shows("app", "terminated Completed 0");
    pod.ends("Succeeded");
}

#[test]
fn one_container_that_fails_fails_the_pod() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").exits("app", 3).shows("app", "terminated Error 3").phase("Failed").restarts("app", 0);
}

#[test]
fn two_inits_a_sidecar_and_two_apps_tell_their_story_in_order() {
    let mut pod = Scenario::new(
        "{restartPolicy: Never,
          initContainers: [{name: fetch}, {name: log, restartPolicy: Always}, {name: unpack}],
          containers: [{name: web}, {name: job}]}",
    );
    pod.start().sandbox_created().runs("fetch").exits("fetch", 0);
    pod.runs("log").runs("unpack").exits("unpack", 0);
    pod.pulled("web").pulled("job").started("web").started("job").phase("Running");
    pod.exits("job", 0).phase("Running").exits("web", 0).phase("Running");
    pod.exits("log", 143).phase("Succeeded").sandbox_removed();
    pod.tells([
        "Scheduled",
        "Pulled fetch",
        "Created fetch",
        "Started fetch",
        "Pulled log",
        "Created log",
        "Started log",
        "Pulled unpack",
        "Created unpack",
        "Started unpack",
        "Pulled web",
        "Pulled job",
        "Created web",
        "Started web",
        "Created job",
        "Started job",
        "Killing log",
    ]);
    pod.asks([
        "create sandbox",
        "pull fetch",
        "start fetch/0",
        "pull log",
        "start log/0",
        "pull unpack",
        "start unpack/0",
        "pull web",
        "pull job",
        "start web/0",
        "start job/0",
        "stop log/0 30s",
        "remove sandbox",
    ]);
    pod.is_finished();
}

#[test]
fn apps_are_pulled_together_and_started_in_order_of_declaration() {
    let mut pod = Scenario::new(TWO);
    pod.start().sandbox_created().asks(["create sandbox", "pull a", "pull b"]);
    pod.pulled("b").asks([]).pulled("a").asks(["start a/0", "start b/0"]);
}

#[test]
fn an_image_that_fails_does_not_hold_up_the_others() {
    let mut pod = Scenario::up(TWO);
    pod.pulled("b").asks([]).pull_fails("a").asks(["start b/0"]);
    pod.started("b").phase("Pending").shows("a", "waiting ErrImagePull").shows("b", "running");
}

#[test]
fn the_pod_runs_until_its_last_app_has_ended() {
    let mut pod = Scenario::up(TWO);
    pod.runs("a").runs("b").ignore("starts").exits("a", 0).phase("Running").asks([]);
    pod.exits("b", 0).ends("Succeeded");
}

#[test]
fn one_failed_app_fails_the_pod_when_all_have_ended() {
    let mut pod = Scenario::up(TWO);
    pod.runs("a").runs("b").ignore("starts").exits("a", 1).phase("Running").asks([]).exits("b", 0).ends("Failed");
}

#[test]
fn a_pod_that_always_restarts_never_ends_by_itself() {
    let mut pod = Scenario::up(ALWAYS);
    pod.runs("app").ignore("start").exits("app", 0).phase("Running").asks(["pull app"]).is_not_finished();
}

#[test]
fn the_status_names_what_the_driver_reported() {
    let mut pod = Scenario::up(ONE);
    pod.after(7).runs("app").after(8).exits("app", 2);
    let app = pod.container("app");
    assert_eq!(app.image, "docker.io/example/image:1");
    assert_eq!(app.image_id, "docker.io/example/image@sha256:feed");
    assert_eq!(app.container_id.as_deref(), Some("nacelle://app-0"));
    let terminated = app.state.unwrap().terminated.unwrap();
    assert_eq!(terminated.started_at.unwrap().0.as_second(), 7);
    assert_eq!(terminated.finished_at.unwrap().0.as_second(), 15);
    assert_eq!(terminated.container_id.as_deref(), Some("nacelle://app-0"));
    let status = pod.status();
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.7"));
    assert_eq!(status.pod_ips.unwrap().len(), 2);
    assert_eq!(status.host_ip.as_deref(), Some("192.0.2.1"));
    assert_eq!(status.start_time.unwrap().0.as_second(), 0);
    assert_eq!((status.reason, status.message), (None, None));
}

#[test]
fn before_a_pull_the_status_shows_the_image_of_the_manifest() {
    let pod = Scenario::up(ONE);
    let app = pod.container("app");
    assert_eq!((app.image.as_str(), app.image_id.as_str()), ("example/image:1", ""));
}

#[test]
fn app_statuses_are_sorted_by_name_and_init_statuses_are_not() {
    let pod = Scenario::new("{initContainers: [{name: z}, {name: y}], containers: [{name: c}, {name: a}, {name: b}]}");
    let status = pod.status();
    let names = |list: Option<Vec<_>>| -> Vec<String> {
        list.unwrap().into_iter().map(|s: k8s_openapi::api::core::v1::ContainerStatus| s.name).collect()
    };
    assert_eq!(names(status.init_container_statuses), ["z", "y"]);
    assert_eq!(names(status.container_statuses), ["a", "b", "c"]);
}

#[test]
fn the_qos_class_is_shown_as_given() {
    let machine = nacelle_lifecycle::Lifecycle::new(crate::harness::pod(ONE), jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(machine.status().qos_class, None);
    assert_eq!(machine.with_qos_class("Burstable").status().qos_class.as_deref(), Some("Burstable"));
}

#[test]
fn a_container_out_of_memory_says_so() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").is_oom_killed("app").shows("app", "terminated OOMKilled 137").phase("Failed");
    let message = pod.container("app").state.unwrap().terminated.unwrap().message;
    assert_eq!(message.as_deref(), Some("limit 1Mi"));
}

#[test]
fn events_read_as_the_kubelets() {
    let mut pod = Scenario::up(ONE);
    pod.runs("app").delete();
    pod.said("Scheduled", "Normal: Successfully assigned default/web to this node");
    pod.said("Pulled", "Normal: Container image \"example/image:1\" already present on machine");
    pod.said("Created", "Normal: Created container: app");
    pod.said("Started", "Normal: Started container app");
    pod.said("Killing", "Normal: Stopping container app");
}
