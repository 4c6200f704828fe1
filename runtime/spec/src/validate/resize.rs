//! In-place resize (KEP-1287): what a `resizePolicy` may say, and how the resources of a pod that runs may change. The
//! rules and words are those of the API server's `resize` subresource.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};

use super::report::Report;
use crate::qos::qos_class;
use crate::resize::{RESIZABLE, is_sidecar, take_resources};
use crate::resources::{List, quantities};
use crate::{Diagnostic, FieldPath};

/// The `resizePolicy` of a container that may be resized. `path` is the container's.
pub(super) fn check_policies(container: &Container, spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    let path = path.field("resizePolicy");
    // A sidecar is restarted whatever the pod's policy is.
    let restarts = spec.restart_policy.as_deref() != Some("Never") || is_sidecar(container);
    let mut seen = HashSet::new();
    for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
        let path = path.index(index);
        let (resource, policy) = (policy.resource_name.as_str(), policy.restart_policy.as_str());
        if !seen.insert(resource) {
            report.duplicate(&path, resource);
        }
        match resource {
            "" => report.required(&path.field("resourceName"), ""),
            resource => report.one_of(&path.field("resourceName"), Some(resource), &RESIZABLE),
        }
        let policy_path = path.field("restartPolicy");
        match policy {
            "" => report.required(&policy_path, ""),
            policy => report.one_of(&policy_path, Some(policy), &["NotRequired", "RestartContainer"]),
        }
        if policy == "RestartContainer" && !restarts {
            report.invalid(&policy_path, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

/// All that keeps the pod `old`, which runs, from becoming `new`. Both are valid pods.
pub(crate) fn resize(old: &Pod, new: &Pod) -> Vec<Diagnostic> {
    let mut report = Report::default();
    let path = FieldPath::root().field("spec");
    if let (Some(old), Some(new)) = (&old.spec, &new.spec) {
        check_spec(old, new, &path, &mut report);
    }
    report.finish()
}

fn check_spec(old: &PodSpec, new: &PodSpec, path: &FieldPath, report: &mut Report) {
    let class = qos_class(new);
    if qos_class(old) != class {
        report.invalid(path, class.as_str(), "Pod QOS Class may not change as a result of resizing");
    }
    let lists = [
        ("containers", Some(&old.containers), Some(&new.containers)),
        ("initContainers", old.init_containers.as_ref(), new.init_containers.as_ref()),
    ];
    for (list, old, new) in lists {
        let (old, new) = (old.map_or(&[][..], Vec::as_slice), new.map_or(&[][..], Vec::as_slice));
        check_containers(old, new, list, path, report);
    }
    check_removed(old.resources.as_ref(), new.resources.as_ref(), &path.field("resources"), report);
    let mut resized = old.clone();
    take_resources(&mut resized, new);
    // What else is wrong with the lists of containers has been said.
    if report.is_empty() && resized != *new {
        report.forbidden(path, "only cpu and memory resources are mutable");
    }
}

fn check_containers(old: &[Container], new: &[Container], list: &str, path: &FieldPath, report: &mut Report) {
    let path = path.field(list);
    if old.len() != new.len() {
        return report.forbidden(&path, "containers may not be added or removed on resize");
    }
    for (index, (old, new)) in old.iter().zip(new).enumerate() {
        let path = path.index(index);
        if old.name != new.name {
            report.forbidden(&path.field("name"), "containers may not be renamed or reordered on resize");
            continue;
        }
        let resources = path.field("resources");
        if list == "initContainers" && !is_sidecar(old) {
            if old.resources != new.resources {
                report.forbidden(&resources, "resources for non-sidecar init containers are immutable");
            }
            continue;
        }
        check_removed(old.resources.as_ref(), new.resources.as_ref(), &resources, report);
    }
}

fn check_removed(
    old: Option<&ResourceRequirements>,
    new: Option<&ResourceRequirements>,
    path: &FieldPath,
    report: &mut Report,
) {
    for (field, list) in [("requests", List::Requests), ("limits", List::Limits)] {
        let of = |resources| quantities(resources, list);
        let kept = |name: &String| new.and_then(of).is_some_and(|new| new.contains_key(name));
        if !old.and_then(of).into_iter().flat_map(BTreeMap::keys).all(kept) {
            report.forbidden(&path.field(field), &format!("resource {field} cannot be removed"));
        }
    }
}
