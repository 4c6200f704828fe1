//! What a manifest gives a pod and its containers, in the host's numbers.

use nacelle_container::{Cpu, Resources};
use nacelle_host::PodResources;
use nacelle_spec::{ByteSize, CheckedPod, CpuShare, PodContainer};

/// What one container may use.
pub(super) fn of_container(container: PodContainer<'_>) -> Resources {
    Resources {
        cpu: cpu(container.cpu()),
        memory: container.memory_limit(),
        memory_request: container.memory_request().map_or(0, ByteSize::bytes),
        fuel: container.fuel(),
    }
}

/// What all containers of a pod may use together.
pub(super) fn of_pod(pod: &CheckedPod) -> PodResources {
    PodResources { cpu: cpu(pod.cpu()), memory: pod.memory_limit() }
}

fn cpu(share: CpuShare) -> Cpu {
    Cpu { limit_millis: share.limit_millis, request_millis: share.request_millis }
}
