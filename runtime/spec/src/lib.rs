//! Kubernetes manifests in, checked pods out.
//!
//! API types are `k8s-openapi`'s: this crate defines no mirror of them. What it adds is what a mirror could not give:
//! where in which file a value came from, which fields this runtime honours, and a [`CheckedPod`] that has passed
//! Kubernetes' defaulting and validation, so that later stages ask it questions instead of unwrapping options.
//!
//! Must not depend on any other crate of the workspace, nor on tokio.

pub mod diagnostic;
mod load;
mod objects;
mod pod;
pub mod support;

pub use diagnostic::{Diagnostic, FieldPath, Location, Severity};
pub use k8s_openapi;
pub use load::{Loaded, LoadedPod, Source, load};
pub use objects::Objects;
pub use pod::{CheckedPod, ContainerKind, PodContainer, RestartPolicy};
