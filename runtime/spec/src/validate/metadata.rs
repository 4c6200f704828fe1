//! `metadata`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::names::{dns_label, dns_subdomain, label_value, qualified_name};
use super::report::Report;
use crate::{FieldPath, annotations};

/// Keys and values of all annotations together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The metadata of an object whose name is a DNS subdomain.
pub(super) fn check(metadata: &ObjectMeta, report: &mut Report) {
    let path = FieldPath::root().field("metadata");
    let generate_name = metadata.generate_name.as_deref().unwrap_or_default();
    match metadata.name.as_deref().unwrap_or_default() {
        "" if generate_name.is_empty() => report.required(&path.field("name"), "name or generateName is required"),
        "" => {}
        name => report.invalid_all(&path.field("name"), name, dns_subdomain(name)),
    }
    if !generate_name.is_empty() {
        // What is added ends the name, so a prefix may end in a dash.
        let prefix = generate_name.strip_suffix('-').map_or(generate_name.to_owned(), |stem| format!("{stem}a"));
        report.invalid_all(&path.field("generateName"), generate_name, dns_subdomain(&prefix));
    }
    if let Some(namespace) = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        report.invalid_all(&path.field("namespace"), namespace, dns_label(namespace));
    }
    if let Some(labels) = &metadata.labels {
        check_labels(labels, &path.field("labels"), report);
    }
    if let Some(annotations) = &metadata.annotations {
        check_annotations(annotations, &path.field("annotations"), report);
    }
}

pub(super) fn check_labels(labels: &BTreeMap<String, String>, path: &FieldPath, report: &mut Report) {
    for (key, value) in labels {
        let path = path.key(key);
        report.invalid_all(&path, key, qualified_name(key));
        report.invalid_all(&path, value, label_value(value));
    }
}

fn check_annotations(entries: &BTreeMap<String, String>, path: &FieldPath, report: &mut Report) {
    for (key, value) in entries {
        report.invalid_all(&path.key(key), key, qualified_name(&key.to_lowercase()));
        report.invalid_all(&path.key(key), value, annotations::problem(key, value).into_iter().collect());
    }
    let size: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATIONS {
        report.too_long(path, MAX_ANNOTATIONS);
    }
}
