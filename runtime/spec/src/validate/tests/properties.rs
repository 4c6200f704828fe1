//! What holds for any pod whatever.

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::env::{expand_args, resolve_env};
use crate::fields::DownwardFacts;
use crate::lookup::NoObjects;
use crate::volume::{expand_sub_path, resolve_files};
use crate::{CheckedPod, Diagnostic};

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "web", "c", "", "Always", "TCP", "$(a)", "/a", "limits.cpu", "metadata.name", "1Gi", "100m"]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ]
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(1), Just(80), Just(-1), any::<i32>()]
}

/// An optional field.
fn maybe(strategy: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![Just(Value::Null), strategy].boxed()
}

fn list(strategy: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    maybe(prop::collection::vec(strategy, 0..3).prop_map(Value::from))
}

/// The object without its empty fields, some of which may not be null.
fn object(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

fn quantities() -> BoxedStrategy<Value> {
    let map = prop::collection::btree_map(prop::sample::select(vec!["cpu", "memory", "x/y"]), word(), 0..3);
    maybe(map.prop_map(|map| json!(map)))
}

fn probe() -> BoxedStrategy<Value> {
    let probe = (number(), number(), word(), any::<[bool; 3]>()).prop_map(|(port, number, word, given)| {
        object(json!({
            "httpGet": given[0].then(|| json!({ "port": word, "path": word })),
            "tcpSocket": given[1].then(|| json!({ "port": port })),
            "exec": given[2].then(|| json!({ "command": [word] })),
            "periodSeconds": number,
        }))
    });
    maybe(probe)
}

fn variable() -> BoxedStrategy<Value> {
    let variable = (word(), word(), any::<[bool; 4]>()).prop_map(|(name, word, given)| {
        object(json!({
            "name": name,
            "value": given[0].then_some(&word),
            "valueFrom": given[1].then(|| object(json!({
                "fieldRef": given[2].then(|| json!({ "fieldPath": word })),
                "resourceFieldRef": given[3].then(|| json!({ "resource": word, "divisor": word })),
            }))),
        }))
    });
    variable.boxed()
}

fn container() -> BoxedStrategy<Value> {
    let port = (number(), number(), word())
        .prop_map(|(port, host, name)| json!({ "containerPort": port, "hostPort": host, "name": name }));
    let mount = (word(), word(), word())
        .prop_map(|(name, path, part)| json!({ "name": name, "mountPath": path, "subPathExpr": part }));
    let parts =
        (word(), word(), list(port), list(variable()), list(mount), quantities(), quantities(), probe(), probe());
    let container = parts.prop_map(|(name, image, ports, env, mounts, limits, requests, liveness, readiness)| {
        object(json!({
            "name": name,
            "image": image,
            "args": [name, image],
            "ports": ports,
            "env": env,
            "volumeMounts": mounts,
            "resources": object(json!({ "limits": limits, "requests": requests })),
            "livenessProbe": liveness,
            "readinessProbe": readiness,
        }))
    });
    container.boxed()
}

fn volume() -> BoxedStrategy<Value> {
    let volume = (word(), word(), number(), any::<[bool; 4]>()).prop_map(|(name, word, mode, given)| {
        object(json!({
            "name": name,
            "emptyDir": given[0].then(|| json!({ "sizeLimit": word })),
            "configMap": given[1].then(|| json!({
                "name": word, "defaultMode": mode, "optional": true, "items": [{ "key": word, "path": name }],
            })),
            "downwardAPI": given[2].then(|| json!({
                "items": [{ "path": word, "fieldRef": { "fieldPath": "metadata.name" } }],
            })),
            "projected": given[3].then(|| json!({ "sources": [{ "secret": { "name": word, "optional": true } }] })),
        }))
    });
    volume.boxed()
}

fn pod() -> impl Strategy<Value = Pod> {
    let lists = (prop::collection::vec(container(), 0..3), list(container()), list(volume()));
    (word(), word(), number(), lists).prop_map(|(name, word, number, (containers, inits, volumes))| {
        let value = json!({
            "metadata": { "name": name, "labels": { name: word } },
            "spec": object(json!({
                "containers": containers,
                "initContainers": inits,
                "volumes": volumes,
                "restartPolicy": word,
                "terminationGracePeriodSeconds": number,
            })),
        });
        serde_json::from_value(value).unwrap()
    })
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
                    let env = resolve_env(&pod, container.spec, &NoObjects, &DownwardFacts::default()).unwrap();
                    expand_args(container.spec.args.as_deref().unwrap_or_default(), &env.vars).unwrap();
                    for mount in container.spec.volume_mounts.iter().flatten() {
                        let _ = expand_sub_path(mount, &env.vars);
                    }
                }
                for volume in pod.spec().volumes.iter().flatten() {
                    resolve_files(&pod, volume, &NoObjects, &DownwardFacts::default()).unwrap();
                }
                let _ = (pod.qos_class(), pod.hostname(), pod.termination_grace_period());
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
