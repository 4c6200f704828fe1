//! Kubernetes' validation rules, with the words of its API server.
//!
//! One module per part of the objects; each walks its part and reports all that is wrong into one `Report`. Rules see
//! objects with defaults filled in. Which fields this runtime honours at all is not decided here but by the table of
//! supported fields.
//!
//! Sources: `k8s.io/kubernetes/pkg/apis/{core,networking,scheduling}/validation` and the API reference. Every check is linear in the size of
//! the object, and the number and length of messages are bounded.

mod container;
mod downward;
mod env;
mod ephemeral;
mod files;
mod metadata;
mod mounts;
mod names;
mod network_policy;
mod objects;
mod pod;
mod ports;
mod priority_class;
mod probes;
mod report;
mod resize;
mod resources;
mod restart;
mod security;
mod selector;
mod signals;
mod volumes;

pub use network_policy::network_policy;
pub use objects::{config_map, secret};
pub use priority_class::priority_class;

pub(crate) use ephemeral::ephemeral;
pub(crate) use names::{is_env_name, relative_path_problem};
pub(crate) use pod::pod;
pub(crate) use resize::resize;

#[cfg(test)]
mod tests;
