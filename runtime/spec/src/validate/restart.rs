//! Containers' own restart policies and rules (KEP-5307, KEP-5532).

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule};

use super::report::Report;
use crate::FieldPath;

const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;

/// Of a container of either list. `Always` makes an init container a sidecar.
pub(super) fn check(container: &Container, path: &FieldPath, report: &mut Report) {
    let policy = container.restart_policy.as_deref();
    report.one_of(&path.field("restartPolicy"), policy, &["Always", "OnFailure", "Never"]);
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    if rules.is_empty() {
        return;
    }
    if policy.is_none() {
        report.required(&path.field("restartPolicy"), "must specify restartPolicy when restart rules are used");
    }
    let path = path.field("restartPolicyRules");
    if rules.len() > MAX_RULES {
        report.invalid(&path, &rules.len().to_string(), format!("must have at most {MAX_RULES} rules"));
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(rule, &path.index(index), report);
    }
}

fn check_rule(rule: &ContainerRestartRule, path: &FieldPath, report: &mut Report) {
    report.one_of(&path.field("action"), Some(&rule.action), &["Restart", "RestartAllContainers"]);
    let path = path.field("exitCodes");
    let Some(on) = &rule.exit_codes else { return report.required(&path, "must be specified") };
    report.one_of(&path.field("operator"), Some(&on.operator), &["In", "NotIn"]);
    let codes = on.values.as_deref().unwrap_or_default();
    if codes.len() > MAX_CODES {
        let detail = format!("must have at most {MAX_CODES} elements");
        report.invalid(&path.field("values"), &codes.len().to_string(), detail);
    }
}
