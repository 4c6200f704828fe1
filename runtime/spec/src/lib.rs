//! Kubernetes manifests in, checked pods out.
//!
//! API types are `k8s-openapi`'s: this crate defines no mirror of them. What it adds is what a mirror could not give:
//! where in which file a value came from, which fields this runtime honours, and a [`CheckedPod`] that has passed
//! Kubernetes' defaulting and validation, so that later stages ask it questions instead of unwrapping options.
//!
//! Must not depend on any other crate of the workspace, nor on tokio.

mod annotations;
pub mod command;
mod defaults;
pub mod diagnostic;
pub mod env;
mod ephemeral;
pub mod fields;
mod load;
pub mod lookup;
pub mod network;
mod objects;
mod pod;
pub mod priority;
pub mod probes;
pub mod qos;
pub mod quantity;
mod requests;
mod resize;
mod resources;
pub mod support;
pub mod validate;
pub mod volume;

pub use defaults::pull_policy;
pub use diagnostic::{Diagnostic, FieldPath, Location, Severity};
pub use fields::DownwardFacts;
pub use k8s_openapi;
pub use load::{Loaded, LoadedPod, Source, load, load_update};
pub use lookup::ObjectLookup;
pub use objects::Objects;
pub use pod::{CheckedPod, ContainerKind, PodContainer, RestartPolicy};
pub use priority::{PreemptionPolicy, Priority, PriorityError};
pub use probes::{HookKind, ProbeKind, ProbeTimes, RestartAction};
pub use qos::QosClass;
pub use quantity::{Amount, ByteSize};
pub use requests::Requests;
pub use resize::ResizeAction;
pub use resources::{CpuShare, empty_dir_limit};
