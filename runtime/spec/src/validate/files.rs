//! The volumes made of files that the manifest lists: configMap, secret, downwardAPI, projected.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath, ProjectedVolumeSource,
    SecretVolumeSource, VolumeProjection,
};

use super::downward::{self, Place};
use super::env::check_object_name;
use super::names::relative_path_problem;
use super::report::Report;
use crate::FieldPath;

const MODES: std::ops::RangeInclusive<i32> = 0..=0o777;

pub(super) fn check_config_map(source: &ConfigMapVolumeSource, path: &FieldPath, report: &mut Report) {
    check_object_name(&source.name, path, report);
    check_mode(source.default_mode, &path.field("defaultMode"), report);
    check_items(source.items.as_deref(), &path.field("items"), report);
}

pub(super) fn check_secret(source: &SecretVolumeSource, path: &FieldPath, report: &mut Report) {
    if source.secret_name.as_deref().unwrap_or_default().is_empty() {
        report.required(&path.field("secretName"), "");
    }
    check_mode(source.default_mode, &path.field("defaultMode"), report);
    check_items(source.items.as_deref(), &path.field("items"), report);
}

pub(super) fn check_downward_api(
    source: &DownwardAPIVolumeSource,
    containers: &HashSet<&str>,
    path: &FieldPath,
    report: &mut Report,
) {
    check_mode(source.default_mode, &path.field("defaultMode"), report);
    check_downward_files(source.items.as_deref(), containers, &path.field("items"), report);
}

pub(super) fn check_projected(
    source: &ProjectedVolumeSource,
    containers: &HashSet<&str>,
    path: &FieldPath,
    report: &mut Report,
) {
    check_mode(source.default_mode, &path.field("defaultMode"), report);
    let mut paths = HashSet::new();
    for (index, source) in source.sources.iter().flatten().enumerate() {
        let path = path.field("sources").index(index);
        check_projection(source, containers, &path, report);
        for file in projected_paths(source) {
            if !paths.insert(file) && !file.is_empty() {
                report.invalid(&path, file, "conflicting duplicate paths");
            }
        }
    }
}

fn check_projection(source: &VolumeProjection, containers: &HashSet<&str>, path: &FieldPath, report: &mut Report) {
    let kinds = [
        ("clusterTrustBundle", source.cluster_trust_bundle.is_some()),
        ("configMap", source.config_map.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        ("podCertificate", source.pod_certificate.is_some()),
        ("secret", source.secret.is_some()),
        ("serviceAccountToken", source.service_account_token.is_some()),
    ];
    let given: Vec<&str> = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
    if given.is_empty() {
        report.required(path, "must specify one of: `configMap`, `downwardAPI` or `secret`");
    }
    for kind in given.iter().skip(1) {
        report.forbidden(&path.field(kind), "may not specify more than 1 volume type per source");
    }
    if let Some(source) = &source.config_map {
        let path = path.field("configMap");
        check_object_name(&source.name, &path, report);
        check_items(source.items.as_deref(), &path.field("items"), report);
    }
    if let Some(source) = &source.secret {
        let path = path.field("secret");
        check_object_name(&source.name, &path, report);
        check_items(source.items.as_deref(), &path.field("items"), report);
    }
    if let Some(source) = &source.downward_api {
        let path = path.field("downwardAPI").field("items");
        check_downward_files(source.items.as_deref(), containers, &path, report);
    }
}

/// The paths that a source names; those of a whole object are not known here.
fn projected_paths(source: &VolumeProjection) -> impl Iterator<Item = &str> {
    let config_map = source.config_map.iter().flat_map(|source| source.items.iter().flatten());
    let secret = source.secret.iter().flat_map(|source| source.items.iter().flatten());
    let downward = source.downward_api.iter().flat_map(|source| source.items.iter().flatten());
    config_map.chain(secret).map(|item| item.path.as_str()).chain(downward.map(|item| item.path.as_str()))
}

fn check_items(items: Option<&[KeyToPath]>, path: &FieldPath, report: &mut Report) {
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.index(index);
        if item.key.is_empty() {
            report.required(&path.field("key"), "");
        }
        check_path(&item.path, &path.field("path"), report);
        check_mode(item.mode, &path.field("mode"), report);
    }
}

fn check_downward_files(
    items: Option<&[DownwardAPIVolumeFile]>,
    containers: &HashSet<&str>,
    path: &FieldPath,
    report: &mut Report,
) {
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.index(index);
        check_path(&item.path, &path.field("path"), report);
        check_mode(item.mode, &path.field("mode"), report);
        match (&item.field_ref, &item.resource_field_ref) {
            (None, None) => report.required(&path, "one of fieldRef and resourceFieldRef is required"),
            (Some(_), Some(_)) => {
                report.invalid(&path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
            _ => {}
        }
        if let Some(selector) = &item.field_ref {
            downward::check_field(selector, Place::Volume, &path.field("fieldRef"), report);
        }
        if let Some(selector) = &item.resource_field_ref {
            let path = path.field("resourceFieldRef");
            downward::check_resource(selector, Place::Volume, containers, &path, report);
        }
    }
}

/// A file's path in its volume. Names that start with `..` are how volumes switch to new content.
fn check_path(text: &str, path: &FieldPath, report: &mut Report) {
    if text.is_empty() {
        return report.required(path, "");
    }
    if let Some(problem) = relative_path_problem(text) {
        report.invalid(path, text, problem);
    } else if text.starts_with("..") {
        report.invalid(path, text, "must not start with '..'");
    }
}

fn check_mode(mode: Option<i32>, path: &FieldPath, report: &mut Report) {
    if let Some(mode) = mode.filter(|mode| !MODES.contains(mode)) {
        report.invalid_number(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}
