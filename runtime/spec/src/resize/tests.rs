#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn pod(spec: &str) -> CheckedPod {
    let yaml = format!("{{metadata: {{name: web}}, spec: {{{spec}}}}}");
    let pod = serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    CheckedPod::check(pod).unwrap_or_else(|found| panic!("{yaml}: {found:?}")).0
}

fn one(resources: &str) -> CheckedPod {
    pod(&format!("containers: [{{name: a, image: \"a:1\", resources: {{{resources}}}}}]"))
}

fn refused(old: &CheckedPod, new: &CheckedPod) -> Vec<String> {
    old.resize(new).expect_err("refused").iter().map(ToString::to_string).collect()
}

const BURSTABLE: &str = "requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}";

#[test]
fn cpu_and_memory_change_and_the_generation_counts() {
    let new = one("requests: {cpu: 200m, memory: 64Mi}, limits: {cpu: 400m, memory: 96Mi}");
    let resized = one(BURSTABLE).resize(&new).unwrap().unwrap();
    assert_eq!((resized.spec(), resized.generation()), (new.spec(), Some(2)));
    assert_eq!(resized.resize(&new), Ok(None));
    let limited = resized.resize(&one(BURSTABLE)).unwrap().unwrap();
    assert_eq!(limited.generation(), Some(3));
}

#[test]
fn limits_may_be_added_but_nothing_removed() {
    let asks = one("requests: {cpu: 100m}");
    assert!(asks.resize(&one("requests: {cpu: 100m}, limits: {cpu: 1}")).unwrap().is_some());
    assert_eq!(
        refused(&one(BURSTABLE), &asks),
        [
            "error: spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
            "error: spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
        ]
    );
    let limited = "containers: [{name: a, image: \"a:1\", resources: {requests: {cpu: 1m}}}]";
    assert_eq!(
        refused(&pod(&format!("{limited}, resources: {{limits: {{cpu: 1}}}}")), &pod(limited)),
        [
            "error: spec.resources.requests: Forbidden: resource requests cannot be removed",
            "error: spec.resources.limits: Forbidden: resource limits cannot be removed",
        ]
    );
}

#[test]
fn the_class_stays() {
    let guaranteed = one("limits: {cpu: 1, memory: 64Mi}");
    let class = |class: &str| {
        format!("error: spec: Invalid value: {class:?}: Pod QOS Class may not change as a result of resizing")
    };
    assert_eq!(refused(&one(BURSTABLE), &guaranteed), [class("Guaranteed")]);
    assert_eq!(refused(&guaranteed, &one("limits: {cpu: 1, memory: 64Mi}, requests: {cpu: 1m}")), [class("Burstable")]);
    assert_eq!(refused(&one(""), &one("requests: {cpu: 1m}")), [class("Burstable")]);
}

#[test]
fn nothing_else_changes() {
    const ONLY: &str = "error: spec: Forbidden: only cpu and memory resources are mutable";
    let old = one(BURSTABLE);
    for other in [
        one("requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi, nacelle.dev/fuel: 5}"),
        one("requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi, ephemeral-storage: 5}"),
        pod(&format!("containers: [{{name: a, image: \"a:2\", resources: {{{BURSTABLE}}}}}]")),
        pod(&format!("hostname: h, containers: [{{name: a, image: \"a:1\", resources: {{{BURSTABLE}}}}}]")),
    ] {
        assert_eq!(refused(&old, &other), [ONLY], "{:?}", other.spec());
    }
    let two = "{name: a, image: \"a:1\"}, {name: b, image: \"a:1\"}";
    let renamed = "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize";
    assert_eq!(
        refused(&one(""), &pod(&format!("containers: [{two}]"))),
        ["error: spec.containers: Forbidden: containers may not be added or removed on resize"]
    );
    assert!(refused(&one(""), &pod("containers: [{name: b, image: \"a:1\"}]")).contains(&format!("error: {renamed}")));
}

#[test]
fn sidecars_change_and_init_containers_do_not() {
    let with = |init: &str, sidecar: &str| {
        pod(&format!(
            "initContainers: [{{name: i, image: \"a:1\", resources: {{requests: {{cpu: {init}}}}}}}, {{name: s, image: \
             \"a:1\", restartPolicy: Always, resources: {{requests: {{cpu: {sidecar}}}}}}}], containers: [{{name: a, \
             image: \"a:1\"}}]"
        ))
    };
    let old = with("1", "1");
    assert_eq!(old.resize(&with("1", "2")).unwrap().unwrap().spec(), with("1", "2").spec());
    assert_eq!(
        refused(&old, &with("2", "1")),
        ["error: spec.initContainers[0].resources: Forbidden: resources for non-sidecar init containers are immutable"]
    );
    // What may change can be told from what may not.
    assert_eq!(old.with_resources_of(&with("2", "2")).spec(), with("1", "2").spec());
}

#[test]
fn the_policy_says_what_a_change_takes() {
    let with = |policy: &str, resources: &str| {
        pod(&format!("containers: [{{name: a, image: \"a:1\", resizePolicy: [{policy}], resources: {{{resources}}}}}]"))
    };
    let cpu =
        "{resourceName: cpu, restartPolicy: RestartContainer}, {resourceName: memory, restartPolicy: NotRequired}";
    let memory = "{resourceName: memory, restartPolicy: RestartContainer}";
    for (policy, resources, expected) in [
        ("", BURSTABLE, ResizeAction::Nothing),
        ("", "requests: {cpu: 0.1, memory: 65536Ki}, limits: {cpu: 0.2, memory: 128Mi}", ResizeAction::Nothing),
        ("", "requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 300m, memory: 256Mi}", ResizeAction::InPlace),
        (cpu, "requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 300m, memory: 128Mi}", ResizeAction::Restart),
        (cpu, "requests: {cpu: 150m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}", ResizeAction::Restart),
        (cpu, "requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 96Mi}", ResizeAction::InPlace),
        (memory, "requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 96Mi}", ResizeAction::Restart),
        (memory, "requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 300m, memory: 128Mi}", ResizeAction::InPlace),
    ] {
        let (present, wanted) = (one(BURSTABLE), with(policy, resources));
        let present = present.container("a").unwrap().spec.resources.clone().unwrap();
        assert_eq!(wanted.container("a").unwrap().resize_action(&present), expected, "{policy} {resources}");
    }
}
