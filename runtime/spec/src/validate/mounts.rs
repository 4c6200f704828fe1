//! Volume mounts.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::names::relative_path_problem;
use super::report::Report;
use super::volumes::VolumeNames;
use crate::FieldPath;

pub(super) fn check(container: &Container, volumes: &VolumeNames<'_>, path: &FieldPath, report: &mut Report) {
    let mut places = HashSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = path.field("volumeMounts").index(index);
        match mount.name.as_str() {
            "" => report.required(&path.field("name"), ""),
            name if !volumes.contains(name) => report.not_found(&path.field("name"), name),
            _ => {}
        }
        check_place(&mount.mount_path, &mut places, &path.field("mountPath"), report);
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
        if let Some(problem) = relative_path_problem(sub_path) {
            report.invalid(&path.field("subPath"), sub_path, problem);
        }
        if let Some(problem) = relative_path_problem(expression) {
            report.invalid(&path.field("subPathExpr"), expression, problem);
        }
        if !sub_path.is_empty() && !expression.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            report.invalid(&path.field("subPathExpr"), expression, detail);
        }
        check_modes(mount, is_privileged(container), &path, report);
    }
}

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true))
}

fn check_modes(mount: &VolumeMount, privileged: bool, path: &FieldPath, report: &mut Report) {
    let propagation = mount.mount_propagation.as_deref();
    report.one_of(&path.field("mountPropagation"), propagation, &["Bidirectional", "HostToContainer", "None"]);
    if propagation == Some("Bidirectional") && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        report.forbidden(&path.field("mountPropagation"), detail);
    }
    let path = path.field("recursiveReadOnly");
    let recursive = mount.recursive_read_only.as_deref();
    report.one_of(&path, recursive, &["Disabled", "Enabled", "IfPossible"]);
    if matches!(recursive, Some("Enabled" | "IfPossible")) {
        if mount.read_only != Some(true) {
            report.forbidden(&path, "may only be specified when readOnly is true");
        }
        if propagation.is_some_and(|propagation| propagation != "None") {
            report.forbidden(&path, "may only be specified when mountPropagation is None or not specified");
        }
    }
}

fn check_place(mount_path: &str, places: &mut HashSet<String>, path: &FieldPath, report: &mut Report) {
    if mount_path.is_empty() {
        return report.required(path, "");
    }
    if mount_path.contains(':') {
        report.invalid(path, mount_path, "must not contain ':'");
    }
    if mount_path.split('/').any(|part| part == "..") {
        report.invalid(path, mount_path, "must not contain '..'");
    }
    // The same place has several spellings; Kubernetes compares only the texts and lets the mounts shadow each other.
    let place = mount_path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
    if !places.insert(place) {
        report.invalid(path, mount_path, "must be unique");
    }
}
