//! The kubelet's Summary API: what `/stats/summary` answers.
//!
//! The values have the fields of `k8s.io/kubelet/pkg/apis/stats/v1alpha1` that have a meaning here. Pressure stall
//! information and swap are absent, as on a kubelet without them; so are page faults, which WebAssembly has none of.

mod build;
mod types;

pub use build::{pod, summary};
pub use types::{
    ContainerStats, CpuStats, FsStats, InterfaceStats, MemoryStats, NetworkStats, NodeStats, PodReference, PodStats,
    ProcessStats, RlimitStats, RuntimeStats, Summary, Time, VolumeStats,
};

#[cfg(test)]
mod tests;
