//! Drivers that carry out pods on this machine.
//!
//! [`Node`] owns what pods share (images, the host). Each pod has one driver: a task that gives events to the pod's
//! [`Lifecycle`](nacelle_lifecycle::Lifecycle) and carries out the effects it answers with. Decisions are taken there;
//! here is only I/O. Front ends start pods and read [`Notice`]s.
//!
//! No front end may be named here, and nothing is printed.

mod clock;
mod config;
mod driver;
mod facts;
mod handle;
mod network;
mod node;
mod notice;
mod probe;
mod prune;
mod storage;

pub use clock::Clock;
pub use config::{AddressSpace, Compiler, NodeConfig};
pub use handle::PodHandle;
pub use nacelle_container::log::LogLine;
pub use nacelle_container::output::Stream;
pub use nacelle_host::Backends;
pub use nacelle_infra::network::{HostPortConfig as HostPort, Protocol};
pub use nacelle_lifecycle::{ConditionStatus, EventKind, GateCondition, PodEvent, Subject};
pub use nacelle_wasm::compile_worker_main;
pub use node::{Node, NodeError, PodStart};
pub use notice::{Notice, PodRef};
pub use prune::{PruneError, PrunedCode, prune_compiled};
