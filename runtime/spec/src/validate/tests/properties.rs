//! What holds for any pod whatever.

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::Value;

use crate::env::{expand_args, resolve_env};
use crate::fields::DownwardFacts;
use crate::lookup::NoObjects;
use crate::volume::{expand_sub_path, resolve_files};
use crate::{CheckedPod, ContainerKind, Diagnostic};

/// A pod that passes and uses most of what there are rules for.
const GOOD: &str = r#"
metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {note: x, nacelle.dev/http-reuse: '10'}}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 5
  activeDeadlineSeconds: 60
  hostname: web
  subdomain: sub
  setHostnameAsFQDN: true
  hostNetwork: false
  dnsPolicy: None
  dnsConfig: {nameservers: [1.1.1.1], searches: [a.b]}
  hostAliases: [{ip: 1.2.3.4, hostnames: [x]}]
  securityContext: {runAsUser: 1000, fsGroup: 5}
  resources: {limits: {memory: 2Gi}}
  initContainers:
  - {name: setup, image: "a:1", command: [a]}
  - name: proxy
    image: "a:1"
    restartPolicy: Always
    startupProbe: {exec: {command: [test]}, periodSeconds: 1}
  containers:
  - name: main
    image: "a:1"
    imagePullPolicy: Always
    workingDir: /work
    command: [run, "$(A)"]
    args: ["$(B)", "$$(B)"]
    ports: [{name: web, containerPort: 80, hostPort: 8080, protocol: TCP}]
    envFrom: [{prefix: P_, configMapRef: {name: none, optional: true}}]
    env:
    - {name: A, value: "a$(P_X)"}
    - {name: B, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: C, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: D, valueFrom: {secretKeyRef: {name: none, key: k, optional: true}}}
    resources: {limits: {cpu: "1", memory: 1Gi, ephemeral-storage: 1Gi}, requests: {cpu: 500m}}
    livenessProbe: {httpGet: {port: web, path: /}, failureThreshold: 2}
    readinessProbe: {tcpSocket: {port: 80}, successThreshold: 2}
    lifecycle: {preStop: {sleep: {seconds: 3}}, postStart: {exec: {command: [a]}}}
    volumeMounts:
    - {name: scratch, mountPath: /a, subPathExpr: x/$(B)}
    - {name: files, mountPath: /b, readOnly: true}
  volumes:
  - {name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: host, hostPath: {path: /a, type: Directory}}
  - {name: settings, configMap: {name: none, optional: true, items: [{key: k, path: p, mode: 256}]}}
  - {name: image, image: {reference: "b:1"}}
  - name: files
    projected:
      sources:
      - secret: {name: none, optional: true}
      - downwardAPI: {items: [{path: d/labels, fieldRef: {fieldPath: metadata.labels}}]}
      - downwardAPI: {items: [{path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu}}]}
"#;

/// What replaces a value: something of the same type, or nothing.
#[derive(Clone, Debug)]
struct Mutation {
    /// Picks the place.
    place: prop::sample::Index,
    word: String,
    number: i32,
    delete: bool,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    const WORDS: [&str; 20] = [
        "",
        "a",
        "main",
        "web",
        "none",
        "Always",
        "TCP",
        "UDP",
        "$(A)",
        "$(",
        "/a",
        "../a",
        "..",
        "limits.cpu",
        "metadata.name",
        "status.podIPs",
        "1Gi",
        "100m",
        "0",
        "-1",
    ];
    let word = prop_oneof![3 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => "\\PC{0,12}"];
    let number = prop_oneof![Just(0), Just(1), Just(80), Just(-1), any::<i32>()];
    (any::<prop::sample::Index>(), word, number, any::<bool>()).prop_map(|(place, word, number, delete)| Mutation {
        place,
        word,
        number,
        delete,
    })
}

/// JSON pointers to all values below this one.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(field, value)| (field.replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => return,
    };
    for (step, value) in below {
        let at = format!("{at}/{step}");
        places(value, &at, found);
        found.push(at);
    }
}

fn mutate(pod: &mut Value, mutation: &Mutation) {
    let mut found = Vec::new();
    places(pod, "", &mut found);
    if found.is_empty() {
        // Earlier mutations have deleted everything.
        return;
    }
    let place = mutation.place.get(&found);
    let (parent, step) = place.rsplit_once('/').unwrap();
    match pod.pointer_mut(place).unwrap() {
        Value::String(text) => *text = mutation.word.clone(),
        Value::Number(number) => *number = mutation.number.into(),
        _ => {}
    }
    match pod.pointer_mut(parent).unwrap() {
        Value::Object(fields) if mutation.delete => drop(fields.remove(&step.replace("~1", "/"))),
        Value::Array(items) if mutation.delete => drop(items.remove(step.parse().unwrap())),
        _ => {}
    }
}

/// The good pod with a few of its values replaced or removed.
fn pod() -> impl Strategy<Value = Pod> {
    prop::collection::vec(mutation(), 0..5).prop_map(|mutations| {
        let mut value = serde_yaml::from_str(GOOD).unwrap();
        mutations.iter().for_each(|mutation| mutate(&mut value, mutation));
        serde_json::from_value(value).unwrap()
    })
}

#[test]
fn the_good_pod_passes() {
    let (_, warnings) = CheckedPod::check(serde_yaml::from_str(GOOD).unwrap()).unwrap();
    assert_eq!(warnings, []);
}

proptest! {
    #[test]
    fn any_pod_is_checked_and_what_passed_can_be_used(pod in pod()) {
        match CheckedPod::check(pod) {
            Err(diagnostics) => prop_assert!(diagnostics.iter().any(Diagnostic::is_error)),
            Ok((pod, warnings)) => {
                prop_assert!(!warnings.iter().any(Diagnostic::is_error));
                for container in pod.containers() {
                    prop_assert!(pod.container(&container.spec.name).is_some());
                    let env = resolve_env(&pod, container.spec, &NoObjects, &DownwardFacts::default());
                    // A reference that is not optional any more leads nowhere.
                    let Ok(env) = env else { continue };
                    expand_args(container.spec.args.as_deref().unwrap_or_default(), &env.vars).unwrap();
                    for mount in container.spec.volume_mounts.iter().flatten() {
                        let _ = expand_sub_path(mount, &env.vars);
                    }
                }
                for volume in pod.spec().volumes.iter().flatten() {
                    let _ = resolve_files(&pod, volume, &NoObjects, &DownwardFacts::default());
                }
                let _ = (pod.qos_class(), pod.hostname(), pod.termination_grace_period());
                prop_assert!(pod.kernel_hostname().len() <= 64);
                let aliases = pod.spec().host_aliases.as_ref().map_or(0, Vec::len);
                prop_assert_eq!(pod.host_aliases().count(), aliases);
                let ports = pod.containers().filter(|container| container.kind != ContainerKind::Init);
                let ports: usize = ports.map(|container| container.spec.ports.as_ref().map_or(0, Vec::len)).sum();
                prop_assert_eq!(pod.ports().count(), ports);
                let limits = (pod.memory_limit(), pod.ephemeral_storage_limit(), pod.fs_group(), pod.http_reuse());
                let _ = (limits, pod.dns_config(), pod.access_log());
            }
        }
    }

    #[test]
    fn defaults_applied_twice_change_nothing(mut pod in pod()) {
        crate::defaults::apply(&mut pod);
        let once = pod.clone();
        crate::defaults::apply(&mut pod);
        prop_assert_eq!(pod, once);
    }

    #[test]
    fn a_checked_pod_passes_again(pod in pod()) {
        if let Ok((pod, warnings)) = CheckedPod::check(pod) {
            let again = CheckedPod::check(pod.object().clone());
            prop_assert_eq!(again, Ok((pod, warnings)));
        }
    }
}
