//! The pods that live through histories.

use k8s_openapi::api::core::v1::{EphemeralContainer, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nacelle_spec::{CheckedPod, ContainerKind};

use crate::harness::pod;

/// A container that is started again when its cpu changes.
const RESTARTED: &str = "{name: b, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]}";
/// The first of several containers, the same.
const RESIZED: &str = "containers: [{resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}], ";

/// Every combination of parts that the machine treats differently.
pub(super) fn all() -> Vec<CheckedPod> {
    let inits = [
        "",
        "{name: i1}",
        "{name: i1}, {name: i2}",
        "{name: s1, restartPolicy: Always}",
        "{name: i1}, {name: s1, restartPolicy: Always}, {name: i2}, {name: s2, restartPolicy: Always}",
    ];
    let apps = ["{name: b}", "{name: b}, {name: a}", "{name: c}, {name: a}, {name: b}"];
    let extras = ["", "activeDeadlineSeconds: 45,", "terminationGracePeriodSeconds: 1,"];
    let mut pods = Vec::new();
    for policy in ["Never", "OnFailure", "Always"] {
        for inits in inits {
            for apps in apps {
                for extra in extras {
                    let resizes = policy != "Never";
                    let apps = if resizes { apps.replace("{name: b}", RESTARTED) } else { apps.to_owned() };
                    let pod = pod(&format!(
                        "{{restartPolicy: {policy}, {extra} initContainers: [{inits}], containers: [{apps}]}}"
                    ));
                    pods.push(with_cpus(&pod, 1));
                }
            }
        }
    }
    for policy in ["Never", "OnFailure", "Always"] {
        for spec in WATCHED {
            let resizes = policy != "Never";
            let spec = if resizes { spec.replace("containers: [{", RESIZED) } else { spec.to_owned() };
            pods.push(with_cpus(&pod(&format!("{{restartPolicy: {policy}, {spec}}}")), 1));
        }
    }
    pods
}

/// Probes, hooks and rules, alone and together.
const WATCHED: [&str; 9] = [
    "containers: [{name: a, livenessProbe: {tcpSocket: {port: 1}, periodSeconds: 5, failureThreshold: 2, \
     terminationGracePeriodSeconds: 3}}]",
    "containers: [{name: a, readinessProbe: {tcpSocket: {port: 1}, initialDelaySeconds: 7, successThreshold: 2}}, {name: b}]",
    "containers: [{name: a, startupProbe: {tcpSocket: {port: 1}, failureThreshold: 2}, livenessProbe: {tcpSocket: {port: \
     1}}, readinessProbe: {tcpSocket: {port: 1}}}]",
    "initContainers: [{name: s, restartPolicy: Always, startupProbe: {tcpSocket: {port: 1}}, readinessProbe: {tcpSocket: \
     {port: 1}}}], containers: [{name: a}]",
    "containers: [{name: a, lifecycle: {postStart: {sleep: {seconds: 3}}, preStop: {sleep: {seconds: 9}}}}, {name: b}]",
    "terminationGracePeriodSeconds: 5, initContainers: [{name: s, restartPolicy: Always, lifecycle: {postStart: {sleep: \
     {seconds: 1}}, preStop: {sleep: {seconds: 2}}}}], containers: [{name: a, livenessProbe: {tcpSocket: {port: 1}, \
     failureThreshold: 1}, lifecycle: {preStop: {sleep: {seconds: 2}}}}]",
    "containers: [{name: a, restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: \
     [1]}}]}, {name: b, restartPolicy: OnFailure}]",
    "initContainers: [{name: i}, {name: s, restartPolicy: Always, lifecycle: {preStop: {sleep: {seconds: 2}}}}], containers: \
     [{name: a, restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: \
     [137]}}]}, {name: b}]",
    "activeDeadlineSeconds: 45, initContainers: [{name: i, restartPolicy: Never}], containers: [{name: a, livenessProbe: \
     {tcpSocket: {port: 1}, failureThreshold: 1}, lifecycle: {postStart: {sleep: {seconds: 1}}}, restartPolicy: Always, \
     restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [1]}}]}]",
];

/// The pod with so many CPUs for each container that may be resized.
pub(super) fn with_cpus(pod: &CheckedPod, cpus: u8) -> CheckedPod {
    let limits = [("cpu".to_owned(), Quantity(cpus.to_string()))].into();
    let resources = ResourceRequirements { limits: Some(limits), ..ResourceRequirements::default() };
    let resizable = |name: &str| pod.container(name).is_some_and(|container| container.kind != ContainerKind::Init);
    pod.with_container_resources(|name| resizable(name).then(|| resources.clone()))
}

/// The same pod with one more ephemeral container, up to three of them.
pub(super) fn with_one_more(pod: &CheckedPod) -> CheckedPod {
    let mut object = pod.object().clone();
    let list = object.spec.as_mut().expect("a spec").ephemeral_containers.get_or_insert_default();
    if list.len() < 3 {
        let (name, image) = (format!("ephemeral-{}", list.len()), Some("example/tools:1".into()));
        list.push(EphemeralContainer { name, image, ..EphemeralContainer::default() });
    }
    CheckedPod::check_update(object).expect("a valid pod").0
}
