#![allow(clippy::unwrap_used, reason = "tests")]

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{apply, network_policy, pull_policy};

fn defaulted(yaml: &str) -> Value {
    let mut pod: Pod = serde_yaml::from_str(yaml).unwrap();
    apply(&mut pod);
    let once = serde_json::to_value(&pod).unwrap();
    apply(&mut pod);
    assert_eq!(serde_json::to_value(&pod).unwrap(), once);
    once
}

#[test]
fn of_a_pod_that_says_nothing() {
    let pod = defaulted("metadata: {name: a}\nspec: {containers: [{name: c, image: web}]}");
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "a", "namespace": "default" },
        "spec": {
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30,
            "enableServiceLinks": true,
            "securityContext": {},
            "containers": [{
                "name": "c",
                "image": "web",
                "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "resources": {},
            }],
        },
    });
    assert_eq!(pod, expected);
}

#[test]
fn of_a_containers_parts() {
    let pod = defaulted(
        "spec:\n  hostNetwork: true\n  serviceAccount: bot\n  containers:\n  - name: c\n    image: web:1\n    \
         ports: [{containerPort: 80}]\n    \
         env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n    \
         resources: {limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 1}}\n    \
         livenessProbe: {httpGet: {port: 80}, periodSeconds: 3}\n    \
         startupProbe: {grpc: {port: 9}}\n    \
         lifecycle: {preStop: {httpGet: {port: 80, path: /bye}}}",
    );
    let container = &pod["spec"]["containers"][0];
    assert_eq!(pod["spec"]["serviceAccountName"], "bot");
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["ports"], json!([{ "containerPort": 80, "hostPort": 80, "protocol": "TCP" }]));
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(container["resources"]["requests"], json!({ "cpu": "1", "memory": "1Gi" }));
    assert_eq!(
        container["livenessProbe"],
        json!({
            "httpGet": { "path": "/", "port": 80, "scheme": "HTTP" },
            "timeoutSeconds": 1,
            "periodSeconds": 3,
            "successThreshold": 1,
            "failureThreshold": 3,
        })
    );
    assert_eq!(container["startupProbe"]["grpc"], json!({ "port": 9, "service": "" }));
    assert_eq!(container["lifecycle"]["preStop"]["httpGet"]["path"], "/bye");
    assert_eq!(container["lifecycle"]["preStop"]["httpGet"]["scheme"], "HTTP");
}

#[test]
fn of_volumes() {
    let pod = defaulted(
        "spec:\n  containers: []\n  volumes:\n  - {name: a, configMap: {name: x}}\n  \
         - {name: b, secret: {secretName: x, defaultMode: 256}}\n  - {name: c, hostPath: {path: /}}\n  \
         - {name: d, image: {reference: \"x@sha256:0\"}}\n  \
         - {name: e, projected: {sources: [{downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.uid}}]}}]}}\n  \
         - {name: f, downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.uid}}]}}\n  - {name: g}",
    );
    let volumes = &pod["spec"]["volumes"];
    assert_eq!(volumes[0]["configMap"]["defaultMode"], 0o644);
    assert_eq!(volumes[1]["secret"]["defaultMode"], 0o400);
    assert_eq!(volumes[2]["hostPath"]["type"], "");
    assert_eq!(volumes[3]["image"]["pullPolicy"], "IfNotPresent");
    assert_eq!(volumes[4]["projected"]["defaultMode"], 0o644);
    assert_eq!(volumes[4]["projected"]["sources"][0]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(volumes[5]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(volumes[6], json!({ "name": "g" }));
}

#[test]
fn pull_policies() {
    for (image, policy) in [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("localhost:5000/web", "Always"),
        ("localhost:5000/web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("localhost:5000/web:1", "IfNotPresent"),
        ("web@sha256:00", "IfNotPresent"),
        ("web:1@sha256:00", "IfNotPresent"),
        ("file:./web.wasm", "IfNotPresent"),
        ("oci:dir", "IfNotPresent"),
        ("oci-archive:a.tar", "IfNotPresent"),
    ] {
        assert_eq!(pull_policy(image), policy, "{image}");
    }
}

#[test]
fn a_network_policy_speaks_of_ingress_and_of_egress_where_it_has_rules_for_that() {
    let types = |spec: &str| {
        let mut policy = serde_yaml::from_str(&format!("{{metadata: {{name: p}}, spec: {{{spec}}}}}")).unwrap();
        network_policy(&mut policy);
        assert_eq!(policy.metadata.namespace.as_deref(), Some("default"));
        policy.spec.unwrap().policy_types.unwrap()
    };
    assert_eq!(types(""), ["Ingress"]);
    assert_eq!(types("egress: []"), ["Ingress"]);
    assert_eq!(types("egress: [{}]"), ["Ingress", "Egress"]);
    assert_eq!(types("policyTypes: []"), ["Ingress"]);
    assert_eq!(types("policyTypes: [Egress], ingress: [{}]"), ["Egress"]);
}

#[test]
fn of_a_pods_own_resources() {
    let requests = |pod: &str, container: &str| {
        let pod = defaulted(&format!(
            "spec: {{resources: {{{pod}}}, containers: [{{name: c, image: a:1, resources: {{{container}}}}}, {{name: d, \
             image: a:1, resources: {{requests: {{memory: 64Mi}}}}}}]}}"
        ));
        pod["spec"]["resources"]["requests"].clone()
    };
    // What the containers ask for, where they do; else the limit.
    assert_eq!(requests("limits: {cpu: 1, memory: 1Gi}", ""), json!({ "cpu": "1", "memory": "64Mi" }));
    let both = "requests: {cpu: 250m, memory: 64Mi}";
    assert_eq!(requests("limits: {cpu: 1, memory: 1Gi}", both), json!({ "cpu": "250m", "memory": "128Mi" }));
    assert_eq!(requests("limits: {memory: 1Gi}", both), json!({ "cpu": "250m", "memory": "128Mi" }));
    // What is written stays, and without limits there is nothing to fill in.
    assert_eq!(requests("limits: {cpu: 1}, requests: {cpu: 300m, memory: 1Gi}", both)["cpu"], json!("300m"));
    assert_eq!(requests("requests: {cpu: 300m}", both), json!({ "cpu": "300m" }));
    // More than the limit is an error of the limit.
    assert_eq!(requests("limits: {memory: 1Mi}", "")["memory"], json!("1Mi"));
}
