//! Drivers that carry out pods on this machine.
//!
//! [`Node`] owns what pods share (images, the host). Each pod has one driver: a task that gives events to the pod's
//! [`Lifecycle`](nacelle_lifecycle::Lifecycle) and carries out the effects it answers with. Decisions are taken there;
//! here is only I/O. Whether there is room for a pod, and which one goes when the node runs short, is decided by the pure
//! modules `admission` and `eviction`. Front ends start pods and read [`Notice`]s.
//!
//! No front end may be named here, and nothing is printed.

mod admission;
mod capacity;
mod clock;
mod config;
mod desk;
mod driver;
mod eviction;
mod facts;
mod guard;
mod handle;
mod lazy;
mod network;
mod node;
mod notice;
mod probe;
mod prune;
pub mod stats;
mod storage;

pub use capacity::{DEFAULT_MAX_PODS, HeldAgainst, NodeResources, ResourceConfig};
pub use clock::Clock;
pub use config::{AddressSpace, Compiler, MonitorCommand, NodeConfig, Pooling};
pub use desk::Room;
pub use eviction::{
    EvictionConfig, NodeConditions, Pressure, Signal as EvictionSignal, Threshold, ThresholdError, ThresholdValue,
};
pub use handle::PodHandle;
pub use nacelle_container::log::LogLine;
pub use nacelle_container::output::Stream;
pub use nacelle_host::Backends;
pub use nacelle_infra::network::{HostPortConfig as HostPort, Protocol};
pub use nacelle_lifecycle::{ConditionStatus, EventKind, GateCondition, PodEvent, ResizeVerdict, Subject};
pub use nacelle_linux::monitor_main;
pub use nacelle_wasm::compile_worker_main;
pub use node::{Node, NodeError, PodStart};
pub use notice::{Notice, PodRef};
pub use prune::{PruneError, PrunedCode, prune_compiled};
