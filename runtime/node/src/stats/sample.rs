//! One look at everything: plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use nacelle_host::{ContainerStats, PodStats};
use nacelle_infra::network::InterfaceStats;
use nacelle_infra::stats::FileSpace;
use nacelle_spec::{CheckedPod, QosClass};

/// What was known at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The node's name.
    pub node_name: String,
    /// When it was taken, on the node's own clock, which never goes back.
    pub time: Timestamp,
    /// The machine.
    pub machine: MachineSample,
    /// The pods that have something to show, by namespace and name.
    pub pods: Vec<PodSample>,
    /// CPU time of all pods that ever ran here, in nanoseconds.
    pub pods_cpu_nanos: u64,
}

/// A pod at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSample {
    /// Which pod.
    pub info: Arc<PodInfo>,
    /// When it was taken, on the node's own clock.
    pub time: Timestamp,
    /// What it has used.
    pub stats: PodStats,
}

/// What is known of a pod besides its use of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInfo {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `status.qosClass`.
    pub qos: QosClass,
    /// Images by container, as the manifest names them.
    pub images: BTreeMap<String, String>,
}

/// The machine at one time. What it does not tell is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineSample {
    /// CPUs.
    pub cores: u64,
    /// When it was booted.
    pub booted_at: Option<Timestamp>,
    /// CPU time that was not idle, over all CPUs, in nanoseconds since it was booted.
    pub cpu_nanos: Option<u64>,
    /// Memory.
    pub memory: Option<MachineMemory>,
    /// Network interfaces but for the loopback, in the kernel's order.
    pub interfaces: Vec<HostInterface>,
    /// Processes and threads that there are, and how many there may be.
    pub processes: Option<(u64, u64)>,
    /// The filesystem of the state directory.
    pub state_space: Option<FileSpace>,
    /// The filesystem of the images.
    pub image_space: Option<FileSpace>,
    /// This process.
    pub process: Option<ProcessSample>,
}

/// A machine's memory, in bytes, as the kernel counts for the root of all cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineMemory {
    /// All of it.
    pub total: u64,
    /// What is not free.
    pub usage: u64,
    /// What is not free and cannot be reclaimed easily: without inactive pages of files.
    pub working_set: u64,
    /// Anonymous pages.
    pub rss: u64,
    /// Page faults since it was booted, and those among them that waited for a disk.
    pub faults: (u64, u64),
}

/// A network interface of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInterface {
    /// Its name.
    pub name: String,
    /// What crossed it.
    pub stats: InterfaceStats,
}

/// This process: what runs the pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// CPU time in nanoseconds, that of guests included.
    pub cpu_nanos: u64,
    /// Resident memory in bytes, that of guests included.
    pub rss: u64,
}

impl PodInfo {
    /// Of a pod that the node has given its identity.
    pub(crate) fn of(pod: &CheckedPod) -> Self {
        let image = |spec: &k8s_openapi::api::core::v1::Container| spec.image.clone().unwrap_or_default();
        Self {
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            qos: pod.qos_class(),
            images: pod
                .containers()
                .chain(pod.ephemeral_containers())
                .map(|c| (c.spec.name.clone(), image(c.spec)))
                .collect(),
        }
    }
}

impl PodSample {
    /// The containers that run: others are in no list of Kubernetes'.
    pub fn running(&self) -> impl Iterator<Item = &ContainerStats> {
        self.stats.containers.iter().filter(|container| container.running)
    }

    /// Memory of the pod that is not files, in bytes.
    pub fn rss(&self) -> u64 {
        let in_memory = self.stats.infra.volumes.iter().filter(|volume| volume.in_memory);
        let files: u64 = in_memory.map(|volume| volume.used.bytes).sum();
        self.stats.infra.memory.usage.saturating_sub(files)
    }
}
