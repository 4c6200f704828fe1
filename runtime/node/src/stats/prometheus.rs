//! Metrics as text, in Prometheus' exposition format, under the names that dashboards for Kubernetes know.
//!
//! | function | the kubelet's path | metrics |
//! |---|---|---|
//! | [`cadvisor`] | `/metrics/cadvisor` | `container_*`, `machine_*`; and what only nacelle has, `nacelle_*` |
//! | [`resource`] | `/metrics/resource` | use of CPU and memory by container, pod and node |
//! | [`volumes`] | `/metrics` | `kubelet_volume_stats_*` |
//!
//! Measured values carry the time at which they were measured, as those of cAdvisor do.

mod cadvisor;
mod containers;
mod exposition;
mod kubelet;

pub use cadvisor::cadvisor;
pub use kubelet::{resource, volumes};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
