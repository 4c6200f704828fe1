//! ConfigMaps and Secrets.

use super::show;
use crate::validate::{config_map, secret};

fn of_config_map(yaml: &str) -> Vec<String> {
    show(&config_map(&serde_yaml::from_str(yaml).unwrap()))
}

fn of_secret(fields: &str) -> Vec<String> {
    show(&secret(&serde_yaml::from_str(&format!("{{metadata: {{name: s}}, {fields}}}")).unwrap()))
}

#[test]
fn config_maps() {
    assert_eq!(of_config_map("{metadata: {name: c}, data: {a.b: x}, binaryData: {c: AA==}}"), [""; 0]);
    let found = of_config_map("{metadata: {}, data: {a: x, ..b: y}, binaryData: {a: AA==, 'c d': AA==}}");
    assert_eq!(
        found,
        [
            "metadata.name: Required value: name or generateName is required",
            "data[..b]: Invalid value: \"..b\": must not start with '..'",
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
            "binaryData[c d]: Invalid value: \"c d\": a valid config key must consist of alphanumeric characters, \
             '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
             '[-._a-zA-Z0-9]+')",
        ]
    );
    let large = format!("{{metadata: {{name: c}}, data: {{a: {}}}}}", "x".repeat((1 << 20) + 1));
    assert_eq!(of_config_map(&large), ["data: Too long: may not be more than 1048576 bytes"]);
}

#[test]
fn secrets_of_each_type() {
    for (fields, expected) in [
        ("data: {a: AA==}, stringData: {b: x}", vec![]),
        ("type: example.com/any", vec![]),
        ("stringData: {a/b: x}", vec!["stringData[a/b]: Invalid value: \"a/b\": a valid config key must consist of…"]),
        ("type: kubernetes.io/dockerconfigjson", vec!["data[.dockerconfigjson]: Required value"]),
        ("type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: '{}'}", vec![]),
        (
            "type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: s3cr3t}",
            vec!["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": must be valid JSON"],
        ),
        ("type: kubernetes.io/dockercfg", vec!["data[.dockercfg]: Required value"]),
        ("type: kubernetes.io/ssh-auth", vec!["data[ssh-privatekey]: Required value"]),
        ("type: kubernetes.io/tls, stringData: {tls.crt: x}", vec!["data[tls.key]: Required value"]),
        ("type: kubernetes.io/basic-auth, stringData: {password: x}", vec![]),
        ("type: kubernetes.io/basic-auth", vec!["data[username]: Required value", "data[password]: Required value"]),
        (
            "type: kubernetes.io/service-account-token",
            vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
    ] {
        let found = of_secret(fields);
        assert_eq!(found.len(), expected.len(), "{fields}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected.trim_end_matches('…')), "{fields}: {found}");
        }
    }
}
