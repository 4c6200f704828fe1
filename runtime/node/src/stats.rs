//! What pods and this machine have used, for people and programs.
//!
//! ```text
//!   host, /proc ──► Sample ──► Rates (per consumer: usage between two samples)
//!                     │          │
//!                     ├──────────┼──► summary        the kubelet's /stats/summary
//!                     ├──────────┼──► metrics_api    metrics.k8s.io: PodMetrics, NodeMetrics
//!                     └──────────┴──► prometheus     /metrics/cadvisor, /metrics/resource, the kubelet's volume metrics
//! ```
//!
//! `serve` answers HTTP requests for these.
//!
//! Taking a sample is I/O ([`Node::stats`](crate::Node::stats)); everything after it is a pure function of samples.
//!
//! A container's working set is all it uses: there is no page cache in it, so nothing of it could be reclaimed.

mod collect;
mod machine;
pub mod metrics_api;
mod procfs;
pub mod prometheus;
mod rates;
mod sample;
mod serve;
pub mod summary;

#[cfg(test)]
mod testing;

pub use nacelle_container::stats::{CpuStats, FuelStats, MemoryStats, Stats};
pub use nacelle_container::{Cpu, Resources};
pub use nacelle_host::{ContainerStats, PodStats};
pub use nacelle_infra::network::{DirectionStats, InterfaceStats, NetworkStats};
pub use nacelle_infra::stats::{FileSpace, FileUsage, InfraStats, PodMemoryStats, VolumeStats};
pub use nacelle_spec::QosClass;
pub use rates::{CpuRate, Rates};
pub use sample::{HostInterface, MachineMemory, MachineSample, PodInfo, PodSample, ProcessSample, Sample};
pub use serve::serve;

pub(crate) use collect::Registry;

/// What a pod's interface is called in Kubernetes.
const POD_INTERFACE: &str = "eth0";
