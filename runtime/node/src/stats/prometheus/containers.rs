//! Rows that metrics are about: containers, and pods as cAdvisor's container without a name.

use jiff::Timestamp;
use nacelle_spec::QosClass;

use crate::stats::sample::{PodSample, Sample};
use crate::stats::{ContainerStats, Cpu, CpuStats};

/// A container that runs, or all of a pod.
pub(super) struct Row<'a> {
    pub(super) pod: &'a PodSample,
    /// `None` for the pod as a whole.
    pub(super) container: Option<&'a ContainerStats>,
    /// cAdvisor's path of the cgroup: there are none here, but queries tell containers apart by it.
    id: String,
    /// The container's ID without its scheme.
    name: &'a str,
}

impl<'a> Row<'a> {
    /// All of them: each pod, and behind it its containers.
    pub(super) fn all(sample: &'a Sample) -> Vec<Self> {
        let of_pod = |pod: &'a PodSample| {
            let class = match pod.info.qos {
                QosClass::Guaranteed => "",
                QosClass::Burstable => "/burstable",
                QosClass::BestEffort => "/besteffort",
            };
            let cgroup = format!("/kubepods{class}/pod{}", pod.info.uid);
            let containers: Vec<_> = pod
                .running()
                .map(|container| {
                    let name = container.container_id.split_once("://").map_or("", |(_, name)| name);
                    Self { pod, container: Some(container), id: format!("{cgroup}/{name}"), name }
                })
                .collect();
            std::iter::once(Self { pod, container: None, id: cgroup, name: "" }).chain(containers)
        };
        sample.pods.iter().flat_map(of_pod).collect()
    }

    pub(super) fn labels(&self) -> [(&'static str, &str); 6] {
        let info = &self.pod.info;
        let container = self.container.map_or("", |container| container.name.as_str());
        [
            ("container", container),
            ("id", &self.id),
            ("image", info.images.get(container).map_or("", String::as_str)),
            ("name", self.name),
            ("namespace", &info.namespace),
            ("pod", &info.name),
        ]
    }

    pub(super) fn time(&self) -> Timestamp {
        self.pod.time
    }

    pub(super) fn started_at(&self) -> Timestamp {
        self.container.map_or(self.pod.stats.created_at, |container| container.started_at)
    }

    pub(super) fn cpu(&self) -> &CpuStats {
        self.container.map_or(&self.pod.stats.cpu, |container| &container.stats.cpu)
    }

    pub(super) fn cpu_limits(&self) -> Cpu {
        self.container.map_or(self.pod.stats.cpu_limits, |container| container.resources.cpu)
    }

    /// In bytes.
    pub(super) fn memory_usage(&self) -> u64 {
        self.container.map_or(self.pod.stats.infra.memory.usage, |container| container.stats.memory.usage)
    }

    /// In bytes.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        self.container.map_or(self.pod.stats.infra.memory.limit, |container| container.resources.memory)
    }

    /// Memory that is no file, in bytes.
    pub(super) fn rss(&self) -> u64 {
        self.container.map_or_else(
            || self.pod.rss(),
            |container| container.stats.memory.usage.saturating_sub(container.stats.memory.files),
        )
    }

    pub(super) fn processes(&self) -> u64 {
        let of = |container: &ContainerStats| u64::from(container.stats.processes);
        self.container.map_or_else(|| self.pod.running().map(of).sum(), of)
    }
}
