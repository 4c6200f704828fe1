//! Environment variables.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource};

use super::downward::{self, Place};
use super::names::{config_key, dns_subdomain, env_name};
use super::report::Report;
use crate::FieldPath;

pub(super) fn check(container: &Container, containers: &HashSet<&str>, path: &FieldPath, report: &mut Report) {
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        check_env_from(source, &path.field("envFrom").index(index), report);
    }
    let mut names = HashSet::new();
    for (index, var) in container.env.iter().flatten().enumerate() {
        let path = path.field("env").index(index);
        match var.name.as_str() {
            "" => report.required(&path.field("name"), ""),
            name => report.invalid_all(&path.field("name"), name, env_name(name)),
        }
        if !names.insert(var.name.as_str()) {
            let message = format!("hides previous definition of {:?}, which may be dropped when using apply", var.name);
            report.warning(&path, message);
        }
        let value = var.value.as_deref().unwrap_or_default();
        if value.contains('\0') {
            report.invalid(&path.field("value"), value, "must not contain a NUL character");
        }
        if let Some(source) = &var.value_from {
            let path = path.field("valueFrom");
            if !value.is_empty() {
                report.invalid(&path, "", "may not be specified when `value` is not empty");
            }
            check_source(source, containers, &path, report);
        }
    }
}

fn check_source(source: &EnvVarSource, containers: &HashSet<&str>, path: &FieldPath, report: &mut Report) {
    let given = [
        source.field_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.config_map_key_ref.is_some(),
        source.secret_key_ref.is_some(),
        source.file_key_ref.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            report.invalid(path, "", detail);
        }
        1 => {}
        _ => report.invalid(path, "", "may not have more than one field specified at a time"),
    }
    if let Some(selector) = &source.field_ref {
        downward::check_field(selector, Place::Env, &path.field("fieldRef"), report);
    }
    if let Some(selector) = &source.resource_field_ref {
        downward::check_resource(selector, Place::Env, containers, &path.field("resourceFieldRef"), report);
    }
    if let Some(selector) = &source.config_map_key_ref {
        check_key(&selector.name, &selector.key, &path.field("configMapKeyRef"), report);
    }
    if let Some(selector) = &source.secret_key_ref {
        check_key(&selector.name, &selector.key, &path.field("secretKeyRef"), report);
    }
}

fn check_key(name: &str, key: &str, path: &FieldPath, report: &mut Report) {
    check_object_name(name, path, report);
    match key {
        "" => report.required(&path.field("key"), ""),
        key => report.invalid_all(&path.field("key"), key, config_key(key)),
    }
}

fn check_env_from(source: &EnvFromSource, path: &FieldPath, report: &mut Report) {
    if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        report.invalid_all(&path.field("prefix"), prefix, env_name(prefix));
    }
    match (&source.config_map_ref, &source.secret_ref) {
        (None, None) => report.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
        (Some(_), Some(_)) => report.invalid(path, "", "may not have more than one field specified at a time"),
        (Some(reference), None) => check_object_name(&reference.name, &path.field("configMapRef"), report),
        (None, Some(reference)) => check_object_name(&reference.name, &path.field("secretRef"), report),
    }
}

/// The name of a ConfigMap or Secret that something refers to.
pub(super) fn check_object_name(name: &str, path: &FieldPath, report: &mut Report) {
    match name {
        "" => report.required(&path.field("name"), ""),
        name => report.invalid_all(&path.field("name"), name, dns_subdomain(name)),
    }
}
