//! ConfigMaps and Secrets.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::metadata;
use super::names::config_key;
use super::report::Report;
use crate::lookup::{config_map_entries, secret_entries, secret_value};
use crate::{Diagnostic, FieldPath};

/// All values of a ConfigMap or Secret together, in bytes.
const MAX_DATA: usize = 1024 * 1024;
const REDACTED: &str = "<secret contents redacted>";
const SERVICE_ACCOUNT: &str = "kubernetes.io/service-account.name";

/// All that is wrong with a ConfigMap.
pub fn config_map(object: &ConfigMap) -> Vec<Diagnostic> {
    let mut report = Report::default();
    metadata::check(&object.metadata, &mut report);
    let (data, binary) = (FieldPath::root().field("data"), FieldPath::root().field("binaryData"));
    for key in object.data.iter().flatten().map(|(key, _)| key) {
        report.invalid_all(&data.key(key), key, config_key(key));
        if object.binary_data.as_ref().is_some_and(|binary| binary.contains_key(key)) {
            report.invalid(&data.key(key), key, "duplicate of key present in binaryData");
        }
    }
    for key in object.binary_data.iter().flatten().map(|(key, _)| key) {
        report.invalid_all(&binary.key(key), key, config_key(key));
    }
    check_size(&config_map_entries(object), &data, &mut report);
    report.finish()
}

/// All that is wrong with a Secret. No message contains one of its values.
pub fn secret(object: &Secret) -> Vec<Diagnostic> {
    let mut report = Report::default();
    metadata::check(&object.metadata, &mut report);
    let data = FieldPath::root().field("data");
    let string_data = FieldPath::root().field("stringData");
    for key in object.data.iter().flatten().map(|(key, _)| key) {
        report.invalid_all(&data.key(key), key, config_key(key));
    }
    for key in object.string_data.iter().flatten().map(|(key, _)| key) {
        report.invalid_all(&string_data.key(key), key, config_key(key));
    }
    check_size(&secret_entries(object), &data, &mut report);
    check_type(object, &data, &mut report);
    report.finish()
}

fn check_size(entries: &[(&str, &[u8])], path: &FieldPath, report: &mut Report) {
    if entries.iter().map(|(_, value)| value.len()).sum::<usize>() > MAX_DATA {
        report.too_long(path, MAX_DATA);
    }
}

/// What each of the built-in types needs.
fn check_type(object: &Secret, data: &FieldPath, report: &mut Report) {
    match object.type_.as_deref().unwrap_or_default() {
        "kubernetes.io/dockerconfigjson" => check_json(object, ".dockerconfigjson", data, report),
        "kubernetes.io/dockercfg" => check_json(object, ".dockercfg", data, report),
        "kubernetes.io/ssh-auth" => check_keys(object, &["ssh-privatekey"], data, report),
        "kubernetes.io/tls" => check_keys(object, &["tls.crt", "tls.key"], data, report),
        "kubernetes.io/basic-auth"
            if secret_value(object, "username").is_none() && secret_value(object, "password").is_none() =>
        {
            check_keys(object, &["username", "password"], data, report);
        }
        "kubernetes.io/service-account-token" => {
            let annotations = object.metadata.annotations.as_ref();
            let account = annotations.and_then(|annotations| annotations.get(SERVICE_ACCOUNT));
            if account.is_none_or(String::is_empty) {
                let path = FieldPath::root().field("metadata").field("annotations").key(SERVICE_ACCOUNT);
                report.required(&path, "");
            }
        }
        _ => {}
    }
}

fn check_keys(object: &Secret, keys: &[&str], data: &FieldPath, report: &mut Report) {
    for key in keys.iter().filter(|key| secret_value(object, key).is_none()) {
        report.required(&data.key(key), "");
    }
}

fn check_json(object: &Secret, key: &str, data: &FieldPath, report: &mut Report) {
    match secret_value(object, key) {
        None => report.required(&data.key(key), ""),
        Some(text) if serde_json::from_slice::<serde::de::IgnoredAny>(text).is_err() => {
            report.invalid(&data.key(key), REDACTED, "must be valid JSON");
        }
        Some(_) => {}
    }
}
