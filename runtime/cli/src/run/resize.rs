//! What is said of a resize: what changes, and why it cannot.

use nacelle_spec::k8s_openapi::api::core::v1::ResourceRequirements;
use nacelle_spec::{CheckedPod, Diagnostic};

use super::reload::title;

/// The resources that a running pod can be given, as their paths have them.
const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// What `new` has other than `old`, a line for the pod and for each container: what is asked for, not yet what is.
pub(super) fn changes_of(old: &CheckedPod, new: &CheckedPod) -> Vec<String> {
    let none = ResourceRequirements::default();
    let pod = changes(old.spec().resources.as_ref().unwrap_or(&none), new.spec().resources.as_ref().unwrap_or(&none));
    let pod = (!pod.is_empty()).then(|| format!("pod {} is to have {}", title(new), pod.join(", ")));
    let containers = new.containers().filter_map(|container| {
        let name = &container.spec.name;
        let before = old.container(name)?.spec.resources.as_ref().unwrap_or(&none);
        let changes = changes(before, container.spec.resources.as_ref().unwrap_or(&none));
        (!changes.is_empty())
            .then(|| format!("container {name} of pod {} is to have {}", title(new), changes.join(", ")))
    });
    pod.into_iter().chain(containers).collect()
}

/// `limits.memory 64Mi → 128Mi` for each that differs.
pub(super) fn changes(old: &ResourceRequirements, new: &ResourceRequirements) -> Vec<String> {
    let lists = [("requests", &old.requests, &new.requests), ("limits", &old.limits, &new.limits)];
    let mut changes = Vec::new();
    for (list, old, new) in lists {
        for name in RESOURCES {
            let [old, new] = [old, new].map(|list| list.as_ref().and_then(|list| list.get(name)));
            if old != new {
                let [old, new] = [old, new].map(|quantity| quantity.map_or("none", |quantity| quantity.0.as_str()));
                changes.push(format!("{list}.{name} {old} → {new}"));
            }
        }
    }
    changes
}

/// Why a pod that runs cannot be resized so.
pub(super) fn refusals(pod: &CheckedPod, refused: &[Diagnostic]) -> Vec<String> {
    refused.iter().map(|why| format!("pod {} is not resized: {}: {}", title(pod), why.path, why.message)).collect()
}

#[cfg(test)]
mod tests {
    use nacelle_spec::{Source, load};

    use super::*;

    fn pod(pod: &str, container: &str) -> CheckedPod {
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{resources: {{{pod}}}, containers: [{{name: app, \
             image: 'file:app.wasm', resources: {{{container}}}}}, {{name: other, image: 'file:app.wasm'}}]}}}}"
        );
        let loaded = load(&[Source { name: "pod.yaml".into(), bytes: manifest.into() }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded.pods[0].pod.clone()
    }

    #[test]
    fn what_changes_is_named() {
        let old = pod("limits: {cpu: 2}", "requests: {cpu: 1, memory: 64Mi}");
        let new = pod("limits: {cpu: 3}", "requests: {cpu: 1, memory: 64Mi}, limits: {memory: 128Mi}");
        assert_eq!(
            changes_of(&old, &new),
            [
                "pod default/web is to have limits.cpu 2 → 3",
                "container app of pod default/web is to have limits.memory none → 128Mi",
            ]
        );
        assert_eq!(changes_of(&old, &old), Vec::<String>::new());
    }

    #[test]
    fn what_the_api_server_would_refuse_is_said_with_its_words() {
        let old = pod("", "requests: {cpu: 1}, limits: {cpu: 1}");
        let new = pod("", "requests: {cpu: 1}");
        let refused = old.resize(&new).expect_err("refused");
        assert_eq!(
            refusals(&new, &refused),
            ["pod default/web is not resized: spec.containers[0].resources.limits: Forbidden: resource limits cannot \
                 be removed",]
        );
    }
}
