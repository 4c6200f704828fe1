//! What a pod asks of its node, as the scheduler adds it up.
//!
//! Source: `component-helpers/resource` and KEP-2837. Containers that run beside each other add up; an init container
//! counts where it, with the sidecars before it, needs more. What the pod asks for as a whole stands in place of that
//! sum, and the overhead comes on top of either.

use k8s_openapi::api::core::v1::ResourceRequirements;

use crate::quantity::{Amount, ByteSize};
use crate::resources::{List, aggregate, amount};
use crate::{CheckedPod, PodContainer};

const MEMORY: &str = "memory";

/// What is asked of a node, and what a node has to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of local storage.
    pub ephemeral_storage_bytes: u64,
}

impl Requests {
    /// Both together. Ends at 2⁶⁴, as no sum of sensible requests does.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            ephemeral_storage_bytes: self.ephemeral_storage_bytes.saturating_add(other.ephemeral_storage_bytes),
        }
    }

    /// What is left without the other; nothing where there is not as much.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            ephemeral_storage_bytes: self.ephemeral_storage_bytes.saturating_sub(other.ephemeral_storage_bytes),
        }
    }
}

impl CheckedPod {
    /// What the pod asks of its node.
    pub fn requests(&self) -> Requests {
        let spec = self.spec();
        let ask = |resource: &str, whole: bool| {
            let own = spec.resources.as_ref().filter(|_| whole);
            let asked = own
                .and_then(|resources| amount(resources, List::Requests, resource))
                .or_else(|| aggregate(spec, List::Requests, resource))
                .unwrap_or_default();
            let overhead = spec.overhead.as_ref().and_then(|overhead| overhead.get(resource));
            asked.saturating_add(overhead.and_then(|quantity| Amount::try_from(quantity).ok()).unwrap_or_default())
        };
        Requests {
            // Validation lets no amount through that is negative; one that is too large asks for more than there is.
            cpu_millis: ask("cpu", true).millis().unwrap_or(u64::MAX),
            memory_bytes: ask(MEMORY, true).bytes().unwrap_or(u64::MAX),
            ephemeral_storage_bytes: ask("ephemeral-storage", false).bytes().unwrap_or(u64::MAX),
        }
    }

    /// `spec.resources.requests.memory`: what the pod as a whole asks for, where it says so.
    pub fn memory_request(&self) -> Option<ByteSize> {
        memory(self.spec().resources.as_ref()?)
    }
}

impl PodContainer<'_> {
    /// `resources.requests.memory`.
    pub fn memory_request(self) -> Option<ByteSize> {
        memory(self.spec.resources.as_ref()?)
    }
}

fn memory(resources: &ResourceRequirements) -> Option<ByteSize> {
    let bytes = amount(resources, List::Requests, MEMORY)?.bytes().ok()?;
    Some(ByteSize::in_the_form_of(resources.requests.as_ref()?.get(MEMORY)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(spec: &str) -> (u64, u64, u64) {
        let yaml = format!("{{metadata: {{name: web}}, spec: {{{spec}}}}}");
        let pod = serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        let pod = CheckedPod::check(pod).unwrap_or_else(|found| panic!("{yaml}: {found:?}")).0;
        let Requests { cpu_millis, memory_bytes, ephemeral_storage_bytes } = pod.requests();
        (cpu_millis, memory_bytes, ephemeral_storage_bytes)
    }

    #[test]
    fn as_the_scheduler_adds_them_up() {
        let container = |name: &str, more: &str| format!("{{name: {name}, image: \"a:1\", {more}}}");
        let asks = |name: &str, list: &str| container(name, &format!("resources: {{requests: {{{list}}}}}"));
        let sidecar = container("s", "restartPolicy: Always, resources: {requests: {cpu: 10m}}");
        for (spec, expected) in [
            (format!("containers: [{}]", container("a", "")), (0, 0, 0)),
            (
                format!("containers: [{}, {}]", asks("a", "cpu: 100m, memory: 1Ki"), asks("b", "cpu: 0.5")),
                (600, 1024, 0),
            ),
            (
                format!("initContainers: [{}], containers: [{}]", asks("i", "cpu: 2"), asks("a", "cpu: 1, memory: 5")),
                (2000, 5, 0),
            ),
            (
                format!("initContainers: [{sidecar}, {}], containers: [{}]", asks("i", "cpu: 1"), asks("a", "cpu: 1")),
                (1010, 0, 0),
            ),
            // A limit alone is a request.
            (format!("containers: [{}]", container("a", "resources: {limits: {memory: 7}}")), (0, 7, 0)),
            (format!("containers: [{}]", asks("a", "ephemeral-storage: 1k")), (0, 0, 1000)),
            (
                format!("resources: {{requests: {{cpu: 3}}}}, containers: [{}]", asks("a", "cpu: 1, memory: 9")),
                (3000, 9, 0),
            ),
            (
                format!("overhead: {{cpu: 5m, memory: 1}}, containers: [{}]", asks("a", "cpu: 1, memory: 9")),
                (1005, 10, 0),
            ),
        ] {
            assert_eq!(asked(&spec), expected, "{spec}");
        }
    }

    #[test]
    fn sums_end_at_their_largest() {
        let most = Requests { cpu_millis: u64::MAX, ..Requests::default() };
        assert_eq!(most.plus(most), most);
        assert_eq!(Requests::default().minus(most), Requests::default());
    }
}
