//! PriorityClasses, and what a pod says about its own.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::scheduling::v1::PriorityClass;

use super::metadata;
use super::names::dns_subdomain;
use super::report::Report;
use crate::priority::{HIGHEST_USER_DEFINED, SYSTEM_CLASSES, SYSTEM_PREFIX};
use crate::{Diagnostic, FieldPath};

const POLICIES: [&str; 2] = ["Never", "PreemptLowerPriority"];

/// All that is wrong with a PriorityClass.
pub fn priority_class(object: &PriorityClass) -> Vec<Diagnostic> {
    let mut report = Report::default();
    metadata::check(&object.metadata, &mut report);
    let metadata = FieldPath::root().field("metadata");
    if object.metadata.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()) {
        report.forbidden(&metadata.field("namespace"), "not allowed on this type");
    }
    let value = object.value.unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if name.starts_with(SYSTEM_PREFIX) {
        if !SYSTEM_CLASSES.contains(&(name, value)) {
            let detail = "priority class names with 'system-' prefix are reserved for system use only";
            report.forbidden(&metadata.field("name"), detail);
        }
    } else if value > HIGHEST_USER_DEFINED {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_DEFINED}");
        report.forbidden(&FieldPath::root().field("value"), &detail);
    }
    check_policy(object.preemption_policy.as_deref(), &FieldPath::root(), &mut report);
    report.finish()
}

/// What a pod says about its priority; `path` is `spec`.
pub(super) fn check_pod(spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    if let Some(name) = spec.priority_class_name.as_deref().filter(|name| !name.is_empty()) {
        report.invalid_all(&path.field("priorityClassName"), name, dns_subdomain(name));
    }
    check_policy(spec.preemption_policy.as_deref(), path, report);
}

fn check_policy(policy: Option<&str>, path: &FieldPath, report: &mut Report) {
    report.one_of(&path.field("preemptionPolicy"), policy.filter(|policy| !policy.is_empty()), &POLICIES);
}
