//! Probes: when they run, and what their results lead to.

use nacelle_lifecycle::ProbeKind::{Liveness, Readiness, Startup};
use nacelle_lifecycle::ProbeOutcome;

use crate::harness::Scenario;

const LIVE: &str = "{containers: [{name: app, livenessProbe: {httpGet: {port: 80}, initialDelaySeconds: 5, \
                    periodSeconds: 10}}]}";
const READY: &str = "{containers: [{name: app, readinessProbe: {httpGet: {port: 80}, periodSeconds: 10}}]}";
const ALL: &str = "{containers: [{name: app, startupProbe: {httpGet: {port: 80}, periodSeconds: 2, failureThreshold: 2}, \
                   livenessProbe: {httpGet: {port: 80}, initialDelaySeconds: 5}, \
                   readinessProbe: {httpGet: {port: 80}}}]}";

fn running(spec: &str) -> Scenario {
    let mut pod = Scenario::up(spec);
    pod.pulled("app").ignore("start").started("app");
    pod
}

// ── when ──

#[test]
fn the_first_comes_after_the_initial_delay() {
    running(LIVE).asks([]).wakes_in(5).asks(["probe app/0 liveness"]);
}

#[test]
fn without_a_delay_it_comes_at_once() {
    running(READY).asks(["probe app/0 readiness"]);
}

#[test]
fn one_comes_each_period_counted_from_start_to_start() {
    let mut pod = running(READY);
    pod.ignore("first").after(4).probe_ok("app", Readiness).asks([]).wakes_in(6).asks(["probe app/0 readiness"]);
}

#[test]
fn only_one_is_under_way_at_a_time() {
    let mut pod = running(READY);
    pod.ignore("first").sleeps().after(60).event(nacelle_lifecycle::Event::Tick).asks([]);
}

#[test]
fn a_slow_one_is_followed_at_once_and_those_it_missed_are_dropped() {
    let mut pod = running(READY);
    pod.ignore("first").after(37).probe_ok("app", Readiness).asks(["probe app/0 readiness"]);
    pod.after(1).probe_ok("app", Readiness).asks([]).wakes_in(2).asks(["probe app/0 readiness"]);
}

#[test]
fn the_delay_counts_from_the_start_of_the_container_not_of_the_pod() {
    let mut pod = Scenario::up(LIVE);
    pod.after(100).pulled("app").started("app").ignore("start").wakes_in(5).asks(["probe app/0 liveness"]);
}

#[test]
fn each_incarnation_is_probed_anew() {
    let mut pod = running(LIVE);
    pod.wakes_in(5).exits("app", 1).ignore("pull").pulled("app").started("app").ignore("start").wakes_in(5);
    pod.asks(["probe app/1 liveness"]);
}

#[test]
fn containers_are_probed_each_in_their_own_time() {
    let probe = |delay| format!("readinessProbe: {{tcpSocket: {{port: 1}}, initialDelaySeconds: {delay}}}");
    let spec = format!("{{containers: [{{name: a, {}}}, {{name: b, {}}}]}}", probe(3), probe(5));
    let mut pod = Scenario::up(&spec);
    pod.runs("a").runs("b").ignore("starts").wakes_in(3).asks(["probe a/0 readiness"]).wakes_in(2);
    pod.asks(["probe b/0 readiness"]);
}

// ── readiness ──

#[test]
fn a_container_with_a_readiness_probe_is_not_ready_until_it_succeeds() {
    let mut pod = running(READY);
    pod.shows("app", "running").is_up("app", true).is_not_ready("app").phase("Running");
    pod.condition("Ready", "False ContainersNotReady: containers with unready status: [app]");
    pod.probe_ok("app", Readiness).is_ready("app").condition("Ready", "True").condition("ContainersReady", "True");
}

#[test]
fn a_success_says_nothing_to_users() {
    let mut pod = running(READY);
    pod.probe_ok("app", Readiness).tells(["Scheduled", "Pulled app", "Created app", "Started app"]);
}

#[test]
fn readiness_goes_when_the_probe_has_failed_often_enough() {
    let mut pod = running(READY);
    pod.probe_ok("app", Readiness);
    for _ in 0..2 {
        pod.wakes_in(10).probe_fails("app", Readiness).is_ready("app");
    }
    pod.wakes_in(10).probe_fails("app", Readiness).is_not_ready("app").phase("Running").restarts("app", 0);
    pod.said("Unhealthy", "Warning: Readiness probe failed: HTTP probe failed with statuscode: 500");
    pod.wakes_in(10).probe_ok("app", Readiness).is_ready("app");
}

#[test]
fn a_failed_readiness_probe_kills_nobody() {
    let mut pod = running(READY);
    for _ in 0..5 {
        pod.probe_fails("app", Readiness).ignore("probe").wakes_in(10).asks(["probe app/0 readiness"]);
    }
    pod.shows("app", "running");
}

#[test]
fn a_success_threshold_wants_successes_in_a_row() {
    let mut pod = running("{containers: [{name: app, readinessProbe: {tcpSocket: {port: 1}, successThreshold: 2}}]}");
    pod.probe_ok("app", Readiness).is_not_ready("app").wakes_in(10).probe_fails("app", Readiness).wakes_in(10);
    pod.probe_ok("app", Readiness).is_not_ready("app").wakes_in(10).probe_ok("app", Readiness).is_ready("app");
}

#[test]
fn readiness_starts_over_with_the_next_incarnation() {
    let mut pod = running(READY);
    pod.probe_ok("app", Readiness).exits("app", 0).is_not_ready("app").pulled("app").started("app");
    pod.is_not_ready("app").ignore("all").probe_ok("app", Readiness).is_ready("app");
}

#[test]
fn the_time_of_the_ready_condition_is_that_of_its_change() {
    let mut pod = running(READY);
    pod.after(7).probe_ok("app", Readiness);
    assert_eq!(pod.changed_at("Ready"), 7);
    pod.wakes_in(3).probe_ok("app", Readiness);
    assert_eq!(pod.changed_at("Ready"), 7);
}

#[test]
fn a_sidecars_readiness_counts_for_the_pod() {
    let mut pod = Scenario::up(
        "{initContainers: [{name: s, restartPolicy: Always, readinessProbe: {tcpSocket: {port: 1}}}], \
         containers: [{name: app}]}",
    );
    pod.runs("s").runs("app").ignore("starts");
    pod.condition("Ready", "False ContainersNotReady: containers with unready status: [s]");
    pod.probe_ok("s", Readiness).condition("Ready", "True");
}

#[test]
fn readiness_is_still_looked_at_while_the_pod_stops() {
    let mut pod = running(READY);
    pod.probe_ok("app", Readiness).delete().ignore("stop").is_ready("app").wakes_in(10).asks(["probe app/0 readiness"]);
    pod.probe_fails("app", Readiness).wakes_in(10).probe_fails("app", Readiness).wakes_in(10);
    pod.probe_fails("app", Readiness).is_not_ready("app").ignore("probes").exits("app", 0).ends("Succeeded");
}

// ── liveness ──

#[test]
fn a_container_that_fails_its_liveness_probe_is_killed_and_restarted() {
    let mut pod = running(LIVE);
    pod.wakes_in(5).probe_fails("app", Liveness).wakes_in(10).probe_fails("app", Liveness).ignore("probes");
    pod.wakes_in(10).asks(["probe app/0 liveness"]).probe_fails("app", Liveness).asks(["stop app/0 30s"]);
    pod.said("Unhealthy", "Warning: Liveness probe failed: HTTP probe failed with statuscode: 500");
    pod.said("Killing", "Normal: Container app failed liveness probe, will be restarted");
    pod.shows("app", "running").exits("app", 137).asks(["pull app"]).last("app", "terminated Error 137");
    pod.pulled("app").asks(["start app/1"]).started("app").restarts("app", 1);
}

#[test]
fn liveness_counts_failures_in_a_row() {
    let mut pod = running(LIVE);
    pod.wakes_in(5).probe_fails("app", Liveness).wakes_in(10).probe_fails("app", Liveness).wakes_in(10);
    pod.probe_ok("app", Liveness).wakes_in(10).probe_fails("app", Liveness).wakes_in(10).probe_fails("app", Liveness);
    pod.ignore("probes").wakes_in(10).probe_fails("app", Liveness).asks(["probe app/0 liveness", "stop app/0 30s"]);
}

#[test]
fn a_container_that_is_being_killed_is_not_probed_for_liveness() {
    let mut pod = running("{containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}}]}");
    pod.probe_fails("app", Liveness).ignore("stop").sleeps().after(20).probe_fails("app", Liveness).asks([]);
    pod.tells(["Scheduled", "Pulled app", "Created app", "Started app", "Unhealthy app", "Killing app"]);
}

#[test]
fn the_probes_own_period_holds_for_the_kill() {
    let mut pod = running(
        "{containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1, \
         terminationGracePeriodSeconds: 60}}]}",
    );
    pod.ignore("probe").probe_fails("app", Liveness).asks(["stop app/0 60s"]);
}

#[test]
fn the_pods_period_holds_where_the_probe_has_none() {
    let mut pod = running(
        "{terminationGracePeriodSeconds: 9, containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, \
         failureThreshold: 1}}]}",
    );
    pod.ignore("probe").probe_fails("app", Liveness).asks(["stop app/0 9s"]);
}

#[test]
fn a_pod_that_never_restarts_fails_by_its_liveness_probe() {
    let mut pod = running(
        "{restartPolicy: Never, containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}}]}",
    );
    pod.probe_fails("app", Liveness).said("Killing", "Normal: Container app failed liveness probe");
    pod.ignore("stop").exits("app", 143).shows("app", "terminated Error 143").ends("Failed");
}

#[test]
fn one_that_is_killed_for_a_probe_and_ends_with_0_starts_again_all_the_same() {
    let mut pod = running(
        "{restartPolicy: OnFailure, containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, \
         failureThreshold: 1}}]}",
    );
    pod.probe_fails("app", Liveness).ignore("stop").exits("app", 0).asks(["pull app"]);
}

#[test]
fn repeated_liveness_failures_back_off() {
    let mut pod = running("{containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}}]}");
    pod.probe_fails("app", Liveness).exits("app", 137).pulled("app").started("app").probe_fails("app", Liveness);
    pod.exits("app", 137).shows("app", "waiting CrashLoopBackOff").ignore("all").wakes_in(10).asks(["pull app"]);
}

#[test]
fn a_sidecar_that_fails_its_liveness_probe_starts_again_whatever_the_policy() {
    let mut pod = Scenario::up(
        "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always, livenessProbe: {tcpSocket: {port: 1}, \
         failureThreshold: 1}}], containers: [{name: app}]}",
    );
    pod.runs("s").runs("app").probe_fails("s", Liveness).ignore("all");
    pod.said("Killing", "Normal: Container s failed liveness probe, will be restarted");
    pod.exits("s", 0).asks(["pull s"]).phase("Running");
}

#[test]
fn the_others_go_on_while_one_is_killed() {
    let mut pod = Scenario::up(
        "{containers: [{name: a, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}}, {name: b}]}",
    );
    pod.runs("a").runs("b").ignore("starts").probe_fails("a", Liveness).asks(["stop a/0 30s"]);
    pod.exits("b", 1).asks(["pull b"]).shows("a", "running");
}

#[test]
fn a_delete_while_one_is_being_killed_only_shortens() {
    let mut pod = running("{containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}}]}");
    pod.probe_fails("app", Liveness)
        .ignore("stop")
        .after(10)
        .delete()
        .asks([])
        .delete_within(5)
        .asks(["stop app/0 5s"]);
    pod.exits("app", 137).ends("Failed");
}

#[test]
fn a_delete_ends_liveness_probing() {
    let mut pod = running(LIVE);
    pod.wakes_in(5).ignore("probe").delete().asks(["stop app/0 30s"]).probe_fails("app", Liveness).sleeps().asks([]);
}

#[test]
fn a_deadline_while_one_is_being_killed_ends_the_pod() {
    let mut pod = running(
        "{activeDeadlineSeconds: 20, containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: \
         1}}]}",
    );
    pod.probe_fails("app", Liveness).ignore("stop").wakes_in(20).asks([]).exits("app", 137).ends("Failed");
    pod.explains("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");
}

// ── startup ──

#[test]
fn the_startup_probe_holds_back_the_others() {
    let mut pod = running(ALL);
    pod.asks(["probe app/0 startup"]).is_up("app", false).is_not_ready("app").shows("app", "running");
    pod.after(1).probe_ok("app", Startup).is_up("app", true).asks(["probe app/0 readiness"]);
    pod.wakes_in(4).asks(["probe app/0 liveness"]);
}

#[test]
fn once_it_has_succeeded_the_startup_probe_is_over() {
    let mut pod = running(ALL);
    pod.probe_ok("app", Startup).ignore("first").probe_ok("app", Readiness).wakes_in(5).asks(["probe app/0 liveness"]);
    pod.probe_ok("app", Liveness).wakes_in(5).asks(["probe app/0 readiness"]);
}

#[test]
fn delays_that_are_over_when_the_container_is_up_do_not_count_again() {
    let mut pod = running(ALL);
    pod.ignore("startup").after(8).probe_ok("app", Startup).asks(["probe app/0 liveness", "probe app/0 readiness"]);
}

#[test]
fn a_container_that_does_not_come_up_is_killed_and_restarted() {
    let mut pod = running(ALL);
    pod.probe_fails("app", Startup).ignore("probes").wakes_in(2).probe_fails("app", Startup);
    pod.asks(["probe app/0 startup", "stop app/0 30s"]);
    pod.said("Killing", "Normal: Container app failed startup probe, will be restarted");
    pod.said("Unhealthy", "Warning: Startup probe failed: HTTP probe failed with statuscode: 500");
    pod.exits("app", 143).asks(["pull app"]);
}

#[test]
fn the_startup_probes_own_period_holds_for_the_kill() {
    let mut pod = running(
        "{containers: [{name: app, startupProbe: {tcpSocket: {port: 1}, failureThreshold: 1, \
         terminationGracePeriodSeconds: 1}}]}",
    );
    pod.ignore("probe").probe_fails("app", Startup).asks(["stop app/0 1s"]);
}

#[test]
fn a_sidecar_lets_its_successors_begin_once_it_is_up() {
    let mut pod = Scenario::up(
        "{initContainers: [{name: s, restartPolicy: Always, startupProbe: {tcpSocket: {port: 1}}}], \
         containers: [{name: app}]}",
    );
    pod.runs("s").asks(["start s/0", "probe s/0 startup"]);
    pod.condition("Initialized", "False ContainersNotInitialized: containers with incomplete status: [s]");
    pod.probe_ok("s", Startup).asks(["pull app"]).condition("Initialized", "True");
}

#[test]
fn a_sidecar_that_was_up_once_does_not_hold_back_its_successors_again() {
    let mut pod = Scenario::up(
        "{initContainers: [{name: s, restartPolicy: Always, startupProbe: {tcpSocket: {port: 1}}}], \
         containers: [{name: app}]}",
    );
    pod.runs("s").probe_ok("s", Startup).exits("s", 1).ignore("all").pulled("app").asks(["start app/0"]);
}

#[test]
fn each_incarnation_has_to_come_up_anew() {
    let mut pod = running(ALL);
    pod.probe_ok("app", Startup).exits("app", 1).pulled("app").started("app").is_up("app", false);
    pod.ignore("all").probe_ok("app", Startup).is_up("app", true);
}

#[test]
fn a_delete_before_the_container_is_up_ends_quietly() {
    let mut pod = running(ALL);
    pod.ignore("startup").delete().asks(["stop app/0 30s"]).probe_fails("app", Startup).asks([]).sleeps();
    pod.exits("app", 143).ends("Failed");
}

// ── results that are neither ──

#[test]
fn a_probe_that_could_not_be_carried_out_counts_as_none() {
    let mut pod = running("{containers: [{name: app, livenessProbe: {tcpSocket: {port: x}, failureThreshold: 1}}]}");
    for _ in 0..4 {
        pod.probed("app", Liveness, ProbeOutcome::Unknown("no port named \"x\"".into())).ignore("probe").wakes_in(10);
    }
    pod.shows("app", "running");
    pod.said("Unhealthy", "Warning: Liveness probe errored and resulted in unknown state: no port named \"x\"");
}

#[test]
fn a_warning_is_a_success_that_users_hear_of() {
    let mut pod = running(READY);
    pod.probed("app", Readiness, ProbeOutcome::Warning("Probe terminated redirects".into())).is_ready("app");
    pod.said("ProbeWarning", "Warning: Readiness probe warning: Probe terminated redirects");
}

// ── reports that come late ──

#[test]
fn a_result_of_an_incarnation_that_has_ended_is_ignored() {
    let mut pod = running(READY);
    pod.exits("app", 1).pulled("app").started("app").ignore("all");
    pod.probed_as("app", 0, Readiness, ProbeOutcome::Success).is_not_ready("app").asks([]);
}

#[test]
fn a_result_that_comes_twice_counts_once() {
    let mut pod = running("{containers: [{name: app, readinessProbe: {tcpSocket: {port: 1}, successThreshold: 2}}]}");
    pod.probe_ok("app", Readiness).probe_ok("app", Readiness).is_not_ready("app");
}

#[test]
fn a_result_of_a_probe_that_the_container_does_not_have_is_ignored() {
    let mut pod = running(READY);
    pod.ignore("probe").probe_fails("app", Liveness).probe_fails("app", Startup).asks([]).shows("app", "running");
}

// ── gates ──

const GATED: &str = "{readinessGates: [{conditionType: example.com/lb}], containers: [{name: app}]}";

#[test]
fn a_pod_waits_for_its_readiness_gates() {
    use nacelle_lifecycle::ConditionStatus::{False, True};
    let mut pod = running(GATED);
    pod.condition("ContainersReady", "True");
    pod.condition(
        "Ready",
        "False ReadinessGatesNotReady: corresponding condition of pod readiness gate \"example.com/lb\" does not exist.",
    );
    pod.condition_is_set("example.com/lb", False);
    pod.condition(
        "Ready",
        "False ReadinessGatesNotReady: the status of pod readiness gate \"example.com/lb\" is not \"True\", but False",
    );
    pod.after(3).condition_is_set("example.com/lb", True).condition("Ready", "True");
    pod.condition("example.com/lb", "True Said");
    assert_eq!((pod.changed_at("Ready"), pod.changed_at("example.com/lb")), (3, 3));
}

#[test]
fn open_gates_do_not_make_up_for_containers_that_are_not_ready() {
    use nacelle_lifecycle::ConditionStatus::True;
    let mut pod = running(GATED);
    pod.condition_is_set("example.com/lb", True).exits("app", 1);
    pod.condition("Ready", "False ContainersNotReady: containers with unready status: [app]");
}

#[test]
fn nobody_sets_the_kubelets_own_conditions() {
    use nacelle_lifecycle::ConditionStatus::False;
    let mut pod = running("{containers: [{name: app}]}");
    pod.condition_is_set("Ready", False).condition("Ready", "True");
    pod.condition_is_set("DisruptionTarget", False).has_no_condition("DisruptionTarget");
}
