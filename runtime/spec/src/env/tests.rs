#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use proptest::prelude::*;

use super::*;

#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

impl ObjectLookup for Objects {
    fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(name).filter(|_| namespace == "shop")
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        self.secrets.get(name).filter(|_| namespace == "shop")
    }
}

pub(crate) fn objects() -> Objects {
    let settings = "data: {COLOR: red, LEVEL: \"3\", \"with-dash\": d}\nbinaryData: {blob: AAE=}";
    let token = "data: {token: czNjcjN0, raw: /w==}\nstringData: {user: ann}";
    Objects {
        config_maps: [("settings".to_owned(), serde_yaml::from_str(settings).unwrap())].into(),
        secrets: [("token".to_owned(), serde_yaml::from_str(token).unwrap())].into(),
    }
}

pub(crate) fn pod(spec: &str) -> CheckedPod {
    let yaml = format!(
        "metadata: {{name: web, namespace: shop, uid: u-1, labels: {{app: web}}, annotations: {{note: \"a\\nb\"}}}}\n\
         spec:\n  {}",
        spec.replace('\n', "\n  ")
    );
    let pod: Pod = serde_yaml::from_str(&yaml).unwrap();
    CheckedPod::check(pod).unwrap().0
}

pub(crate) fn facts() -> DownwardFacts {
    DownwardFacts {
        node_name: "node-1".to_owned(),
        pod_ips: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        host_ips: vec!["192.0.2.1".parse().unwrap()],
        node_cpu_millis: 2000,
        node_memory_bytes: 4 << 30,
        node_ephemeral_storage_bytes: 10 << 30,
    }
}

fn resolve(container: &str) -> Result<ResolvedEnv, EnvError> {
    let pod = pod(&format!("containers:\n- name: main\n  image: a:1\n  {}", container.replace('\n', "\n  ")));
    let container = pod.container("main").unwrap().spec;
    resolve_env(&pod, container, &objects(), &facts())
}

fn vars(container: &str) -> Vec<(String, String)> {
    resolve(container).unwrap().vars
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn references_see_what_came_before_them() {
    let env = "env:\n- {name: A, value: a}\n- {name: B, value: \"$(A)$(C)$$(A)\"}\n- {name: C, value: c}\n\
               - {name: A, value: \"$(A)2\"}\n- {name: EMPTY}";
    assert_eq!(vars(env), pairs(&[("A", "a2"), ("B", "a$(C)$(A)"), ("C", "c"), ("EMPTY", "")]));
}

#[test]
fn env_from_takes_whole_objects_with_a_prefix_and_env_wins() {
    let env = "envFrom:\n- configMapRef: {name: settings}\n- prefix: P_\n  secretRef: {name: user-only, optional: true}\n\
               env:\n- {name: COLOR, value: \"not $(COLOR)\"}";
    assert_eq!(vars(env), pairs(&[("COLOR", "not red"), ("LEVEL", "3"), ("with-dash", "d")]));
    let env = "envFrom:\n- {prefix: P_, configMapRef: {name: settings}}";
    assert_eq!(vars(env), pairs(&[("P_COLOR", "red"), ("P_LEVEL", "3"), ("P_with-dash", "d")]));
}

#[test]
fn names_that_cannot_be_are_skipped_and_reported() {
    let pod = pod("containers: [{name: main, image: \"a:1\", envFrom: [{configMapRef: {name: odd}}]}]");
    let odd = serde_yaml::from_str("data: {\"a=b\": x, \"c=d\": y, ok: z}").unwrap();
    let objects = Objects { config_maps: [("odd".to_owned(), odd)].into(), ..Objects::default() };
    let env = resolve_env(&pod, pod.container("main").unwrap().spec, &objects, &facts()).unwrap();
    assert_eq!(env.vars, pairs(&[("ok", "z")]));
    assert_eq!(
        env.warnings,
        ["Keys [a=b, c=d] from the EnvFrom configMap shop/odd were skipped since they are considered invalid \
          environment variable names."]
    );
}

#[test]
fn value_from_each_source() {
    let env = "resources: {limits: {cpu: 1500m, memory: 64Mi}}\nenv:\n\
        - {name: A, valueFrom: {configMapKeyRef: {name: settings, key: COLOR}}}\n\
        - {name: B, valueFrom: {secretKeyRef: {name: token, key: token}}}\n\
        - {name: C, valueFrom: {secretKeyRef: {name: token, key: user}}}\n\
        - {name: D, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}\n\
        - {name: E, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}\n\
        - {name: F, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}\n\
        - {name: G, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}\n\
        - {name: H, valueFrom: {configMapKeyRef: {name: none, key: k, optional: true}}}\n\
        - {name: I, valueFrom: {secretKeyRef: {name: token, key: none, optional: true}}}\n\
        - {name: J, value: \"$(B)\"}";
    let expected = [
        ("A", "red"),
        ("B", "s3cr3t"),
        ("C", "ann"),
        ("D", "web"),
        ("E", "10.0.0.7,fd00::7"),
        ("F", "2"),
        ("G", "64"),
        ("J", "s3cr3t"),
    ];
    assert_eq!(vars(env), pairs(&expected));
}

#[test]
fn references_that_lead_nowhere() {
    for (env, message) in [
        ("envFrom: [{configMapRef: {name: x}}]", "configmap \"x\" not found"),
        ("envFrom: [{secretRef: {name: x}}]", "secret \"x\" not found"),
        ("env: [{name: A, valueFrom: {configMapKeyRef: {name: x, key: k}}}]", "configmap \"x\" not found"),
        ("env: [{name: A, valueFrom: {secretKeyRef: {name: x, key: k}}}]", "secret \"x\" not found"),
        (
            "env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: k}}}]",
            "couldn't find key k in ConfigMap shop/settings",
        ),
        (
            "env: [{name: A, valueFrom: {secretKeyRef: {name: token, key: k}}}]",
            "couldn't find key k in Secret shop/token",
        ),
        (
            "env: [{name: A, valueFrom: {secretKeyRef: {name: token, key: raw}}}]",
            "the value of environment variable A is not UTF-8 text or contains a NUL; mount it as a file",
        ),
    ] {
        assert_eq!(resolve(env).unwrap_err().to_string(), message, "{env}");
    }
}

#[test]
fn debug_output_hides_values() {
    let env = resolve("env: [{name: A, valueFrom: {secretKeyRef: {name: token, key: token}}}]").unwrap();
    assert_eq!(format!("{env:?}"), "ResolvedEnv { names: [\"A\"], warnings: [] }");
}

#[test]
fn doubling_references_end_in_an_error() {
    let mut env = format!("env:\n- {{name: V0, value: {}}}", "x".repeat(64));
    for i in 1..40 {
        env.push_str(&format!("\n- {{name: V{i}, value: \"$(V{0})$(V{0})\"}}", i - 1));
    }
    assert_eq!(resolve(&env).unwrap_err(), EnvError::TooLong);
}

#[test]
fn replacing_a_large_value_over_and_over_ends_in_an_error() {
    let mut env = format!("env:\n- {{name: BIG, value: {}}}", "x".repeat(1 << 20));
    for _ in 0..40 {
        env.push_str("\n- {name: A, value: $(BIG)}");
    }
    assert_eq!(resolve(&env).unwrap_err(), EnvError::TooLong);
}

#[test]
fn a_warning_lists_only_so_many_names() {
    let pod = pod("containers: [{name: main, image: \"a:1\", envFrom: [{configMapRef: {name: odd}}]}]");
    let data: BTreeMap<String, String> = (0..30).map(|i| (format!("{i:02}="), String::new())).collect();
    let odd = ConfigMap { data: Some(data), ..ConfigMap::default() };
    let objects = Objects { config_maps: [("odd".to_owned(), odd)].into(), ..Objects::default() };
    let env = resolve_env(&pod, pod.container("main").unwrap().spec, &objects, &facts()).unwrap();
    assert!(env.warnings[0].contains("19=, and 10 more] from the EnvFrom"), "{:?}", env.warnings);
}

#[test]
fn expansion_as_kubernetes_does_it() {
    let value_of = |name: &str| match name {
        "A" => Some("1"),
        "B" => Some("$(A)"),
        "" => Some("empty"),
        _ => None,
    };
    for (input, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("$(A)", "1"),
        ("$(A)$(A)", "11"),
        ("$(B)", "$(A)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(NOPE)", "$(NOPE)"),
        ("$()", "empty"),
        ("$", "$"),
        ("$$", "$"),
        ("a$", "a$"),
        ("$A", "$A"),
        ("$é$(A)", "$é1"),
        ("$(A", "$(A"),
        ("$($(A)", "$($(A)"),
        ("$(A))", "1)"),
        ("${A}", "${A}"),
        ("$(A$(", "$(A$("),
    ] {
        assert_eq!(expand(input, value_of).unwrap(), expected, "{input}");
    }
}

proptest! {
    #[test]
    fn expansion_never_panics(input in "[$()A\\PC]{0,80}") {
        let _ = expand(&input, |name| (name == "A").then_some("value"));
    }

    #[test]
    fn without_a_dollar_nothing_changes(input in "[^$]{0,80}") {
        prop_assert_eq!(expand(&input, |_| Some("x")).unwrap(), input);
    }

    #[test]
    fn doubled_dollars_come_back_single(input in "[$()A]{0,40}") {
        let escaped = input.replace('$', "$$");
        prop_assert_eq!(expand(&escaped, |_| Some("x")).unwrap(), input);
    }
}
