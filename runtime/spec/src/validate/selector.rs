//! Label selectors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::metadata::check_labels;
use super::names::{label_value, qualified_name};
use super::report::Report;
use crate::FieldPath;

/// Labels that must match, and what must hold besides.
pub(super) fn check(selector: &LabelSelector, path: &FieldPath, report: &mut Report) {
    if let Some(labels) = &selector.match_labels {
        check_labels(labels, &path.field("matchLabels"), report);
    }
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        check_requirement(requirement, &path.field("matchExpressions").index(index), report);
    }
}

fn check_requirement(requirement: &LabelSelectorRequirement, path: &FieldPath, report: &mut Report) {
    let values = requirement.values.as_deref().unwrap_or_default();
    match (requirement.operator.as_str(), values) {
        ("In" | "NotIn", []) => {
            report.required(&path.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        ("Exists" | "DoesNotExist", [_, ..]) => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            report.forbidden(&path.field("values"), detail);
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
        (other, _) => report.invalid(&path.field("operator"), other, "not a valid selector operator"),
    }
    report.invalid_all(&path.field("key"), &requirement.key, qualified_name(&requirement.key));
    for (index, value) in values.iter().enumerate() {
        report.invalid_all(&path.field("values").index(index), value, label_value(value));
    }
}
