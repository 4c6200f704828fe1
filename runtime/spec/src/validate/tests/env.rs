//! Environment variables and references to fields.

use super::{container, rules};

#[test]
fn variables() {
    rules(
        container,
        &[
            ("env: [{name: A.b c, value: x}, {name: B}]", &[]),
            (
                "env: [{name: ''}, {name: 'a=b'}]",
                &[
                    "spec.containers[0].env[0].name: Required value",
                    "spec.containers[0].env[1].name: Invalid value: \"a=b\": a valid environment variable name must \
                     consist only of printable ASCII characters other than '='",
                ],
            ),
            (
                "env: [{name: A, value: x}, {name: A, value: y}]",
                &["warning: spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when \
                   using apply"],
            ),
            (
                "env: [{name: A, value: \"\\0\"}]",
                &["spec.containers[0].env[0].value: Invalid value: \"\\0\": must not contain a NUL character"],
            ),
            (
                "env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
                &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is \
                   not empty"],
            ),
            (
                "env: [{name: A, valueFrom: {}}]",
                &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, \
                   `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"],
            ),
            (
                "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}, \
                 configMapKeyRef: {name: a, key: b}}}]",
                &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not have more than one field \
                   specified at a time"],
            ),
            (
                "env: [{name: A, valueFrom: {configMapKeyRef: {name: '', key: ''}}}, \
                 {name: B, valueFrom: {secretKeyRef: {name: A, key: a/b}}}]",
                &[
                    "spec.containers[0].env[0].valueFrom.configMapKeyRef.name: Required value",
                    "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value",
                    "spec.containers[0].env[1].valueFrom.secretKeyRef.name: Invalid value: \"A\": a lowercase…",
                    "spec.containers[0].env[1].valueFrom.secretKeyRef.key: Invalid value: \"a/b\": a valid config key…",
                ],
            ),
        ],
    );
}

#[test]
fn whole_objects() {
    rules(
        container,
        &[
            ("envFrom: [{prefix: A_, configMapRef: {name: a}}, {secretRef: {name: b}}]", &[]),
            (
                "envFrom: [{}]",
                &["spec.containers[0].envFrom[0]: Invalid value: \"\": must specify one of: `configMapRef` or \
                   `secretRef`"],
            ),
            (
                "envFrom: [{configMapRef: {name: a}, secretRef: {name: a}}]",
                &["spec.containers[0].envFrom[0]: Invalid value: \"\": may not have more than one field specified at \
                   a time"],
            ),
            (
                "envFrom: [{prefix: 'a=', configMapRef: {name: ''}}]",
                &[
                    "spec.containers[0].envFrom[0].prefix: Invalid value: \"a=\": a valid environment variable name…",
                    "spec.containers[0].envFrom[0].configMapRef.name: Required value",
                ],
            ),
        ],
    );
}

#[test]
fn fields_of_the_pod() {
    let field = |path: &str| container(&format!("env: [{{name: A, valueFrom: {{fieldRef: {{{path}}}}}}}]"));
    rules(
        field,
        &[
            ("fieldPath: status.podIPs", &[]),
            ("fieldPath: \"metadata.annotations['A.com/b']\"", &[]),
            ("fieldPath: ''", &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Required value"]),
            (
                "fieldPath: metadata.generation",
                &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.generation\": \
                   error converting fieldPath: field label not supported: metadata.generation"],
            ),
            (
                "apiVersion: v2, fieldPath: metadata.name",
                &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name\": error \
                   converting fieldPath: unsupported pod version: v2"],
            ),
            (
                "fieldPath: \"metadata.name['a']\"",
                &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['a']\": \
                   error converting fieldPath: field label does not support subscript: metadata.name['a']"],
            ),
            (
                "fieldPath: \"metadata.labels['a b']\"",
                &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"a b\": name part must…"],
            ),
            (
                "fieldPath: metadata.labels",
                &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": \
                   supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \
                   \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \
                   \"status.podIPs\""],
            ),
        ],
    );
}

#[test]
fn resources_of_a_container() {
    let resource =
        |fields: &str| container(&format!("env: [{{name: A, valueFrom: {{resourceFieldRef: {{{fields}}}}}}}]"));
    rules(
        resource,
        &[
            ("resource: limits.cpu, divisor: 1m", &[]),
            ("resource: requests.memory, divisor: 1Mi, containerName: c", &[]),
            ("resource: limits.memory, divisor: '0'", &[]),
            (
                "resource: '', containerName: z",
                &[
                    "spec.containers[0].env[0].valueFrom.resourceFieldRef.containerName: Not found: \"z\"",
                    "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Required value",
                ],
            ),
            (
                "resource: limits.gpu",
                &["spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": \
                   supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \
                   \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\""],
            ),
            (
                "resource: limits.cpu, divisor: 10m",
                &["spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"10m\": only \
                   divisor's values 1m and 1 are supported with the cpu resource"],
            ),
            (
                "resource: limits.memory, divisor: 2Mi",
                &["spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"2Mi\": only \
                   divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the \
                   memory resource"],
            ),
        ],
    );
}
