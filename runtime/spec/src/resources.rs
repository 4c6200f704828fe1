//! What a pod may use: memory and local storage.
//!
//! The sums over containers are Kubernetes' (`component-helpers/resource`): containers that run beside each other add
//! up, an init container counts where it alone, with the sidecars before it, needs more.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::{Amount, ByteSize};
use crate::{CheckedPod, PodContainer};

const MEMORY: &str = "memory";
const STORAGE: &str = "ephemeral-storage";

/// Which of the two lists of `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Limits,
    Requests,
}

impl CheckedPod {
    /// The most memory that all containers together may use, in bytes: the pod's own limit, else the sum of its
    /// containers' when each has one.
    pub fn memory_limit(&self) -> Option<u64> {
        let own = self.spec().resources.as_ref().and_then(|resources| amount(resources, List::Limits, MEMORY));
        let sum = || {
            let all = self.containers().all(|container| limit(container, MEMORY).is_some());
            all.then(|| aggregate(self.spec(), List::Limits, MEMORY)).flatten()
        };
        own.filter(|limit| !limit.is_zero()).or_else(sum).and_then(|limit| limit.bytes().ok())
    }

    /// The most local storage that the pod's containers and volumes together may use before it is evicted: the sum of
    /// the containers' limits, when any has one.
    pub fn ephemeral_storage_limit(&self) -> Option<ByteSize> {
        let bytes = aggregate(self.spec(), List::Limits, STORAGE)?.bytes().ok()?;
        let mut limits = self.containers().filter_map(|container| quantity(container, STORAGE));
        Some(ByteSize::in_the_form_of(limits.next()?, bytes))
    }

    /// `spec.securityContext.fsGroup`: the group of the pod's volumes.
    pub fn fs_group(&self) -> Option<u32> {
        let context = self.spec().security_context.as_ref()?;
        context.fs_group.and_then(|group| u32::try_from(group).ok())
    }
}

impl PodContainer<'_> {
    /// `resources.limits.ephemeral-storage`: what its files and logs may use before the pod is evicted. As in the
    /// kubelet, zero is no limit.
    pub fn ephemeral_storage_limit(self) -> Option<ByteSize> {
        let bytes = limit(self, STORAGE)?.bytes().ok()?;
        Some(ByteSize::in_the_form_of(quantity(self, STORAGE)?, bytes))
    }
}

/// `emptyDir.sizeLimit` of a volume, when it has one. As in the kubelet, zero is no limit.
pub fn empty_dir_limit(volume: &Volume) -> Option<ByteSize> {
    let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
    let amount = Amount::try_from(limit).ok().filter(|amount| *amount > Amount::ZERO)?;
    Some(ByteSize::in_the_form_of(limit, amount.bytes().ok()?))
}

/// What a pod's containers together ask for or are limited to; `None` when none of them says so.
pub(crate) fn aggregate(spec: &PodSpec, list: List, resource: &str) -> Option<Amount> {
    let of = |resources: &Option<ResourceRequirements>| amount(resources.as_ref()?, list, resource);
    let add = |sum: Option<Amount>, one: Option<Amount>| match (sum, one) {
        (Some(sum), Some(one)) => Some(sum.saturating_add(one)),
        (sum, one) => sum.or(one),
    };
    let mut sidecars = None;
    let mut during_init = None;
    for container in spec.init_containers.iter().flatten() {
        let own = of(&container.resources);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = add(sidecars, own);
            during_init = during_init.max(sidecars);
        } else {
            during_init = during_init.max(add(sidecars, own));
        }
    }
    let running = spec.containers.iter().map(|container| of(&container.resources)).fold(sidecars, add);
    running.max(during_init)
}

/// A limit that is not zero.
fn limit(container: PodContainer<'_>, resource: &str) -> Option<Amount> {
    let resources = container.spec.resources.as_ref()?;
    amount(resources, List::Limits, resource).filter(|limit| !limit.is_zero())
}

fn quantity<'a>(container: PodContainer<'a>, resource: &str) -> Option<&'a Quantity> {
    container.spec.resources.as_ref()?.limits.as_ref()?.get(resource)
}

/// What a list says about a resource.
pub(crate) fn amount(resources: &ResourceRequirements, list: List, resource: &str) -> Option<Amount> {
    let list: Option<&BTreeMap<String, Quantity>> = match list {
        List::Limits => resources.limits.as_ref(),
        List::Requests => resources.requests.as_ref(),
    };
    Amount::try_from(list?.get(resource)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> CheckedPod {
        let yaml = format!("{{metadata: {{name: web}}, spec: {{{spec}}}}}");
        let pod = serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        CheckedPod::check(pod).unwrap_or_else(|found| panic!("{yaml}: {found:?}")).0
    }

    fn container(name: &str, limits: &str) -> String {
        format!("{{name: {name}, image: \"a:1\", resources: {{limits: {{{limits}}}}}}}")
    }

    #[test]
    fn memory_of_a_pod() {
        let (a, b) = (container("a", "memory: 1Mi"), container("b", "memory: 2Mi"));
        let big = container("i", "memory: 9Mi");
        let none = container("n", "");
        for (spec, expected) in [
            (format!("containers: [{a}, {b}]"), Some(3 << 20)),
            (format!("containers: [{a}, {none}]"), None),
            (format!("initContainers: [{big}], containers: [{a}, {b}]"), Some(9 << 20)),
            (format!("containers: [{a}, {none}], resources: {{limits: {{memory: 4Mi}}}}"), Some(4 << 20)),
        ] {
            assert_eq!(pod(&spec).memory_limit(), expected, "{spec}");
        }
    }

    #[test]
    fn a_sidecar_runs_beside_what_follows_it() {
        let limits = "resources: {limits: {memory: 5Mi}}";
        let spec = format!(
            "initContainers: [{{name: s, image: \"a:1\", restartPolicy: Always, {limits}}}, {}], containers: [{}]",
            container("i", "memory: 7Mi"),
            container("a", "memory: 1Mi")
        );
        assert_eq!(pod(&spec).memory_limit(), Some(12 << 20));
    }

    #[test]
    fn local_storage() {
        let pod = pod(&format!(
            "containers: [{}, {}, {}]",
            container("a", "ephemeral-storage: 1536Mi"),
            container("b", "ephemeral-storage: 512Mi"),
            container("c", "ephemeral-storage: 0")
        ));
        assert_eq!(pod.ephemeral_storage_limit().map(|limit| limit.to_string()).as_deref(), Some("2Gi"));
        let of = |name: &str| pod.container(name).and_then(PodContainer::ephemeral_storage_limit);
        assert_eq!(of("a").map(|limit| (limit.bytes(), limit.to_string())), Some((1536 << 20, "1536Mi".to_owned())));
        assert_eq!(of("c"), None);
    }

    #[test]
    fn a_volumes_limit() {
        let pod = pod("containers: [{name: a, image: \"a:1\"}], volumes: [{name: a, emptyDir: {sizeLimit: 0.5Gi}}, \
                       {name: b, emptyDir: {sizeLimit: 0}}, {name: c, emptyDir: {}}]");
        let limits: Vec<_> =
            pod.spec().volumes.iter().flatten().map(|volume| empty_dir_limit(volume).map(|l| l.to_string())).collect();
        assert_eq!(limits, [Some("512Mi".to_owned()), None, None]);
    }
}
