//! How the ephemeral containers of a pod that runs may change: more may come, none may change or go.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{EphemeralContainer, Pod};

use super::report::Report;
use crate::{Diagnostic, FieldPath};

/// All that keeps the pod `old`, which runs, from getting the ephemeral containers of `new`. Both are valid pods.
pub(crate) fn ephemeral(old: &Pod, new: &Pod) -> Vec<Diagnostic> {
    let mut report = Report::default();
    let path = FieldPath::root().field("spec").field("ephemeralContainers");
    let named: HashMap<&str, &EphemeralContainer> = list(new).map(|one| (one.name.as_str(), one)).collect();
    for old in list(old) {
        let name = &old.name;
        match named.get(name.as_str()) {
            None => report.forbidden(&path, &format!("existing ephemeral containers {name:?} may not be removed")),
            Some(new) if *new != old => {
                report.forbidden(&path, &format!("existing ephemeral containers {name:?} may not be changed"));
            }
            Some(_) => {}
        }
    }
    report.finish()
}

fn list(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten())
}
