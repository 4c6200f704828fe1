//! `fieldRef` and `resourceFieldRef`: the fields and divisors there are.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{ObjectFieldSelector, ResourceFieldSelector};

use super::names::qualified_name;
use super::report::Report;
use crate::FieldPath;
use crate::fields::{ENV_FIELDS, PodField, VOLUME_FIELDS, split_subscript};
use crate::quantity::Amount;

/// Where a reference stands: the two places know different fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In an environment variable.
    Env,
    /// In a file of a volume.
    Volume,
}

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const CPU_DIVISORS: [&str; 2] = ["1m", "1"];
const BYTE_DIVISORS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub(super) fn check_field(selector: &ObjectFieldSelector, place: Place, path: &FieldPath, report: &mut Report) {
    let field_path = path.field("fieldPath");
    let given = selector.field_path.as_str();
    if given.is_empty() {
        return report.required(&field_path, "");
    }
    if let Some(version) = selector.api_version.as_deref().filter(|version| *version != "v1") {
        let detail = format!("error converting fieldPath: unsupported pod version: {version}");
        return report.invalid(&field_path, given, detail);
    }
    if let Err(error) = PodField::parse(given) {
        return report.invalid(&field_path, given, format!("error converting fieldPath: {error}"));
    }
    if let Some((map, key)) = split_subscript(given) {
        let key = if map == "metadata.annotations" { key.to_lowercase() } else { key.to_owned() };
        return report.invalid_all(&field_path, &key, qualified_name(&key));
    }
    let supported: &[&str] = match place {
        Place::Env => &ENV_FIELDS,
        Place::Volume => &VOLUME_FIELDS,
    };
    report.one_of(&field_path, Some(given), supported);
}

pub(super) fn check_resource(
    selector: &ResourceFieldSelector,
    place: Place,
    containers: &HashSet<&str>,
    path: &FieldPath,
    report: &mut Report,
) {
    match selector.container_name.as_deref().unwrap_or_default() {
        "" if place == Place::Volume => report.required(&path.field("containerName"), ""),
        "" => {}
        name if !containers.contains(name) => report.not_found(&path.field("containerName"), name),
        _ => {}
    }
    let resource = selector.resource.as_str();
    if resource.is_empty() {
        return report.required(&path.field("resource"), "");
    }
    if !RESOURCES.contains(&resource) {
        return report.not_supported(&path.field("resource"), resource, &RESOURCES);
    }
    let Some(divisor) = &selector.divisor else { return };
    let (divisors, what): (&[&str], _) = match resource.split_once('.') {
        Some((_, "cpu")) => (&CPU_DIVISORS, "cpu"),
        Some((_, "memory")) => (&BYTE_DIVISORS, "memory"),
        _ => (&BYTE_DIVISORS, "local ephemeral storage"),
    };
    let path = path.field("divisor");
    match Amount::try_from(divisor) {
        Err(error) => report.invalid(&path, &divisor.0, error),
        Ok(amount) if amount.is_zero() || divisors.iter().any(|text| Amount::parse(text) == Ok(amount)) => {}
        Ok(_) => {
            let list = divisors.join(if divisors.len() == 2 { " and " } else { ", " });
            let detail = format!("only divisor's values {list} are supported with the {what} resource");
            report.invalid(&path, &divisor.0, detail);
        }
    }
}
