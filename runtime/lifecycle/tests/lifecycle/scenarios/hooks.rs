//! `postStart` and `preStop`.

use nacelle_lifecycle::HookKind::{PostStart, PreStop};
use nacelle_lifecycle::ProbeKind::{Liveness, Readiness};

use crate::harness::Scenario;

const POST_START: &str = "{containers: [{name: app, lifecycle: {postStart: {httpGet: {port: 80}}}}]}";
const PRE_STOP: &str = "{containers: [{name: app, lifecycle: {preStop: {httpGet: {port: 80}}}}]}";
const SIDECAR: &str = "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always, lifecycle: {preStop: \
                       {sleep: {seconds: 5}}}}], containers: [{name: app}]}";

fn started(spec: &str) -> Scenario {
    let mut pod = Scenario::up(spec);
    pod.pulled("app").ignore("start").started("app");
    pod
}

// ── postStart ──

#[test]
fn post_start_runs_beside_the_entry_point_and_the_container_is_not_running_until_it_ends() {
    let mut pod = started(POST_START);
    pod.asks(["postStart app/0"]).shows("app", "waiting ContainerCreating").phase("Pending").is_not_ready("app");
    pod.tells(["Scheduled", "Pulled app", "Created app", "Started app"]);
    pod.hook_ends("app", PostStart).shows("app", "running").phase("Running").is_ready("app").asks([]);
}

#[test]
fn a_stop_signal_is_shown_once_the_container_was_made() {
    let mut pod = Scenario::up("{os: {name: linux}, containers: [{name: app, lifecycle: {stopSignal: SIGUSR1}}]}");
    pod.stops_by("app", None).pulled("app").ignore("start").started("app").stops_by("app", Some("SIGUSR1"));
}

#[test]
fn a_failed_post_start_kills_the_container() {
    let mut pod = started(POST_START);
    pod.ignore("hook").hook_fails("app", PostStart).asks(["stop app/0 30s"]).shows("app", "waiting ContainerCreating");
    pod.said("FailedPostStartHook", "Warning: PostStartHook failed").said("Killing", "Normal: FailedPostStartHook");
    pod.exits("app", 143).asks(["pull app"]).last("app", "terminated Error 143");
}

#[test]
fn a_failed_post_start_ends_a_pod_that_never_restarts() {
    let mut pod =
        started("{restartPolicy: Never, containers: [{name: app, lifecycle: {postStart: {sleep: {seconds: 1}}}}]}");
    pod.hook_fails("app", PostStart).ignore("stop").exits("app", 0).ends("Succeeded");
}

#[test]
fn each_incarnation_runs_its_post_start() {
    let mut pod = started(POST_START);
    pod.hook_ends("app", PostStart)
        .exits("app", 1)
        .pulled("app")
        .ignore("all")
        .started("app")
        .asks(["postStart app/1"]);
    pod.phase("Running").shows("app", "waiting ContainerCreating");
}

#[test]
fn post_start_is_asked_for_once() {
    let mut pod = started(POST_START);
    pod.asks(["postStart app/0"]).event(nacelle_lifecycle::Event::Tick).started("app").asks([]);
}

#[test]
fn a_program_that_ends_during_post_start_has_ended() {
    let mut pod = started(POST_START);
    pod.ignore("hook").exits("app", 3).last("app", "terminated Error 3").asks(["pull app"]);
    pod.hook_fails("app", PostStart).asks([]).tells(["Scheduled", "Pulled app", "Created app", "Started app"]);
}

#[test]
fn probes_wait_for_post_start() {
    let mut pod = started(
        "{containers: [{name: app, readinessProbe: {tcpSocket: {port: 1}, initialDelaySeconds: 5}, lifecycle: {postStart: \
         {sleep: {seconds: 3}}}}]}",
    );
    pod.asks(["postStart app/0"]).sleeps().after(3).hook_ends("app", PostStart).asks([]).wakes_in(2);
    pod.asks(["probe app/0 readiness"]);
}

#[test]
fn later_app_containers_wait_for_the_first_post_start_of_earlier_ones() {
    let mut pod =
        Scenario::up("{containers: [{name: a, lifecycle: {postStart: {sleep: {seconds: 1}}}}, {name: b}, {name: c}]}");
    pod.ignore("pulls").pulled("b").pulled("a").asks(["start a/0"]).started("a").asks(["postStart a/0"]);
    pod.hook_ends("a", PostStart).asks(["start b/0"]).pulled("c").asks(["start c/0"]);
    pod.started("b").started("c").exits("a", 1).pulled("a").ignore("restart").exits("b", 1).pulled("b");
    pod.asks(["pull b", "start b/1"]);
}

#[test]
fn a_sidecar_lets_its_successors_begin_after_its_post_start() {
    let mut pod = Scenario::up(
        "{initContainers: [{name: s, restartPolicy: Always, lifecycle: {postStart: {sleep: {seconds: 1}}}}], containers: \
         [{name: app}]}",
    );
    pod.runs("s").asks(["start s/0", "postStart s/0"]).hook_ends("s", PostStart).asks(["pull app"]);
}

#[test]
fn a_sidecar_that_ends_during_its_post_start_still_holds_back_its_successors() {
    let mut pod = Scenario::up(
        "{initContainers: [{name: s, restartPolicy: Always, lifecycle: {postStart: {sleep: {seconds: 1}}}}], containers: \
         [{name: app}]}",
    );
    pod.runs("s").ignore("all").exits("s", 1).asks(["pull s"]);
}

#[test]
fn deletion_during_post_start_stops_the_container() {
    let mut pod = started(POST_START);
    pod.ignore("hook").delete().asks(["stop app/0 30s"]).hook_ends("app", PostStart).shows("app", "running").asks([]);
    pod.exits("app", 143).ends("Failed");
}

#[test]
fn a_post_start_that_fails_does_not_let_a_sidecar_stop_before_its_turn() {
    let hooks = "{postStart: {sleep: {seconds: 1}}, preStop: {sleep: {seconds: 9}}}";
    let mut pod = Scenario::up(&format!(
        "{{initContainers: [{{name: s, restartPolicy: Always, lifecycle: {hooks}}}], containers: [{{name: app}}]}}"
    ));
    pod.runs("s").hook_ends("s", PostStart).runs("app").exits("s", 1).runs("s").ignore("all").delete();
    pod.asks(["preStop s/1", "stop app/0 30s"]).hook_fails("s", PostStart).hook_ends("s", PreStop).asks([]);
    pod.exits("app", 0).asks(["stop s/1 30s"]);
}

#[test]
fn a_post_start_that_fails_while_the_pod_stops_changes_nothing() {
    let mut pod = started(POST_START);
    pod.ignore("hook").delete().ignore("stop").hook_fails("app", PostStart).asks([]).exits("app", 0).ends("Succeeded");
}

#[test]
fn a_container_that_comes_to_be_while_the_pod_stops_runs_no_post_start() {
    let mut pod = Scenario::up(POST_START);
    pod.pulled("app").ignore("start").delete().asks(["stop app/0 30s"]).started("app").asks([]);
    pod.exits("app", 143).ends("Failed");
}

#[test]
fn a_failed_post_start_runs_pre_stop_as_any_kill_does() {
    let mut pod = started(
        "{containers: [{name: app, lifecycle: {postStart: {sleep: {seconds: 1}}, preStop: {sleep: {seconds: 1}}}}]}",
    );
    pod.ignore("hook").hook_fails("app", PostStart).asks(["preStop app/0"]).hook_ends("app", PreStop);
    pod.asks(["stop app/0 30s"]);
}

#[test]
fn a_hook_of_the_deprecated_kind_is_none() {
    let mut pod = started(
        "{containers: [{name: app, lifecycle: {postStart: {tcpSocket: {port: 1}}, preStop: {tcpSocket: {port: 1}}}}]}",
    );
    pod.shows("app", "running").delete().asks(["stop app/0 30s"]);
}

// ── preStop ──

#[test]
fn pre_stop_comes_first_and_takes_from_the_grace_period() {
    let mut pod = started(PRE_STOP);
    pod.delete().asks(["preStop app/0"]).said("Killing", "Normal: Stopping container app").shows("app", "running");
    pod.after(12).hook_ends("app", PreStop).asks(["stop app/0 18s"]).exits("app", 0).ends("Succeeded");
}

#[test]
fn a_container_that_pre_stop_left_no_time_gets_two_seconds() {
    let mut pod = started(PRE_STOP);
    pod.delete().ignore("hook").wakes_in(30).asks(["stop app/0 2s"]).hook_ends("app", PreStop).asks([]);
}

#[test]
fn a_container_that_pre_stop_left_a_second_gets_two() {
    let mut pod = started(PRE_STOP);
    pod.delete().ignore("hook").after(29).hook_ends("app", PreStop).asks(["stop app/0 2s"]);
}

#[test]
fn a_failed_pre_stop_is_told_and_the_stop_goes_on() {
    let mut pod = started(PRE_STOP);
    pod.delete().ignore("hook").hook_fails("app", PreStop).asks(["stop app/0 30s"]);
    pod.said("FailedPreStopHook", "Warning: PreStopHook failed");
}

#[test]
fn a_program_that_ends_during_pre_stop_has_ended() {
    let mut pod = started(PRE_STOP);
    pod.delete().ignore("hook").exits("app", 0).ends("Succeeded").hook_fails("app", PreStop).is_finished();
}

#[test]
fn users_hear_once_that_a_container_is_stopped() {
    let mut pod = started(PRE_STOP);
    pod.delete().hook_ends("app", PreStop).tells([
        "Scheduled",
        "Pulled app",
        "Created app",
        "Started app",
        "Killing app",
    ]);
}

#[test]
fn a_period_of_zero_leaves_no_time_for_hooks() {
    let mut pod = started(PRE_STOP);
    pod.delete_within(0).asks(["stop app/0 0ns"]);
}

#[test]
fn a_second_delete_shortens_a_pre_stop() {
    let mut pod = started(PRE_STOP);
    pod.delete().ignore("hook").after(3).delete_within(5).asks([]).wakes_in(5).asks(["stop app/0 2s"]);
}

#[test]
fn a_second_delete_with_zero_ends_a_pre_stop() {
    let mut pod = started(PRE_STOP);
    pod.delete().ignore("hook").after(3).delete_within(0).asks(["stop app/0 0ns"]).exits("app", 137).ends("Failed");
}

#[test]
fn a_container_that_is_only_being_made_has_no_pre_stop() {
    let mut pod = Scenario::up(PRE_STOP);
    pod.pulled("app").ignore("start").delete().asks(["stop app/0 30s"]).started("app").asks([]);
}

#[test]
fn deletion_during_post_start_runs_pre_stop() {
    let mut pod = started(
        "{containers: [{name: app, lifecycle: {postStart: {sleep: {seconds: 9}}, preStop: {sleep: {seconds: 1}}}}]}",
    );
    pod.ignore("hook").delete().asks(["preStop app/0"]).hook_ends("app", PreStop).asks(["stop app/0 30s"]);
}

#[test]
fn a_liveness_failure_runs_pre_stop_within_the_probes_period() {
    let mut pod = started(
        "{containers: [{name: app, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1, \
         terminationGracePeriodSeconds: 10}, lifecycle: {preStop: {sleep: {seconds: 5}}}}]}",
    );
    pod.ignore("probe").probe_fails("app", Liveness).asks(["preStop app/0"]).after(4).hook_ends("app", PreStop);
    pod.asks(["stop app/0 6s"]).exits("app", 0).asks(["pull app"]);
}

#[test]
fn an_exit_runs_no_pre_stop() {
    started(PRE_STOP).exits("app", 1).asks(["pull app"]);
}

#[test]
fn an_eviction_runs_pre_stop() {
    let mut pod = started(PRE_STOP);
    pod.evict().asks(["preStop app/0"]).hook_ends("app", PreStop).asks(["stop app/0 30s"]);
}

#[test]
fn a_deadline_runs_pre_stop() {
    let mut pod =
        started("{activeDeadlineSeconds: 5, containers: [{name: app, lifecycle: {preStop: {sleep: {seconds: 1}}}}]}");
    pod.wakes_in(5).asks(["preStop app/0"]);
}

#[test]
fn each_container_runs_its_own_pre_stop() {
    let hook = "lifecycle: {preStop: {sleep: {seconds: 1}}}";
    let mut pod = Scenario::up(&format!("{{containers: [{{name: a, {hook}}}, {{name: b}}, {{name: c, {hook}}}]}}"));
    pod.runs("a").runs("b").runs("c").ignore("starts").delete();
    pod.asks(["preStop a/0", "stop b/0 30s", "preStop c/0"]).hook_ends("c", PreStop).asks(["stop c/0 30s"]);
}

// ── sidecars ──

#[test]
fn a_sidecars_pre_stop_begins_with_the_others_and_its_stop_waits_for_its_turn() {
    let mut pod = Scenario::up(SIDECAR);
    pod.runs("s").runs("app").ignore("starts").delete().asks(["preStop s/0", "stop app/0 30s"]);
    pod.hook_ends("s", PreStop).asks([]).after(3).exits("app", 0).asks(["stop s/0 27s"]);
}

#[test]
fn a_sidecars_stop_waits_for_its_pre_stop() {
    let mut pod = Scenario::up(SIDECAR);
    pod.runs("s").runs("app").ignore("starts").exits("app", 0).asks(["preStop s/0"]).after(5);
    pod.hook_ends("s", PreStop).asks(["stop s/0 25s"]).exits("s", 0).ends("Succeeded");
}

#[test]
fn sidecars_that_have_hooks_still_stop_in_reverse_order() {
    let sidecar =
        |name| format!("{{name: {name}, restartPolicy: Always, lifecycle: {{preStop: {{sleep: {{seconds: 1}}}}}}}}");
    let inits = [sidecar("s1"), sidecar("s2")].join(", ");
    let spec = format!("{{restartPolicy: Never, initContainers: [{inits}], containers: [{{name: app}}]}}");
    let mut pod = Scenario::up(&spec);
    pod.runs("s1").runs("s2").runs("app").ignore("starts").exits("app", 0).asks(["preStop s1/0", "preStop s2/0"]);
    pod.hook_ends("s1", PreStop).asks([]).hook_ends("s2", PreStop).asks(["stop s2/0 30s"]).exits("s2", 0);
    pod.asks(["stop s1/0 30s"]).exits("s1", 0).ends("Succeeded");
}

#[test]
fn a_sidecar_that_is_stopped_alone_does_not_wait_for_its_turn() {
    let mut pod = Scenario::up(
        "{initContainers: [{name: s, restartPolicy: Always, livenessProbe: {tcpSocket: {port: 1}, failureThreshold: 1}}], \
         containers: [{name: app}]}",
    );
    pod.runs("s").runs("app").ignore("all").probe_fails("s", Liveness).asks(["stop s/0 30s"]).delete();
    pod.asks(["stop app/0 30s"]);
}

#[test]
fn readiness_is_looked_at_during_pre_stop() {
    let mut pod = started(
        "{containers: [{name: app, readinessProbe: {tcpSocket: {port: 1}}, lifecycle: {preStop: {sleep: {seconds: 25}}}}]}",
    );
    pod.probe_ok("app", Readiness).ignore("probe").delete().asks(["preStop app/0"]).wakes_in(10);
    pod.asks(["probe app/0 readiness"]).is_ready("app");
}
