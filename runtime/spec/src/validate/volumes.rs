//! Volumes: their names, kinds and the sources that are no lists of files.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, HostPathVolumeSource, ImageVolumeSource, PodSpec, Volume};
use serde_json::Value;

use super::container::check_pull_policy;
use super::files;
use super::names::dns_label;
use super::report::Report;
use crate::quantity::Amount;
use crate::{Diagnostic, FieldPath};

/// The names of a pod's volumes.
pub(super) type VolumeNames<'a> = HashSet<&'a str>;

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Checks all volumes and answers their names.
pub(super) fn check<'a>(spec: &'a PodSpec, path: &FieldPath, report: &mut Report) -> VolumeNames<'a> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let containers: HashSet<&str> = containers.map(|container| container.name.as_str()).collect();
    let mut names = VolumeNames::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = path.index(index);
        match volume.name.as_str() {
            "" => report.required(&path.field("name"), ""),
            name => report.invalid_all(&path.field("name"), name, dns_label(name)),
        }
        if !names.insert(&volume.name) && !volume.name.is_empty() {
            report.duplicate(&path.field("name"), &volume.name);
        }
        check_source(volume, &containers, &path, report);
    }
    names
}

fn check_source(volume: &Volume, containers: &HashSet<&str>, path: &FieldPath, report: &mut Report) {
    let kinds = source_kinds(volume);
    if kinds.is_empty() {
        let error = Diagnostic::error(path.clone(), "Required value: must specify a volume type");
        report.push(error.hint("for an empty directory, which Kubernetes would make of this, write `emptyDir: {}`"));
    }
    for kind in kinds.iter().skip(1) {
        report.forbidden(&path.field(kind), "may not specify more than 1 volume type");
    }
    if let Some(source) = &volume.empty_dir {
        check_empty_dir(source, &path.field("emptyDir"), report);
    }
    if let Some(source) = &volume.host_path {
        check_host_path(source, &path.field("hostPath"), report);
    }
    if let Some(source) = &volume.image {
        check_image(source, &path.field("image"), report);
    }
    if let Some(source) = &volume.config_map {
        files::check_config_map(source, &path.field("configMap"), report);
    }
    if let Some(source) = &volume.secret {
        files::check_secret(source, &path.field("secret"), report);
    }
    if let Some(source) = &volume.downward_api {
        files::check_downward_api(source, containers, &path.field("downwardAPI"), report);
    }
    if let Some(source) = &volume.projected {
        files::check_projected(source, containers, &path.field("projected"), report);
    }
}

/// The names of the source fields that are set, whatever their kind: those this runtime does not know count too.
fn source_kinds(volume: &Volume) -> Vec<String> {
    match serde_json::to_value(volume) {
        Ok(Value::Object(fields)) => {
            fields.into_iter().map(|(field, _)| field).filter(|field| field != "name").collect()
        }
        _ => Vec::new(),
    }
}

fn check_empty_dir(source: &EmptyDirVolumeSource, path: &FieldPath, report: &mut Report) {
    report.one_of(&path.field("medium"), source.medium.as_deref(), &["", "Memory"]);
    if let Some(limit) = &source.size_limit {
        let path = path.field("sizeLimit");
        match Amount::try_from(limit) {
            Err(error) => report.invalid(&path, &limit.0, error),
            Ok(amount) if amount.is_negative() => {
                report.forbidden(&path, "SizeLimit field must be a valid resource quantity");
            }
            Ok(_) => {}
        }
    }
}

fn check_host_path(source: &HostPathVolumeSource, path: &FieldPath, report: &mut Report) {
    match source.path.as_str() {
        "" => report.required(&path.field("path"), ""),
        host if host.split('/').any(|part| part == "..") => {
            report.invalid(&path.field("path"), host, "must not contain '..'");
        }
        _ => {}
    }
    report.one_of(&path.field("type"), source.type_.as_deref(), &HOST_PATH_TYPES);
}

fn check_image(source: &ImageVolumeSource, path: &FieldPath, report: &mut Report) {
    if source.reference.as_deref().unwrap_or_default().is_empty() {
        report.required(&path.field("reference"), "");
    }
    check_pull_policy(source.pull_policy.as_deref(), &path.field("pullPolicy"), report);
}
