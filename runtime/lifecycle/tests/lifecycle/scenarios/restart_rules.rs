//! Containers' own restart policies and rules, and the restart of all containers.

use nacelle_lifecycle::StartFailure;

use crate::harness::Scenario;

fn rule(action: &str, codes: &str) -> String {
    format!("restartPolicyRules: [{{action: {action}, exitCodes: {{operator: In, values: [{codes}]}}}}]")
}

/// An init container, a sidecar and two apps, of which `a` restarts all with 42.
fn gang() -> Scenario {
    let all = rule("RestartAllContainers", "42");
    let spec = format!(
        "{{restartPolicy: Never, initContainers: [{{name: init}}, {{name: s, restartPolicy: Always, lifecycle: {{preStop: \
         {{sleep: {{seconds: 5}}}}}}}}], containers: [{{name: a, restartPolicy: Never, {all}}}, {{name: b}}]}}"
    );
    let mut pod = Scenario::up(&spec);
    pod.runs("init").exits("init", 0).runs("s").runs("a").runs("b").ignore("starts");
    pod
}

// ── a container's own policy ──

#[test]
fn a_containers_own_policy_holds_over_the_pods() {
    let mut pod = Scenario::up("{restartPolicy: Never, containers: [{name: a, restartPolicy: Always}, {name: b}]}");
    pod.runs("a").runs("b").ignore("starts").exits("b", 0).asks([]).exits("a", 0).asks(["pull a"]).phase("Running");
}

#[test]
fn a_container_that_never_restarts_in_a_pod_that_does() {
    let mut pod = Scenario::up("{containers: [{name: a, restartPolicy: Never}, {name: b}]}");
    pod.runs("a").runs("b").ignore("starts").exits("a", 1).asks([]).shows("a", "terminated Error 1").phase("Running");
    pod.exits("b", 0).asks(["pull b"]);
}

#[test]
fn on_failure_of_one_container() {
    let mut pod = Scenario::up("{restartPolicy: Never, containers: [{name: app, restartPolicy: OnFailure}]}");
    pod.runs("app").ignore("start").exits("app", 1).asks(["pull app"]).runs("app").ignore("start").exits("app", 0);
    pod.ends("Succeeded");
}

#[test]
fn a_pod_whose_containers_all_never_restart_ends() {
    let mut pod = Scenario::up("{containers: [{name: a, restartPolicy: Never}, {name: b, restartPolicy: Never}]}");
    pod.runs("a").runs("b").ignore("starts").exits("a", 0).exits("b", 1).ends("Failed");
}

#[test]
fn an_init_container_that_never_restarts_fails_its_pod() {
    let mut pod = Scenario::up("{initContainers: [{name: init, restartPolicy: Never}], containers: [{name: app}]}");
    pod.runs("init").ignore("start").exits("init", 1).ends("Failed");
}

#[test]
fn an_init_container_that_restarts_in_a_pod_that_never_does() {
    let mut pod = Scenario::up(
        "{restartPolicy: Never, initContainers: [{name: init, restartPolicy: OnFailure}], containers: [{name: app}]}",
    );
    pod.runs("init").ignore("start").exits("init", 1).asks(["pull init"]).runs("init").exits("init", 0);
    pod.asks(["start init/1", "pull app"]);
}

// ── rules ──

#[test]
fn a_rule_restarts_a_container_that_never_restarts() {
    let rule = rule("Restart", "42");
    let mut pod =
        Scenario::up(&format!("{{restartPolicy: Never, containers: [{{name: app, restartPolicy: Never, {rule}}}]}}"));
    pod.runs("app").ignore("start").exits("app", 42).asks(["pull app"]).runs("app").ignore("start").exits("app", 1);
    pod.ends("Failed");
}

#[test]
fn a_rule_backs_off_as_any_restart_does() {
    let rule = rule("Restart", "42");
    let mut pod =
        Scenario::up(&format!("{{restartPolicy: Never, containers: [{{name: app, restartPolicy: Never, {rule}}}]}}"));
    pod.runs("app")
        .exits("app", 42)
        .runs("app")
        .exits("app", 42)
        .ignore("all")
        .shows("app", "waiting CrashLoopBackOff");
    pod.wakes_in(10).asks(["pull app"]);
}

#[test]
fn a_rule_that_does_not_speak_of_the_code_leaves_it_to_the_policy() {
    let rule = rule("Restart", "42");
    let mut pod = Scenario::up(&format!("{{containers: [{{name: app, restartPolicy: OnFailure, {rule}}}]}}"));
    pod.runs("app").ignore("start").exits("app", 0).ends("Succeeded");
}

#[test]
fn not_in_speaks_of_all_other_codes() {
    let mut pod = Scenario::up(
        "{restartPolicy: Never, containers: [{name: app, restartPolicy: Never, restartPolicyRules: [{action: Restart, \
         exitCodes: {operator: NotIn, values: [0, 1]}}]}]}",
    );
    pod.runs("app").ignore("start").exits("app", 7).asks(["pull app"]).runs("app").ignore("start").exits("app", 1);
    pod.ends("Failed");
}

#[test]
fn a_rule_of_an_init_container_does_not_undo_its_success() {
    let rule = rule("Restart", "0, 3");
    let mut pod = Scenario::up(&format!(
        "{{initContainers: [{{name: init, restartPolicy: Never, {rule}}}], containers: [{{name: app}}]}}"
    ));
    pod.runs("init").ignore("start").exits("init", 3).asks(["pull init"]).runs("init").ignore("start").exits("init", 0);
    pod.asks(["pull app"]);
}

// ── all containers ──

#[test]
fn an_exit_restarts_all_containers_from_the_first_init_container_on() {
    let mut pod = gang();
    pod.exits("a", 42).asks(["stop s/0 0ns", "stop b/0 0ns"]);
    pod.condition(
        "AllContainersRestarting",
        "True RestartAllContainersStarted: container exited with restart policy rule",
    );
    pod.shows("a", "waiting RestartingAllContainers").last("a", "terminated Error 42");
    pod.exits("b", 137).asks([]).exits("s", 137).asks(["pull init"]).condition("AllContainersRestarting", "False");
    pod.runs("init").exits("init", 0).asks(["start init/1", "pull s"]).runs("s").asks([
        "start s/1",
        "pull a",
        "pull b",
    ]);
    pod.runs("a").runs("b").asks(["start a/1", "start b/1"]).restarts("init", 1).restarts("b", 1).phase("Running");
}

#[test]
fn the_sandbox_and_the_address_stay() {
    let mut pod = gang();
    pod.exits("a", 42).exits("b", 137).exits("s", 137).condition("PodReadyToStartContainers", "True");
    assert_eq!(pod.status().pod_ip.as_deref(), Some("10.0.0.7"));
}

#[test]
fn pre_stop_hooks_do_not_run_when_all_start_over() {
    let mut pod = gang();
    pod.exits("a", 42).asks(["stop s/0 0ns", "stop b/0 0ns"]);
}

#[test]
fn containers_that_had_ended_for_good_run_again() {
    let mut pod = gang();
    pod.exits("b", 0).exits("a", 42).ignore("stop").shows("b", "waiting RestartingAllContainers").exits("s", 0);
    pod.asks(["pull init"]).last("b", "terminated Completed 0");
}

#[test]
fn a_second_restart_of_all_waits_for_the_back_off_of_the_one_that_asks_for_it() {
    let mut pod = gang();
    pod.exits("a", 42).exits("b", 137).exits("s", 137);
    pod.runs("init").exits("init", 0).runs("s").runs("a").runs("b").ignore("second round");
    pod.exits("a", 42).shows("a", "waiting CrashLoopBackOff").exits("b", 137).exits("s", 137).ignore("stops");
    pod.wakes_in(10).asks(["pull init"]);
}

#[test]
fn a_container_that_was_being_made_is_stopped_too() {
    let mut pod = gang();
    pod.exits("s", 1).pulled("s").ignore("restart").exits("a", 42).asks(["stop s/1 0ns", "stop b/0 0ns"]);
    pod.start_fails("s", StartFailure::CreateContainerError, "given up").exits("b", 137).asks(["pull init"]);
}

#[test]
fn an_init_container_may_restart_all() {
    let all = rule("RestartAllContainers", "42");
    let spec = format!(
        "{{initContainers: [{{name: i1}}, {{name: i2, restartPolicy: Never, {all}}}], containers: [{{name: app}}]}}"
    );
    let mut pod = Scenario::up(&spec);
    pod.runs("i1").exits("i1", 0).runs("i2").ignore("starts").exits("i2", 42).asks(["pull i1"]).phase("Pending");
}

#[test]
fn a_sidecar_may_restart_all() {
    let all = rule("RestartAllContainers", "88");
    let spec = format!("{{initContainers: [{{name: s, restartPolicy: Always, {all}}}], containers: [{{name: app}}]}}");
    let mut pod = Scenario::up(&spec);
    pod.runs("s")
        .runs("app")
        .ignore("starts")
        .exits("s", 88)
        .asks(["stop app/0 0ns"])
        .exits("app", 137)
        .asks(["pull s"]);
}

#[test]
fn a_delete_while_all_start_over_ends_the_pod() {
    let mut pod = gang();
    pod.exits("a", 42).ignore("stops").delete().asks([]).exits("b", 137).exits("s", 137).ends("Failed");
    pod.shows("a", "terminated Error 42").condition("AllContainersRestarting", "False PodFailed");
}

#[test]
fn a_rule_means_nothing_to_a_pod_that_stops() {
    let mut pod = gang();
    pod.delete().ignore("stops").exits("a", 42).exits("b", 0).exits("s", 0).ignore("stops");
    pod.phase("Failed").shows("a", "terminated Error 42");
}

#[test]
fn a_pull_that_fails_while_all_start_over_is_forgotten() {
    let mut pod = gang();
    pod.exits("b", 0).exits("s", 1).ignore("pull").exits("a", 42).pull_fails("s").asks(["pull init"]).sleeps();
}

#[test]
fn a_pod_without_such_a_rule_has_no_such_condition() {
    Scenario::up("{containers: [{name: app}]}").has_no_condition("AllContainersRestarting");
}
