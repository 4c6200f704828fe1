//! Quality-of-service classes: who is throttled or evicted first when a node runs short.

use std::fmt;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};

use crate::quantity::Amount;

/// The resources that decide: no others do, whoever has them.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `status.qosClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QosClass {
    /// Every container has limits for cpu and memory, equal to its requests.
    Guaranteed,
    /// Some container asks for cpu or memory.
    Burstable,
    /// No container asks for either.
    BestEffort,
}

impl QosClass {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The class of a pod, from all its containers, init containers included; from the pod's own `resources` alone where it
/// has any (KEP-2837). Quantities of zero count as absent. Wants defaults filled in: a limit without a request is a
/// request too.
pub fn qos_class(spec: &PodSpec) -> QosClass {
    let pod_level = spec.resources.as_ref().filter(|resources| {
        let lists = [&resources.requests, &resources.limits];
        lists.into_iter().flatten().any(|list| COUNTED.iter().any(|name| list.contains_key(*name)))
    });
    let classes: Vec<QosClass> = match pod_level {
        Some(resources) => vec![class_of(Some(resources))],
        None => {
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            containers.map(|container| class_of(container.resources.as_ref())).collect()
        }
    };
    if classes.iter().all(|class| *class == QosClass::BestEffort) {
        QosClass::BestEffort
    } else if classes.iter().all(|class| *class == QosClass::Guaranteed) {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

fn class_of(resources: Option<&ResourceRequirements>) -> QosClass {
    let amount = |limit: bool, name: &str| {
        let list = resources.and_then(|r| if limit { r.limits.as_ref() } else { r.requests.as_ref() })?;
        Amount::try_from(list.get(name)?).ok().filter(|amount| *amount > Amount::ZERO)
    };
    let pairs = COUNTED.map(|name| (amount(false, name), amount(true, name)));
    if pairs.iter().all(|(request, limit)| request.is_none() && limit.is_none()) {
        QosClass::BestEffort
    } else if pairs.iter().all(|(request, limit)| limit.is_some() && request == limit) {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{QosClass, qos_class};
    use k8s_openapi::api::core::v1::PodSpec;

    fn class(yaml: &str) -> QosClass {
        let spec: PodSpec = serde_yaml::from_str(yaml).unwrap();
        qos_class(&spec)
    }

    #[test]
    fn the_three_classes() {
        const FULL: &str = "{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1000m, memory: 1024Mi}}";
        for (resources, expected) in [
            ("{}", QosClass::BestEffort),
            ("{requests: {cpu: 0}}", QosClass::BestEffort),
            ("{requests: {ephemeral-storage: 1Gi}}", QosClass::BestEffort),
            ("{requests: {cpu: 1m}}", QosClass::Burstable),
            ("{limits: {memory: 1Mi}, requests: {memory: 1Mi}}", QosClass::Burstable),
            ("{limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 1, memory: 1Gi}}", QosClass::Burstable),
            (FULL, QosClass::Guaranteed),
        ] {
            let yaml = format!("containers: [{{name: a, resources: {resources}}}]");
            assert_eq!(class(&yaml), expected, "{resources}");
        }
        let mixed = format!("containers: [{{name: a, resources: {FULL}}}]\ninitContainers: [{{name: i}}]");
        assert_eq!(class(&mixed), QosClass::Burstable);
    }

    #[test]
    fn resources_of_the_pod_decide_alone() {
        for (pod, container, expected) in [
            ("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1, memory: 1Gi}}", "{}", QosClass::Guaranteed),
            ("{limits: {cpu: 1}, requests: {cpu: 1}}", "{}", QosClass::Burstable),
            ("{requests: {memory: 1Gi}}", "{limits: {cpu: 1, memory: 1Gi}}", QosClass::Burstable),
            ("{requests: {cpu: 0}}", "{requests: {cpu: 1}}", QosClass::BestEffort),
            ("{requests: {}, limits: {}}", "{requests: {cpu: 1}}", QosClass::Burstable),
        ] {
            let yaml = format!("containers: [{{name: a, resources: {container}}}]\nresources: {pod}");
            assert_eq!(class(&yaml), expected, "{pod} {container}");
        }
    }

    #[test]
    fn fuel_and_storage_decide_nothing() {
        let fuel = "nacelle.dev/fuel: 5, ephemeral-storage: 5";
        for (resources, expected) in [
            (format!("{{limits: {{{fuel}}}, requests: {{{fuel}}}}}"), QosClass::BestEffort),
            (
                format!("{{limits: {{cpu: 1, memory: 1, {fuel}}}, requests: {{cpu: 1, memory: 1}}}}"),
                QosClass::Guaranteed,
            ),
        ] {
            assert_eq!(class(&format!("containers: [{{name: a, resources: {resources}}}]")), expected, "{resources}");
        }
    }
}
