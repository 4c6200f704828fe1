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
    pods
}
