//! Probes, hooks and rules of a pod that is resized, put out, or still without room.

use nacelle_lifecycle::HookKind::PreStop;
use nacelle_lifecycle::ProbeKind::{Liveness, Readiness, Startup};
use nacelle_lifecycle::{ConditionStatus, Event, Eviction};

use crate::harness::Scenario;

/// A container with these fields that is started again when its cpu changes.
fn with_cpu(cpu: u32, fields: &str) -> String {
    format!(
        "{{terminationGracePeriodSeconds: 20, containers: [{{name: app, resizePolicy: [{{resourceName: cpu, \
         restartPolicy: RestartContainer}}], resources: {{limits: {{cpu: {cpu}}}}}, {fields}}}]}}"
    )
}

/// The container runs, and the node gives it another size.
fn resized(fields: &str) -> Scenario {
    let mut pod = Scenario::up(&with_cpu(1, fields));
    pod.runs("app").ignore("start");
    grow(&mut pod, fields);
    pod
}

fn grow(pod: &mut Scenario, fields: &str) {
    pod.wants(&with_cpu(2, fields)).ignore("consider").resize_fits();
}

#[test]
fn a_container_that_makes_room_runs_its_hook_first() {
    let mut pod = resized("lifecycle: {preStop: {sleep: {seconds: 5}}}");
    pod.asks(["reallocate", "preStop app/0"]).said("Killing", "Normal: Container app resize requires restart");
    pod.after(5)
        .hook_ends("app", PreStop)
        .asks(["stop app/0 15s"])
        .exits("app", 0)
        .asks(["apply resize to", "pull app"]);
    pod.resize_applied().runs("app").asks(["start app/1"]).has("app", "2/2").has_no_condition("PodResizeInProgress");
}

#[test]
fn probes_begin_anew_after_a_resize() {
    let probes = "startupProbe: {tcpSocket: {port: 1}}, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}, \
                  readinessProbe: {tcpSocket: {port: 1}, periodSeconds: 3}";
    let mut pod = Scenario::up(&with_cpu(1, probes));
    pod.runs("app").probe_ok("app", Startup).ignore("all").probe_ok("app", Liveness).probe_ok("app", Readiness);
    pod.is_ready("app");
    grow(&mut pod, probes);
    pod.asks(["reallocate", "stop app/0 20s"]).is_ready("app");
    // Of a container that ends only readiness is still of interest.
    pod.wakes_in(3).asks(["probe app/0 readiness"]).probe_fails("app", Liveness).asks([]);
    pod.exits("app", 0).is_not_ready("app").runs("app").ignore("start").is_not_ready("app");
    pod.probe_ok("app", Startup).asks(["probe app/1 liveness", "probe app/1 readiness"]).is_not_ready("app");
    pod.probe_ok("app", Readiness).is_ready("app").restarts("app", 1);
}

#[test]
fn whatever_the_rules_of_a_container_say_it_starts_again_with_its_new_size() {
    let never = resized("restartPolicy: Never");
    let all = "restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, \
               values: [143]}}]";
    for mut pod in [never, resized(all)] {
        pod.asks(["reallocate", "stop app/0 20s"]).exits("app", 143);
        pod.asks(["apply resize to", "pull app"]).phase("Running");
        // The next end is one like any other.
        pod.runs("app").ignore("start").exits("app", 3).ends("Failed");
    }
}

#[test]
fn a_container_that_is_killed_already_needs_no_other_stop() {
    let liveness = "livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}";
    let mut pod = Scenario::up(&with_cpu(1, liveness));
    pod.runs("app").ignore("all").probe_fails("app", Liveness).asks(["stop app/0 20s"]);
    pod.said("Killing", "Normal: Container app failed liveness probe, will be restarted");
    pod.tells(["Scheduled", "Pulled app", "Created app", "Started app", "Unhealthy app", "Killing app"]);
    grow(&mut pod, liveness);
    pod.asks(["reallocate"]).tells(["ResizeStarted"]);
    pod.exits("app", 143)
        .asks(["apply resize to", "pull app"])
        .resize_applied()
        .runs("app")
        .has("app", "2/2")
        .restarts("app", 1);
}

#[test]
fn a_resize_waits_for_the_hook_beside_the_entry_point() {
    let mut pod = resized("lifecycle: {postStart: {sleep: {seconds: 1}}}");
    pod.asks(["reallocate"]).condition("PodResizeInProgress", "True");
    pod.hook_ends("app", nacelle_lifecycle::HookKind::PostStart).asks(["stop app/0 20s"]);
}

#[test]
fn all_start_over_with_what_the_pod_was_given() {
    let all = "restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, \
               values: [1]}}]";
    let mut pod = Scenario::up(&with_cpu(1, all));
    pod.runs("app").wants(&with_cpu(2, all)).ignore("consider").exits("app", 1).resize_fits();
    pod.asks(["pull app", "reallocate", "apply resize to"]).runs("app").has("app", "2/2").restarts("app", 1);
}

#[test]
fn a_hook_has_no_more_time_than_an_eviction_leaves() {
    let spec = "{containers: [{name: app, lifecycle: {preStop: {sleep: {seconds: 9}}}}]}";
    let mut full = Scenario::up(spec);
    full.runs("app").ignore("start").exceeds_its_storage().asks(["preStop app/0"]);
    full.wakes_in(1).asks(["stop app/0 1s"]).exits("app", 143).ends("Failed");
    let mut soft = Scenario::up(spec);
    let cause = Eviction::NodePressure { grace: Some(std::time::Duration::from_secs(4)) };
    soft.runs("app").ignore("start").event(Event::Evict { cause, message: "low on memory".into() });
    soft.asks(["preStop app/0"]).wakes_in(4).asks(["stop app/0 2s"]);
}

#[test]
fn a_preempted_pod_runs_its_hooks() {
    let mut pod = Scenario::up("{containers: [{name: app, lifecycle: {preStop: {sleep: {seconds: 9}}}}]}");
    pod.runs("app").ignore("start").event(Event::Preempt { preemptor: "u2".into(), scheduler: "s".into() });
    pod.asks(["preStop app/0"]).after(9).hook_ends("app", PreStop).asks(["stop app/0 21s"]);
}

#[test]
fn what_others_say_of_a_pod_without_room_is_shown() {
    let mut pod = Scenario::new(
        "{readinessGates: [{conditionType: example.com/lb}], restartPolicy: Never, containers: [{name: app, \
         readinessProbe: {tcpSocket: {port: 1}}, restartPolicyRules: [{action: RestartAllContainers, exitCodes: \
         {operator: In, values: [1]}}], restartPolicy: Never}]}",
    );
    pod.event(Event::Unschedulable { message: "full".into(), nominated_node: None });
    pod.condition_is_set("example.com/lb", ConditionStatus::True).condition("example.com/lb", "True Said").asks([]);
    pod.has_no_condition("AllContainersRestarting").has_no_condition("Ready").sleeps();
    pod.start().condition("AllContainersRestarting", "False").condition("example.com/lb", "True Said");
}

#[test]
fn conditions_know_which_change_of_the_spec_they_are_about() {
    let gate =
        "{readinessGates: [{conditionType: example.com/lb}], containers: [{name: app, resources: {limits: {cpu: ";
    let mut pod = Scenario::up(&format!("{gate}1}}}}}}]}}"));
    pod.condition_is_set("example.com/lb", ConditionStatus::True);
    pod.runs("app").wants(&format!("{gate}2}}}}}}]}}")).ignore("all");
    let status = pod.status();
    for condition in status.conditions.unwrap() {
        let expected = (condition.type_ != "example.com/lb").then_some(2);
        assert_eq!(condition.observed_generation, expected, "{}", condition.type_);
    }
}
