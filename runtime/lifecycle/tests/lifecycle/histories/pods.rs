//! The pods that live through histories.

use nacelle_spec::CheckedPod;

use crate::harness::pod;

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
                    pods.push(pod(&format!(
                        "{{restartPolicy: {policy}, {extra} initContainers: [{inits}], containers: [{apps}]}}"
                    )));
                }
            }
        }
    }
    for policy in ["Never", "OnFailure", "Always"] {
        for spec in WATCHED {
            pods.push(pod(&format!("{{restartPolicy: {policy}, {spec}}}")));
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
