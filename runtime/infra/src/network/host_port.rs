//! Ports of the host that lead into a pod.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Protocol;

/// A port of the host that leads to a port of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPortConfig {
    /// The host's address; none: all of them.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
    /// The port on the host.
    pub host_port: u16,
    /// The port in the pod.
    pub container_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}
