#![allow(clippy::unwrap_used, reason = "tests")]

use k8s_openapi::api::core::v1::VolumeMount;

use super::*;
use crate::env::tests::{facts, objects, pod};

fn resolve(volume: &str) -> Result<Vec<VolumeFile>, VolumeError> {
    let pod = pod("containers: [{name: a, image: \"a:1\", resources: {limits: {cpu: 1}}}]");
    let volume: Volume = serde_yaml::from_str(&format!("name: v\n{volume}")).unwrap();
    resolve_files(&pod, &volume, &objects(), &facts())
}

fn listed(volume: &str) -> Vec<String> {
    let show = |file: VolumeFile| format!("{} {:o} {}", file.path, file.mode, file.bytes.escape_ascii());
    resolve(volume).unwrap().into_iter().map(show).collect()
}

#[test]
fn whole_objects() {
    assert_eq!(
        listed("configMap: {name: settings, defaultMode: 0o400}"),
        ["COLOR 400 red", "LEVEL 400 3", "blob 400 \\x00\\x01", "with-dash 400 d"]
    );
    assert_eq!(listed("secret: {secretName: token}"), ["raw 644 \\xff", "token 644 s3cr3t", "user 644 ann"]);
    assert_eq!(listed("emptyDir: {}"), [""; 0]);
}

#[test]
fn items_choose_keys_paths_and_modes() {
    assert_eq!(
        listed("configMap: {name: settings, items: [{key: COLOR, path: a//b/./c, mode: 0o600}, {key: blob, path: d}]}"),
        ["a/b/c 600 red", "d 644 \\x00\\x01"]
    );
}

#[test]
fn the_downward_api() {
    let volume = "downwardAPI:\n  items:\n  - {path: labels, fieldRef: {fieldPath: metadata.labels}}\n  \
                  - {path: cpu, mode: 0o444, resourceFieldRef: {containerName: a, resource: limits.cpu, divisor: 1m}}";
    assert_eq!(listed(volume), ["cpu 444 1000", "labels 644 app=\\\"web\\\""]);
}

#[test]
fn later_projected_sources_win() {
    let volume = "projected:\n  defaultMode: 0o440\n  sources:\n  \
        - configMap: {name: settings, items: [{key: COLOR, path: x}]}\n  \
        - secret: {name: token, items: [{key: user, path: x}, {key: token, path: d/t, mode: 0o400}]}\n  \
        - secret: {name: absent, optional: true}\n  \
        - downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}";
    assert_eq!(listed(volume), ["d/t 400 s3cr3t", "name 440 web", "x 440 ann"]);
}

#[test]
fn optional_objects_and_keys_may_be_absent() {
    assert_eq!(listed("configMap: {name: none, optional: true}"), [""; 0]);
    let volume = "configMap: {name: settings, optional: true, items: [{key: no, path: a}, {key: COLOR, path: b}]}";
    assert_eq!(listed(volume), ["b 644 red"]);
}

#[test]
fn what_cannot_be_resolved() {
    for (volume, message) in [
        ("configMap: {name: x}", "configmap \"x\" not found"),
        ("secret: {secretName: x}", "secret \"x\" not found"),
        ("configMap: {name: settings, items: [{key: k, path: p}]}", "references non-existent config key: k"),
        ("secret: {secretName: token, items: [{key: k, path: p}]}", "references non-existent secret key: k"),
        (
            "configMap: {name: settings, items: [{key: COLOR, path: a/../../b}]}",
            "invalid path: \"a/../../b\" must be relative to the volume and must not contain '..'",
        ),
        (
            "configMap: {name: settings, items: [{key: COLOR, path: a}, {key: LEVEL, path: a/b}]}",
            "\"a\" cannot be a file: \"a/b\" lies below it",
        ),
        (
            "downwardAPI: {items: [{path: p, resourceFieldRef: {containerName: z, resource: limits.cpu}}]}",
            "container z not found",
        ),
        ("projected: {sources: [{}]}", "unsupported source of a projected volume"),
    ] {
        assert_eq!(resolve(volume).unwrap_err().to_string(), message, "{volume}");
    }
}

#[test]
fn too_many_copies_of_a_large_value() {
    let big = "x".repeat(1 << 20);
    let items: Vec<String> = (0..65).map(|i| format!("{{key: big, path: p{i}}}")).collect();
    let volume: Volume =
        serde_yaml::from_str(&format!("name: v\nconfigMap: {{name: big, items: [{}]}}", items.join(","))).unwrap();
    let mut objects = objects();
    objects.config_maps.insert("big".to_owned(), serde_yaml::from_str(&format!("data: {{big: {big}}}")).unwrap());
    let pod = pod("containers: [{name: a, image: \"a:1\"}]");
    assert_eq!(resolve_files(&pod, &volume, &objects, &facts()), Err(VolumeError::TooLarge));
}

#[test]
fn debug_output_hides_content() {
    let file = VolumeFile { path: "p".to_owned(), mode: 0o600, bytes: b"s3cr3t".to_vec() };
    assert_eq!(format!("{file:?}"), "VolumeFile { path: \"p\", mode: \"0o600\", len: 6 }");
}

#[test]
fn sub_paths() {
    let env = vec![("A".to_owned(), "a".to_owned()), ("UP".to_owned(), "..".to_owned())];
    let plain = |path: &str| VolumeMount { sub_path: Some(path.to_owned()), ..VolumeMount::default() };
    let expr = |path: &str| VolumeMount { sub_path_expr: Some(path.to_owned()), ..VolumeMount::default() };
    for (mount, expected) in [
        (VolumeMount::default(), Ok("")),
        (plain("x/$(A)"), Ok("x/$(A)")),
        (expr("x/$(A)"), Ok("x/a")),
        (expr("$$(A)"), Ok("$(A)")),
        (expr("$(B)"), Err("missing value for \"B\"")),
        (expr("/$(A)"), Err("error SubPath `/a` must not be an absolute path")),
        (expr("x/$(UP)"), Err("unable to provision SubPath `x/..`: must not contain '..'")),
    ] {
        let result = expand_sub_path(&mount, &env).map_err(|error| error.to_string());
        assert_eq!(result.as_deref().map_err(String::as_str), expected);
    }
}
