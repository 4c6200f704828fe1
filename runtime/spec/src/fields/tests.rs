#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::env::tests::{facts, pod};

#[test]
fn every_field_has_its_value() {
    let pod = pod("containers: [{name: a, image: \"a:1\"}]");
    for (path, expected) in [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels", "app=\"web\""),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations", "note=\"a\\nb\""),
        ("metadata.annotations['note']", "a\nb"),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "default"),
        ("status.hostIP", "192.0.2.1"),
        ("status.hostIPs", "192.0.2.1"),
        ("status.podIP", "10.0.0.7"),
        ("status.podIPs", "10.0.0.7,fd00::7"),
    ] {
        assert_eq!(PodField::parse(path).unwrap().value(&pod, &facts()), expected, "{path}");
    }
}

#[test]
fn paths_that_name_no_field() {
    for path in ["", "metadata", "metadata.name['x']", "metadata.labels[app]", "['x']", "status.phase"] {
        assert!(PodField::parse(path).is_err(), "{path}");
    }
    for path in ENV_FIELDS.iter().chain(&VOLUME_FIELDS) {
        assert!(PodField::parse(path).is_ok(), "{path}");
    }
}

#[test]
fn resources_in_units_of_their_divisor() {
    let pod = pod("containers:\n- name: a\n  image: a:1\n  resources:\n    \
                   limits: {cpu: 1500m, memory: 100M}\n    requests: {cpu: 250m}");
    let container = pod.container("a").unwrap().spec;
    for (resource, divisor, expected) in [
        ("limits.cpu", None, 2),
        ("limits.cpu", Some("1m"), 1500),
        ("requests.cpu", Some("0"), 1),
        ("limits.memory", Some("1Mi"), 96),
        ("limits.memory", None, 100_000_000),
        ("requests.memory", None, 100_000_000),
        ("limits.ephemeral-storage", Some("1Gi"), 10),
        ("requests.ephemeral-storage", None, 0),
    ] {
        let selector = ResourceFieldSelector {
            resource: resource.to_owned(),
            divisor: divisor.map(|text| k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned())),
            container_name: None,
        };
        assert_eq!(resource_value(&pod, container, &selector, &facts()), Ok(expected), "{resource} {divisor:?}");
    }
    let selector = ResourceFieldSelector { resource: "limits.gpu".to_owned(), ..ResourceFieldSelector::default() };
    assert!(resource_value(&pod, container, &selector, &facts()).is_err());
}

#[test]
fn a_limit_that_is_not_set_is_the_pods_then_the_nodes() {
    let pod =
        pod("resources: {limits: {cpu: 1500m}}\ncontainers:\n- name: a\n  image: a:1\n- name: b\n  image: a:1\n  \
                   resources: {limits: {cpu: 500m}}");
    for (container, resource, expected) in
        [("a", "limits.cpu", 1500), ("a", "limits.memory", 4 << 30), ("a", "requests.cpu", 0), ("b", "limits.cpu", 500)]
    {
        let divisor =
            resource.ends_with("cpu").then(|| k8s_openapi::apimachinery::pkg::api::resource::Quantity("1m".into()));
        let selector = ResourceFieldSelector { resource: resource.to_owned(), divisor, container_name: None };
        let container = pod.container(container).unwrap().spec;
        assert_eq!(resource_value(&pod, container, &selector, &facts()), Ok(expected), "{resource}");
    }
}

#[test]
fn maps_are_quoted_as_go_does() {
    let map = [("b", "q\"\\\u{1}\u{7f}"), ("a", "é \u{a0}\u{200b}😀\t")];
    let map = map.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(format_map(&map), "a=\"é \\u00a0\\u200b😀\\t\"\nb=\"q\\\"\\\\\\x01\\x7f\"");
}
