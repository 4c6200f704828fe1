//! Containers' own restart policies and rules.

use super::{container, rules, spec};

#[test]
fn policies_and_rules() {
    let on = "exitCodes: {operator: In, values: [1]}";
    let fields = |fields: &str| container(fields);
    rules(
        fields,
        &[
            ("restartPolicy: Always", &[]),
            (
                "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]",
                &[],
            ),
            ("restartPolicy: OnFailure, restartPolicyRules: []", &[]),
            (
                "restartPolicy: Often",
                &["spec.containers[0].restartPolicy: Unsupported value: \"Often\": supported values: \"Always\", \
                   \"OnFailure\", \"Never\""],
            ),
            (
                &format!("restartPolicyRules: [{{action: Restart, {on}}}]"),
                &[
                    "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are \
                   used",
                ],
            ),
            (
                &format!("restartPolicy: Never, restartPolicyRules: [{{action: Ignore, {on}}}]"),
                &["spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"Ignore\": supported values: \
                   \"Restart\", \"RestartAllContainers\""],
            ),
            (
                "restartPolicy: Never, restartPolicyRules: [{action: Restart}]",
                &["spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified"],
            ),
            (
                "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: Is, values: [1]}}]",
                &["spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: \"Is\": supported \
                   values: \"In\", \"NotIn\""],
            ),
            (
                &format!(
                    "restartPolicy: Never, restartPolicyRules: [{}]",
                    vec![format!("{{action: Restart, {on}}}"); 21].join(", ")
                ),
                &["spec.containers[0].restartPolicyRules: Invalid value: \"21\": must have at most 20 rules"],
            ),
        ],
    );
}

#[test]
fn readiness_gates() {
    rules(
        spec,
        &[
            ("readinessGates: [{conditionType: example.com/ready}]", &[]),
            (
                "readinessGates: [{conditionType: 'not a name'}]",
                &["spec.readinessGates[0].conditionType: Invalid value…"],
            ),
        ],
    );
}
