use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;

use super::scalar::resolve;
use super::*;

fn load_text(text: &str) -> Loaded {
    load(&[Source { name: "test.yaml".to_owned(), bytes: text.as_bytes().to_vec() }])
}

fn shown(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(ToString::to_string).collect()
}

fn config_map(name: &str, data: &BTreeMap<String, String>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(data.clone()),
        ..ConfigMap::default()
    }
}

const NONE: [String; 0] = [];

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: app
    image: file:app.wasm
";

#[test]
fn a_pod_is_loaded_with_its_place() {
    let loaded = load_text(&format!("# first a comment\n---\n{POD}"));
    assert_eq!(shown(&loaded), NONE);
    assert_eq!(loaded.pods.len(), 1);
    let pod = &loaded.pods[0];
    assert_eq!(pod.pod.name(), "web");
    assert_eq!(pod.source, "test.yaml");
    assert_eq!(pod.location.to_string(), "test.yaml:3:1");
}

#[test]
fn empty_documents_are_skipped_and_an_empty_source_is_worth_a_warning() {
    let loaded = load_text(&format!("---\n# nothing\n---\n---\n{POD}\n---\nnull\n---\n"));
    assert_eq!(shown(&loaded), NONE);
    assert_eq!(loaded.pods.len(), 1);
    for empty in ["", "\n\n", "# only a comment\n", "---\n---\n", "\u{feff}"] {
        let loaded = load_text(empty);
        assert_eq!(shown(&loaded), ["test.yaml:1:1: warning: holds no objects"], "{empty:?}");
        assert!(!loaded.has_errors());
    }
}

#[test]
fn directives_and_document_ends_are_taken() {
    let loaded = load_text(&format!("%YAML 1.2\n---\n{POD}...\n---\n{}...\n", POD.replace("web", "other")));
    assert_eq!(shown(&loaded), NONE);
    assert_eq!(loaded.pods.len(), 2);
}

#[test]
fn a_byte_order_mark_and_crlf_are_no_trouble() {
    let loaded = load_text(&format!("\u{feff}{}", POD.replace('\n', "\r\n")));
    assert_eq!(shown(&loaded), NONE);
    assert_eq!(loaded.pods.len(), 1);
}

#[test]
fn lists_are_opened() {
    let item = POD.replace("apiVersion: v1\nkind: Pod\n", "").replace('\n', "\n  ");
    let loaded = load_text(&format!("apiVersion: v1\nkind: PodList\nmetadata: {{}}\nitems:\n- {item}\n"));
    assert_eq!(shown(&loaded), NONE);
    assert_eq!(loaded.pods.len(), 1);
    let item = POD.replace('\n', "\n    ");
    let nested = format!("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - {item}\n");
    let loaded = load_text(&nested);
    assert_eq!(shown(&loaded), NONE);
    assert_eq!(loaded.pods.len(), 1);
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = format!(
        "{POD}    env: &env\n    - &one {{name: A, value: a}}\n  - name: second\n    image: file:app.wasm\n    env: *env\n  \
         - name: third\n    image: file:app.wasm\n    env:\n    - <<: *one\n      value: b\n"
    );
    let loaded = load_text(&text);
    assert_eq!(shown(&loaded), NONE);
    let containers = &loaded.pods[0].pod.spec().containers;
    assert_eq!(containers[0].env, containers[1].env);
    let third = containers[2].env.as_deref().unwrap_or_default();
    assert_eq!((third[0].name.as_str(), third[0].value.as_deref()), ("A", Some("b")));
}

#[test]
fn a_field_name_may_carry_an_anchor() {
    let loaded =
        load_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  &k key: value\n  other: *k\n");
    assert_eq!(shown(&loaded), NONE);
    let data = loaded.objects.get_config_map("default", "c").and_then(|found| found.data.clone()).unwrap_or_default();
    assert_eq!(data.get("other").map(String::as_str), Some("key"));
}

#[test]
fn what_a_cluster_gives_out_is_taken_with_warnings() {
    let text = POD.replace(
        "  name: web\n",
        "  name: web\n  creationTimestamp: \"2026-01-31T12:00:00Z\"\n  managedFields:\n  - apiVersion: v1\n    fieldsType: FieldsV1\n    \
         fieldsV1: {\"f:spec\": {\".\": {}, \"f:x\": [1, 2.5, null, true]}}\n    time: 2026-01-31T12:00:00Z\n",
    ) + "status:\n  phase: Running\n  containerStatuses:\n  - {name: app, ready: true, restartCount: 0}\n";
    let loaded = load_text(&text);
    assert!(!loaded.has_errors(), "{:?}", shown(&loaded));
    assert_eq!(loaded.diagnostics.len(), 3);
    assert_eq!(loaded.pods.len(), 1);
}

#[test]
fn json_values_may_follow_each_other() {
    let value =
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "N"}, "data": {"a": "\ud83d\ude00\/"}}"#;
    let loaded =
        load_text(&format!("{}{}\n{}", value.replace('N', "a"), value.replace('N', "b"), value.replace('N', "c")));
    assert_eq!(shown(&loaded), NONE);
    for name in ["a", "b", "c"] {
        let data = loaded.objects.get_config_map("default", name).and_then(|found| found.data.as_ref());
        assert_eq!(data.and_then(|data| data.get("a")).map(String::as_str), Some("😀/"));
    }
}

#[test]
fn a_flow_map_that_is_not_json_is_yaml() {
    let loaded = load_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: flow}}\n");
    assert_eq!(shown(&loaded), NONE);
    assert!(loaded.objects.get_config_map("default", "flow").is_some());
}

#[test]
fn the_same_object_in_two_sources_is_an_error_that_names_both() {
    let source = |name: &str| Source { name: name.to_owned(), bytes: POD.as_bytes().to_vec() };
    let loaded = load(&[source("a.yaml"), source("b.yaml")]);
    let shown = shown(&loaded);
    assert_eq!(shown.len(), 1);
    assert!(shown[0].starts_with("b.yaml:4:3: error: metadata.name: Duplicate value"), "{shown:?}");
    assert!(shown[0].contains("already at a.yaml:4:3"), "{shown:?}");
    assert_eq!(loaded.pods.len(), 1);
}

#[test]
fn the_same_name_in_another_kind_or_namespace_is_another_object() {
    let text = "apiVersion: v1\nkind: KIND\nmetadata: {name: a, namespace: NS}\n";
    let documents: Vec<_> = [("ConfigMap", "one"), ("ConfigMap", "two"), ("Secret", "one")]
        .map(|(kind, namespace)| text.replace("KIND", kind).replace("NS", namespace))
        .into();
    let loaded = load_text(&documents.join("---\n"));
    assert_eq!(shown(&loaded), NONE);
    assert_eq!((loaded.objects.config_maps().count(), loaded.objects.secrets().count()), (2, 1));
}

#[test]
fn a_kind_that_is_null_is_missing() {
    assert_eq!(
        shown(&load_text("apiVersion: v1\nkind:\n"))[0].lines().next(),
        Some("test.yaml:2:1: error: kind: Required value")
    );
    let loaded = load_text(&POD.replace("apiVersion: v1", "apiVersion: ~"));
    assert_eq!(shown(&loaded)[0].lines().next(), Some("test.yaml:1:1: error: apiVersion: Required value"));
    assert!(loaded.pods.is_empty());
}

#[test]
fn string_data_goes_over_data() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ndata:\n  a: b2xk\n  b: |\n    a2Vw\n    dA==\nstringData:\n  a: new\n";
    let loaded = load_text(text);
    assert_eq!(shown(&loaded), NONE);
    let data = loaded.objects.get_secret("default", "s").and_then(|secret| secret.data.clone()).unwrap_or_default();
    assert_eq!(data.get("a"), Some(&ByteString(b"new".to_vec())));
    assert_eq!(data.get("b"), Some(&ByteString(b"kept".to_vec())));
}

#[test]
fn numbers_are_those_that_kubernetes_reads() {
    let text = format!(
        "{POD}    resources:\n      limits: {{cpu: 0.5, memory: 1_000}}\n  terminationGracePeriodSeconds: 5.0\n  volumes:\n  - \
         name: v\n    configMap: {{name: c, defaultMode: 0644}}\n"
    );
    let loaded = load_text(&text);
    assert_eq!(shown(&loaded), NONE);
    let spec = loaded.pods[0].pod.spec();
    assert_eq!(spec.termination_grace_period_seconds, Some(5));
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    assert_eq!(volumes[0].config_map.as_ref().and_then(|source| source.default_mode), Some(0o644));
    let limits =
        spec.containers[0].resources.as_ref().and_then(|resources| resources.limits.clone()).unwrap_or_default();
    assert_eq!((limits["cpu"].0.as_str(), limits["memory"].0.as_str()), ("0.5", "1000"));
}

#[test]
fn null_fields_are_absent() {
    let loaded = load_text(&format!("{POD}    args: null\n    env:\n  nodeName: ~\nstatus:\n"));
    assert_eq!(shown(&loaded), NONE);
    assert_eq!(loaded.pods[0].pod.spec().containers[0].args, None);
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ndata:\n  a: hunter2!\n  b: [hunter2]\n  c: 4711\nstringData:\n  d: 4711\n  e: 4711.5\nimmutable: hunter2\n";
    let loaded = load_text(text);
    assert_eq!(loaded.diagnostics.len(), 6);
    for line in shown(&loaded) {
        assert!(!line.contains("hunter2") && !line.contains("4711"), "{line}");
    }
}

#[test]
fn sources_are_bounded() {
    let message = |bytes: Vec<u8>| shown(&load(&[Source { name: "big".to_owned(), bytes }])).join("\n");
    assert!(message(vec![b'#'; text::MAX_SOURCE_BYTES + 1]).contains("too large"));
    assert!(message(b"---\na\n".repeat(yaml::MAX_DOCUMENTS + 1)).contains("more problems are not shown"));
    assert!(message(b"- ".repeat(500)).contains("too deep"));
    assert!(message([b"{\"a\":".repeat(500), b"1".to_vec()].concat()).contains("too deep"));
    let chain: String = (1..1000).map(|number| format!("- &a{number} [*a{}]\n", number - 1)).collect();
    assert!(message(format!("- &a0 x\n{chain}").into_bytes()).contains("too deep"));
    let key = "k".repeat(5000);
    assert!(message(format!("? {key}\n: 1\n").into_bytes()).contains("field name too long"));
    assert!(message(format!("{{\"{key}\": 1}}").into_bytes()).contains("field name too long"));
    let large = format!("apiVersion: v1\nkind: ConfigMap\ndata: [{}]\n", "1,".repeat(200_000));
    assert!(message(large.into_bytes()).contains("objects of up to 1.5 MiB"));
    let mut merges = b"a: &a {".to_vec();
    (0..1000).for_each(|key| merges.extend(format!("k{key}: 1,").into_bytes()));
    merges.extend(b"}\nb:\n");
    merges.extend(b"- {<<: *a}\n".repeat(10_000));
    assert!(message(merges).contains("too large when its aliases are written out"));
}

#[test]
fn diagnostics_are_bounded() {
    let fields: String = (0..5000).map(|number| format!("  x{number}: 1\n")).collect();
    let loaded = load_text(&format!("{POD}{fields}"));
    assert!(loaded.has_errors());
    assert!(loaded.diagnostics.len() < 1100);
    assert!(shown(&loaded).iter().any(|line| line.contains("more problems are not shown")));
}

/// Text that is not read as something else when it is not quoted: serde_yaml, which writes the tests' YAML, quotes by
/// YAML 1.2's rules. Nor does it hold the line breaks that YAML 1.2 no longer has and serde_yaml still writes.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("is another value, or another text, in YAML 1.1", |text| {
        resolve(text) == ScalarKind::String && !text.contains(['\u{85}', '\u{2028}', '\u{2029}'])
    })
}

proptest! {
    /// Two independent writers and this reader agree about every string.
    #[test]
    fn what_serde_writes_is_read_back(data in proptest::collection::btree_map("[a-z]{2,8}z", text(), 0..6)) {
        let written = config_map("c", &data);
        let yaml = serde_yaml::to_string(&written).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let json = serde_json::to_string_pretty(&written).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for source in [yaml, json] {
            let loaded = load_text(&source);
            prop_assert_eq!(shown(&loaded), NONE, "{}", source);
            prop_assert_eq!(loaded.objects.get_config_map("default", "c"), Some(&written), "{}", source);
        }
    }

    #[test]
    fn secrets_survive_too(data in proptest::collection::btree_map("[a-z]{2,8}z", proptest::collection::vec(any::<u8>(), 0..40), 0..4)) {
        let written = Secret {
            metadata: ObjectMeta { name: Some("s".to_owned()), ..ObjectMeta::default() },
            data: Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect()),
            ..Secret::default()
        };
        let yaml = serde_yaml::to_string(&written).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let loaded = load_text(&yaml);
        prop_assert_eq!(shown(&loaded), NONE);
        prop_assert_eq!(loaded.objects.get_secret("default", "s"), Some(&written));
    }
}

const NETWORK_POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: database
spec:
  podSelector: {}
  egress:
  - ports:
    - port: 5978
";

#[test]
fn a_network_policy_is_loaded_with_kubernetes_defaults() {
    let item = NETWORK_POLICY.split_once("metadata").unwrap_or_default().1.replace('\n', "\n  ");
    let list = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n- metadata{}",
        item.replace("database", "other")
    );
    let loaded = load_text(&format!("{NETWORK_POLICY}---\n{list}"));
    assert_eq!(shown(&loaded), NONE);
    let policies: Vec<_> = loaded.objects.network_policies().collect();
    assert_eq!(policies.len(), 2);
    for (policy, name) in policies.iter().zip(["database", "other"]) {
        assert_eq!(policy.metadata.name.as_deref(), Some(name));
        assert_eq!(policy.metadata.namespace.as_deref(), Some("default"));
        let spec = policy.spec.as_ref().unwrap_or_else(|| panic!("no spec"));
        assert_eq!(spec.policy_types.as_deref(), Some(&["Ingress".to_owned(), "Egress".to_owned()][..]));
        let port = spec.egress.iter().flatten().flat_map(|rule| rule.ports.iter().flatten()).next();
        assert_eq!(port.and_then(|port| port.protocol.as_deref()), Some("TCP"));
    }
}

#[test]
fn a_second_network_policy_of_the_name_is_an_error() {
    let loaded = load_text(&format!("{NETWORK_POLICY}---\n{NETWORK_POLICY}"));
    assert_eq!(
        shown(&loaded),
        ["test.yaml:14:3: error: metadata.name: Duplicate value: \"database\": NetworkPolicy default/database is \
         already at test.yaml:4:3\n    hint: remove one of them, or give it another name or namespace"]
    );
    assert_eq!(loaded.objects.network_policies().count(), 1);
}

mod priority_classes {
    use super::*;

    const CLASS: &str = "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 1000}";
    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  priorityClassName: high\n  containers: \
                       [{name: app, image: app}]\n";

    fn read(sources: &[&str]) -> (Loaded, Vec<String>) {
        let sources: Vec<_> = sources
            .iter()
            .enumerate()
            .map(|(index, text)| Source { name: format!("f{index}"), bytes: text.as_bytes().to_vec() })
            .collect();
        let loaded = load(&sources);
        let said = loaded.diagnostics.iter().map(ToString::to_string).collect();
        (loaded, said)
    }

    #[test]
    fn a_class_may_come_after_its_pods() {
        let (loaded, said) = read(&[POD, CLASS]);
        assert_eq!(said, Vec::<String>::new());
        assert_eq!((loaded.pods[0].pod.priority(), loaded.objects.priority_classes().count()), (1000, 1));
    }

    #[test]
    fn a_class_that_does_not_exist_is_named_where_it_stands() {
        let broken = "{apiVersion: v1, kind: Pod, metadata: {name: other}, spec: {}}";
        let (loaded, said) = read(&[&format!("{POD}---\n{broken}"), "{}"]);
        assert!(loaded.pods.is_empty());
        assert_eq!(
            said[0].lines().next(),
            Some("f0:5:3: error: spec.priorityClassName: Forbidden: no PriorityClass with name high was found")
        );
        assert!(said[1].starts_with("f0:8:"), "{said:?}");
    }

    #[test]
    fn what_no_class_may_be() {
        for (fields, expected) in [
            (
                "metadata: {name: system-mine}, value: 1",
                "metadata.name: Forbidden: priority class names with 'system-' prefix",
            ),
            (
                "metadata: {name: a}, value: 1000000001",
                "value: Forbidden: maximum allowed value of a user defined priority is",
            ),
            ("metadata: {name: a, namespace: x}, value: 1", "metadata.namespace: Forbidden: not allowed on this type"),
            (
                "metadata: {name: a}, value: 1, preemptionPolicy: Maybe",
                "preemptionPolicy: Unsupported value: \"Maybe\"",
            ),
        ] {
            let (_, said) = read(&[&format!("{{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, {fields}}}")]);
            assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
        }
        let (_, said) = read(&[
            "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: system-node-critical}, value: 2000001000}",
        ]);
        assert_eq!(said, Vec::<String>::new());
    }
}
