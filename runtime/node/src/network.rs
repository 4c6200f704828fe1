//! Kubernetes' words about networks, turned into `infra`'s: the network of a pod, and NetworkPolicy objects.
//!
//! Pure: what a pod's manifest, the command line and the host's resolv.conf say comes in, plain data goes out.

mod pod;
mod policy;

pub(crate) use pod::{HostNames, config, hostname, identity};
pub(crate) use policy::policy;
