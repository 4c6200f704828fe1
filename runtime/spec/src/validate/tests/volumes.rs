//! Volumes and mounts.

use super::{check, container, rules, spec};

fn volumes(list: &str) -> String {
    spec(&format!("volumes: [{list}]"))
}

fn volume(source: &str) -> String {
    volumes(&format!("{{name: v, {source}}}"))
}

#[test]
fn names_and_kinds() {
    rules(
        volumes,
        &[
            ("{name: '', emptyDir: {}}", &["spec.volumes[0].name: Required value"]),
            ("{name: a.b, emptyDir: {}}", &["spec.volumes[0].name: Invalid value: \"a.b\": a lowercase RFC 1123…"]),
            ("{name: a, emptyDir: {}}, {name: a, emptyDir: {}}", &["spec.volumes[1].name: Duplicate value: \"a\""]),
            ("{name: a}", &["spec.volumes[0]: Required value: must specify a volume type"]),
            (
                "{name: a, emptyDir: {}, configMap: {name: x}}",
                &["spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type"],
            ),
        ],
    );
}

#[test]
fn directories_and_images() {
    rules(
        volume,
        &[
            ("emptyDir: {medium: Memory, sizeLimit: 1Gi}", &[]),
            (
                "emptyDir: {medium: Tape, sizeLimit: -1}",
                &[
                    "spec.volumes[0].emptyDir.medium: Unsupported value: \"Tape\": supported values: \"\", \"Memory\"",
                    "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
                ],
            ),
            (
                "emptyDir: {sizeLimit: 1X}",
                &["spec.volumes[0].emptyDir.sizeLimit: Invalid value: \"1X\": unable to parse quantity's suffix"],
            ),
            ("hostPath: {path: /a, type: DirectoryOrCreate}", &[]),
            ("hostPath: {path: ''}", &["spec.volumes[0].hostPath.path: Required value"]),
            (
                "hostPath: {path: /a/../b, type: Dir}",
                &[
                    "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                    "spec.volumes[0].hostPath.type: Unsupported value: \"Dir\": supported values: \"\", \
                     \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \
                     \"FileOrCreate\", \"Socket\"",
                ],
            ),
            (
                "image: {pullPolicy: No}",
                &[
                    "spec.volumes[0].image.reference: Required value",
                    "spec.volumes[0].image.pullPolicy: Unsupported value: \"No\": supported values: \"Always\", \
                     \"IfNotPresent\", \"Never\"",
                ],
            ),
        ],
    );
}

#[test]
fn files_of_objects() {
    rules(
        volume,
        &[
            ("configMap: {name: a, defaultMode: 0, items: [{key: k, path: a/b..c, mode: 511}]}", &[]),
            (
                "configMap: {name: '', defaultMode: 512}",
                &[
                    "spec.volumes[0].configMap.name: Required value",
                    "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 \
                     (octal), both inclusive",
                ],
            ),
            (
                "configMap: {name: a, items: [{key: '', path: ''}, {key: k, path: /a, mode: -1}]}",
                &[
                    "spec.volumes[0].configMap.items[0].key: Required value",
                    "spec.volumes[0].configMap.items[0].path: Required value",
                    "spec.volumes[0].configMap.items[1].path: Invalid value: \"/a\": must be a relative path",
                    "spec.volumes[0].configMap.items[1].mode: Invalid value: -1: must be a number between 0 and 0777 \
                     (octal), both inclusive",
                ],
            ),
            (
                "secret: {items: [{key: k, path: a/../b}, {key: k, path: ..a}]}",
                &[
                    "spec.volumes[0].secret.secretName: Required value",
                    "spec.volumes[0].secret.items[0].path: Invalid value: \"a/../b\": must not contain '..'",
                    "spec.volumes[0].secret.items[1].path: Invalid value: \"..a\": must not start with '..'",
                ],
            ),
        ],
    );
}

#[test]
fn files_of_the_downward_api() {
    rules(
        volume,
        &[
            (
                "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.labels}}, \
                 {path: b, resourceFieldRef: {containerName: c, resource: limits.cpu}}]}",
                &[],
            ),
            (
                "downwardAPI: {items: [{path: a}]}",
                &["spec.volumes[0].downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is \
                   required"],
            ),
            (
                "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: status.podIP}, \
                 resourceFieldRef: {resource: limits.cpu}}]}",
                &[
                    "spec.volumes[0].downwardAPI.items[0]: Invalid value: \"resource\": fieldRef and \
                     resourceFieldRef can not be specified simultaneously",
                    "spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath: Unsupported value: \"status.podIP\": \
                     supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \
                     \"metadata.namespace\", \"metadata.uid\"",
                    "spec.volumes[0].downwardAPI.items[0].resourceFieldRef.containerName: Required value",
                ],
            ),
        ],
    );
}

#[test]
fn projected_sources() {
    rules(
        volume,
        &[
            ("projected: {sources: [{secret: {name: a}}, {configMap: {name: b, items: [{key: k, path: p}]}}]}", &[]),
            (
                "projected: {sources: [{}, {secret: {name: a}, configMap: {name: ''}}]}",
                &[
                    "spec.volumes[0].projected.sources[0]: Required value: must specify one of: `configMap`, \
                     `downwardAPI` or `secret`",
                    "spec.volumes[0].projected.sources[1].secret: Forbidden: may not specify more than 1 volume type \
                     per source",
                    "spec.volumes[0].projected.sources[1].configMap.name: Required value",
                ],
            ),
            (
                "projected: {sources: [{secret: {name: a, items: [{key: k, path: p}]}}, \
                 {downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.name}}]}}]}",
                &["spec.volumes[0].projected.sources[1]: Invalid value: \"p\": conflicting duplicate paths"],
            ),
        ],
    );
}

#[test]
fn mounts() {
    let mounts = |list: &str| {
        container(&format!(
            "volumeMounts: [{list}]}}], volumes: [{{name: v, emptyDir: {{}}}}], hostAliases: [{{ip: '::1'"
        ))
    };
    rules(
        mounts,
        &[
            ("{name: v, mountPath: /a, subPath: b/c}, {name: v, mountPath: /b, subPathExpr: $(A)}", &[]),
            (
                "{name: '', mountPath: ''}, {name: w, mountPath: /b}",
                &[
                    "spec.containers[0].volumeMounts[0].name: Required value",
                    "spec.containers[0].volumeMounts[0].mountPath: Required value",
                    "spec.containers[0].volumeMounts[1].name: Not found: \"w\"",
                ],
            ),
            (
                "{name: v, mountPath: '/a:b'}, {name: v, mountPath: /c/../d}",
                &[
                    "spec.containers[0].volumeMounts[0].mountPath: Invalid value: \"/a:b\": must not contain ':'",
                    "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/c/../d\": must not contain '..'",
                ],
            ),
            (
                "{name: v, mountPath: /a}, {name: v, mountPath: /a/}",
                &["spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a/\": must be unique"],
            ),
            (
                "{name: v, mountPath: /a, subPath: /b}, {name: v, mountPath: /b, subPathExpr: ../$(A)}",
                &[
                    "spec.containers[0].volumeMounts[0].subPath: Invalid value: \"/b\": must be a relative path",
                    "spec.containers[0].volumeMounts[1].subPathExpr: Invalid value: \"../$(A)\": must not contain '..'",
                ],
            ),
            ("{name: v, mountPath: /a, readOnly: true, recursiveReadOnly: Enabled}", &[]),
            (
                "{name: v, mountPath: /a, mountPropagation: Bidirectional}",
                &[
                    "spec.containers[0].volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is \
                   available only to privileged containers",
                ],
            ),
            (
                "{name: v, mountPath: /a, recursiveReadOnly: IfPossible, mountPropagation: HostToContainer}, \
                 {name: v, mountPath: /b, recursiveReadOnly: Yes}",
                &[
                    "spec.containers[0].volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when \
                     readOnly is true",
                    "spec.containers[0].volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when \
                     mountPropagation is None or not specified",
                    "spec.containers[0].volumeMounts[1].recursiveReadOnly: Unsupported value: \"Yes\": supported \
                     values: \"Disabled\", \"Enabled\", \"IfPossible\"",
                ],
            ),
            (
                "{name: v, mountPath: /a, subPath: b, subPathExpr: c, mountPropagation: Maybe}",
                &[
                    "spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: \"c\": subPathExpr and subPath \
                     are mutually exclusive",
                    "spec.containers[0].volumeMounts[0].mountPropagation: Unsupported value: \"Maybe\": supported \
                     values: \"Bidirectional\", \"HostToContainer\", \"None\"",
                ],
            ),
        ],
    );
    assert_eq!(
        check(&container("volumeMounts: [{name: v, mountPath: /a}]")),
        ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""]
    );
}
