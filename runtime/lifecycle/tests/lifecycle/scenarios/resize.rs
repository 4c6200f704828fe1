//! In-place resize (KEP-1287).

use nacelle_lifecycle::ExitReason;

use crate::harness::Scenario;

const SMALL: &str =
    "{containers: [{name: app, resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m}}}]}";
const LARGE: &str =
    "{containers: [{name: app, resources: {requests: {cpu: 100m, memory: 96Mi}, limits: {cpu: 400m}}}]}";
const HUGE: &str = "{containers: [{name: app, resources: {requests: {cpu: 100m, memory: 64Ti}, limits: {cpu: 400m}}}]}";

/// A pod that asks so much, whose container is started again for it.
fn restarting(cpu: &str) -> String {
    format!(
        "{{restartPolicy: OnFailure, terminationGracePeriodSeconds: 20, containers: [{{name: app, resizePolicy: \
         [{{resourceName: cpu, restartPolicy: RestartContainer}}], resources: {{requests: {{cpu: {cpu}}}}}}}, \
         {{name: other, resources: {{requests: {{cpu: {cpu}}}}}}}]}}"
    )
}

fn up() -> Scenario {
    let mut pod = Scenario::up(SMALL);
    pod.runs("app").ignore("start").tells(["Scheduled", "Pulled app", "Created app", "Started app"]);
    pod
}

#[test]
fn a_container_gets_what_fits_while_it_runs() {
    let mut pod = up();
    pod.has("app", "100m/200m").wants(LARGE).asks(["consider resize"]).has_no_condition("PodResizePending");
    pod.resize_fits().asks(["reallocate", "apply resize to app/0"]).tells(["ResizeStarted"]);
    pod.condition("PodResizeInProgress", "True").has("app", "100m/200m");
    assert_eq!(pod.container("app").allocated_resources.unwrap()["memory"].0, "96Mi");
    pod.after(1).resize_applied().has("app", "100m/400m").has_no_condition("PodResizeInProgress").restarts("app", 0);
    pod.said(
        "ResizeCompleted",
        "Normal: Pod resize completed: {\"containers\":[{\"name\":\"app\",\"resources\":{\"limits\":{\"cpu\":\"400m\"},\
         \"requests\":{\"cpu\":\"100m\",\"memory\":\"96Mi\"}}}],\"generation\":2}",
    );
    pod.sleeps().asks([]);
    assert_eq!(pod.status().observed_generation, Some(2));
}

#[test]
fn without_room_it_waits_and_asks_again() {
    let mut pod = up();
    pod.wants(LARGE).ignore("consider").resize_deferred("Node didn't have enough resource: cpu").asks([]);
    pod.condition("PodResizePending", "True Deferred: Node didn't have enough resource: cpu").has("app", "100m/200m");
    pod.said(
        "ResizeDeferred",
        "Warning: Pod resize Deferred: {\"containers\":[{\"name\":\"app\",\"resources\":{\"limits\":{\"cpu\":\"400m\"},\
         \"requests\":{\"cpu\":\"100m\",\"memory\":\"96Mi\"}}}],\"generation\":2,\"error\":\"Node didn't have enough \
         resource: cpu\"}",
    );
    pod.tells(["ResizeDeferred"]).wakes_in(180).asks(["consider resize"]);
    // Other numbers are no news.
    pod.resize_deferred("Node didn't have enough resource: cpu, used: 7").tells([]);
    assert_eq!(pod.changed_at("PodResizePending"), 0);
    pod.wakes_in(180).ignore("consider").resize_fits().asks(["reallocate", "apply resize to app/0"]);
    pod.has_no_condition("PodResizePending").tells(["ResizeStarted"]);
}

#[test]
fn what_never_fits_waits_for_another_size() {
    let mut pod = up();
    pod.wants(HUGE).ignore("consider").resize_infeasible("Node didn't have enough capacity: memory").sleeps();
    pod.condition("PodResizePending", "True Infeasible: Node didn't have enough capacity: memory");
    pod.tells(["ResizeInfeasible"]);
    // What was before is a size, too, and needs nobody's leave.
    pod.wants(SMALL).asks([]).tells([]).has_no_condition("PodResizePending");
    assert_eq!(pod.status().observed_generation, Some(3));
}

#[test]
fn an_answer_about_another_size_counts_for_nothing() {
    let mut pod = up();
    pod.wants(HUGE).wants(LARGE).asks(["consider resize", "consider resize"]);
    pod.resize_considered_of(2, "too much").has_no_condition("PodResizePending").resize_fits();
    pod.asks(["reallocate", "apply resize to app/0"]);
}

#[test]
fn a_failure_is_shown_and_tried_again() {
    let mut pod = up();
    pod.wants(LARGE).ignore("consider").resize_fits().ignore("apply").resize_fails("in use: 5").asks([]);
    pod.condition("PodResizeInProgress", "True Error: in use: 5").tells(["ResizeStarted", "ResizeError"]);
    pod.wakes_in(10).asks(["apply resize to app/0"]).resize_fails("in use: 4").tells([]);
    pod.condition("PodResizeInProgress", "True Error: in use: 4").has("app", "100m/200m");
    pod.wakes_in(10).ignore("apply").resize_applied().has("app", "100m/400m").has_no_condition("PodResizeInProgress");
}

#[test]
fn another_size_while_one_is_carried_out() {
    let mut pod = up();
    pod.wants(LARGE).ignore("consider").resize_fits().asks(["reallocate", "apply resize to app/0"]);
    pod.wants(SMALL).asks(["consider resize"]).resize_fits().asks(["reallocate"]);
    pod.resize_applied().asks(["apply resize to"]).resize_applied().has("app", "100m/200m").sleeps();
    pod.tells(["ResizeStarted", "ResizeStarted", "ResizeCompleted"]);
}

#[test]
fn a_policy_has_a_container_started_again_at_once() {
    let mut pod = Scenario::up(&restarting("1"));
    pod.pulled("app").pulled("other").started("app").started("other").ignore("start");
    pod.tells([
        "Scheduled",
        "Pulled app",
        "Pulled other",
        "Created app",
        "Started app",
        "Created other",
        "Started other",
    ]);
    pod.wants(&restarting("2")).ignore("consider").resize_fits().asks(["reallocate", "stop app/0 20s"]);
    pod.said("Killing", "Normal: Container app resize requires restart").tells(["ResizeStarted", "Killing app"]);
    // Even where the policy would not start it again after a success, and without any back-off.
    pod.after(5).exits("app", 0).asks(["apply resize to other/0", "pull app"]).resize_applied();
    pod.tells(["ResizeCompleted"]).has("other", "2/");
    pod.runs("app").asks(["start app/1"]).has("app", "2/").restarts("app", 1).last("app", "terminated Completed 0");
    // It is no failure: the first one is still free.
    pod.exits("app", 1).shows("app", "waiting ContainerCreating").asks(["pull app"]);
}

#[test]
fn a_container_that_is_being_started_is_waited_for() {
    let mut pod = Scenario::up(SMALL);
    pod.pulled("app").asks(["start app/0"]).wants(LARGE).ignore("consider").resize_fits();
    pod.asks(["reallocate"]).started("app").asks(["apply resize to app/0"]);
}

#[test]
fn a_pod_that_has_not_begun_begins_with_the_new_size() {
    let mut pod = Scenario::new(SMALL);
    pod.wants(LARGE).ignore("consider").resize_fits().asks(["reallocate"]).start().asks(["create sandbox"]);
    pod.tells(["ResizeStarted", "Scheduled", "ResizeCompleted"]).sandbox_created().runs("app").has("app", "100m/400m");
}

#[test]
fn a_sandbox_that_is_being_made_is_waited_for() {
    let mut pod = Scenario::new(SMALL);
    pod.start().wants(LARGE).resize_fits().asks(["create sandbox", "consider resize", "reallocate"]);
    pod.sandbox_created().asks(["apply resize to", "pull app"]);
}

#[test]
fn a_pod_that_stops_is_not_resized() {
    let mut pod = up();
    pod.wants(LARGE)
        .ignore("consider")
        .delete()
        .asks(["stop app/0 30s"])
        .resize_fits()
        .asks([])
        .has("app", "100m/200m");
    pod.wants(HUGE).asks([]).exits("app", 0).ends("Succeeded").has_no_condition("PodResizeInProgress");
}

#[test]
fn a_deletion_while_a_container_makes_room() {
    let mut pod = Scenario::up(&restarting("1"));
    pod.pulled("app").pulled("other").started("app").started("other").ignore("start");
    pod.wants(&restarting("2")).ignore("consider").resize_fits().asks(["reallocate", "stop app/0 20s"]);
    pod.after(5).delete().asks(["stop other/0 20s"]).exits("app", 0).exits("other", 0).ends("Succeeded");
}

#[test]
fn what_a_pod_as_a_whole_has_is_shown() {
    let with = |memory: &str| {
        format!("{{containers: [{{name: app}}], resources: {{limits: {{memory: {memory}}}, requests: {{cpu: 1}}}}}}")
    };
    let mut pod = Scenario::up(&with("1Gi"));
    pod.runs("app")
        .ignore("start")
        .wants(&with("2Gi"))
        .ignore("consider")
        .resize_fits()
        .asks(["reallocate", "apply resize to"]);
    let limit = |pod: &Scenario| pod.status().resources.unwrap().limits.unwrap()["memory"].0.clone();
    assert_eq!(limit(&pod), "1Gi");
    pod.resize_applied();
    assert_eq!(limit(&pod), "2Gi");
    assert_eq!(pod.status().allocated_resources.unwrap()["cpu"].0, "1");
}

#[test]
fn a_container_out_of_fuel_has_failed() {
    let mut pod = Scenario::up("{restartPolicy: OnFailure, containers: [{name: app}]}");
    pod.runs("app").ignore("start").ends_with("app", ExitReason::FuelExhausted, 152).asks(["pull app"]);
    pod.last("app", "terminated FuelExhausted 152").runs("app").ends_with("app", ExitReason::FuelExhausted, 152);
    pod.shows("app", "waiting CrashLoopBackOff");
    let mut once = Scenario::up("{restartPolicy: Never, containers: [{name: app}]}");
    once.runs("app").ignore("start").ends_with("app", ExitReason::FuelExhausted, 152).ends("Failed");
    once.shows("app", "terminated FuelExhausted 152");
}
