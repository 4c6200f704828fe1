//! What a pod and its containers ask for and may use.
//!
//! The sums over containers are Kubernetes' (`component-helpers/resource`): containers that run beside each other add
//! up, an init container counts where it alone, with the sidecars before it, needs more.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::{Amount, ByteSize};
use crate::{CheckedPod, PodContainer};

/// Units of fuel that a container may execute in each of its incarnations: a resource of this runtime's own.
pub(crate) const FUEL: &str = "nacelle.dev/fuel";

const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const STORAGE: &str = "ephemeral-storage";

/// CPU time that a pod or container asks for and may use, in thousandths of a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuShare {
    /// `requests.cpu`: its weight where there is less than all want. 0 asks for nothing.
    pub request_millis: u64,
    /// `limits.cpu`; `None` means unlimited.
    pub limit_millis: Option<u64>,
}

/// Which of the two lists of `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Limits,
    Requests,
}

impl CheckedPod {
    /// The most memory that all containers together may use, in bytes: the pod's own limit, else the sum of its
    /// containers' when each has one, as in the kubelet.
    pub fn memory_limit(&self) -> Option<u64> {
        self.limit(MEMORY)?.bytes().ok()
    }

    /// The CPU time of all containers together: the pod's own request and limit (KEP-2837), else the sum of its
    /// containers' requests, and of their limits when each has one, as the kubelet sets up a pod's cgroup.
    pub fn cpu(&self) -> CpuShare {
        let own = self.spec().resources.as_ref().and_then(|resources| amount(resources, List::Requests, CPU));
        let request = own.or_else(|| aggregate(self.spec(), List::Requests, CPU)).unwrap_or_default();
        CpuShare {
            request_millis: request.millis().unwrap_or(0),
            limit_millis: self.limit(CPU).and_then(|limit| limit.millis().ok()),
        }
    }

    /// The pod's own limit, else the sum of its containers' when each has one.
    fn limit(&self, resource: &str) -> Option<Amount> {
        let own = self.spec().resources.as_ref().and_then(|resources| amount(resources, List::Limits, resource));
        let sum = || {
            let all = self.containers().all(|container| limit(container, resource).is_some());
            all.then(|| aggregate(self.spec(), List::Limits, resource)).flatten()
        };
        own.filter(|limit| !limit.is_zero()).or_else(sum)
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
    /// `requests.cpu` and `limits.cpu`. As in container runtimes, a limit of zero is none.
    pub fn cpu(self) -> CpuShare {
        let resources = self.spec.resources.as_ref();
        let request = resources.and_then(|resources| amount(resources, List::Requests, CPU)).unwrap_or_default();
        CpuShare {
            request_millis: request.millis().unwrap_or(0),
            limit_millis: limit(self, CPU).and_then(|limit| limit.millis().ok()),
        }
    }

    /// `limits.memory` in bytes. As in container runtimes, a limit of zero is none.
    pub fn memory_limit(self) -> Option<u64> {
        limit(self, MEMORY)?.bytes().ok()
    }

    /// `limits[nacelle.dev/fuel]`: units of fuel that each incarnation of the container may execute.
    pub fn fuel(self) -> Option<u64> {
        limit(self, FUEL)?.bytes().ok()
    }

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
    Amount::try_from(quantities(resources, list)?.get(resource)?).ok()
}

/// One of the two lists.
pub(crate) fn quantities(resources: &ResourceRequirements, list: List) -> Option<&BTreeMap<String, Quantity>> {
    match list {
        List::Limits => resources.limits.as_ref(),
        List::Requests => resources.requests.as_ref(),
    }
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
    fn cpu_of_a_pod() {
        let of = |spec: &str| {
            let CpuShare { request_millis, limit_millis } = pod(spec).cpu();
            (request_millis, limit_millis)
        };
        let (a, b) = (container("a", "cpu: 1"), container("b", "cpu: 500m"));
        let asks = "{name: c, image: \"a:1\", resources: {requests: {cpu: 250m}}}";
        let none = container("n", "");
        assert_eq!(of(&format!("containers: [{a}, {b}]")), (1500, Some(1500)));
        // A container without a limit leaves the pod without one.
        assert_eq!(of(&format!("containers: [{a}, {asks}]")), (1250, None));
        assert_eq!(of(&format!("containers: [{none}]")), (0, None));
        assert_eq!(of(&format!("containers: [{asks}], resources: {{limits: {{cpu: 2}}}}")), (250, Some(2000)));
        assert_eq!(of(&format!("containers: [{none}], resources: {{limits: {{cpu: 2}}}}")), (2000, Some(2000)));
        assert_eq!(of(&format!("containers: [{asks}], resources: {{requests: {{cpu: 300m}}}}")), (300, None));
    }

    #[test]
    fn cpu_memory_and_fuel_of_a_container() {
        let pod = pod(&format!(
            "containers: [{}, {}, {}]",
            container("a", "cpu: 250m, memory: 64Mi, nacelle.dev/fuel: 5M"),
            "{name: b, image: \"a:1\", resources: {limits: {cpu: 1}, requests: {cpu: 0.0015}}}",
            container("c", "cpu: 0, memory: 0")
        ));
        let of = |name: &str| {
            let container = pod.container(name).unwrap();
            let CpuShare { request_millis, limit_millis } = container.cpu();
            (request_millis, limit_millis, container.memory_limit(), container.fuel())
        };
        assert_eq!(of("a"), (250, Some(250), Some(64 << 20), Some(5_000_000)));
        assert_eq!(of("b"), (2, Some(1000), None, None));
        assert_eq!(of("c"), (0, None, None, None));
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
