//! What a node's and a pod's network are made from: plain data.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::{HostPortConfig, NamesConfig, NetworkLimits, NetworkOwner};

/// An address family. A socket has one for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address. An IPv4-mapped IPv6 address is IPv6.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// An address as a socket of this family shows it: IPv4 is mapped into IPv6.
    pub(crate) fn present(self, address: SocketAddr) -> SocketAddr {
        match (self, address.ip()) {
            (Self::V6, IpAddr::V4(v4)) => SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), address.port()),
            _ => address,
        }
    }

    /// The wildcard address.
    pub(crate) fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// The loopback address.
    pub(crate) fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Self::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        }
    }
}

/// A transport protocol. Ports of the two have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Whose network a pod is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NetworkMode {
    /// Its own, in memory.
    #[default]
    Virtual,
    /// The host's (`hostNetwork: true`).
    Host,
}

/// What a node's network is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeNetworkConfig {
    /// Where pod addresses come from: one CIDR, or one of each family. The first address of each is the node's.
    pub pod_cidrs: Vec<IpNet>,
    /// Bounds on what guests hold.
    pub limits: NetworkLimits,
}

impl Default for NodeNetworkConfig {
    fn default() -> Self {
        Self { pod_cidrs: vec![IpNet::V4(DEFAULT_CIDR)], limits: NetworkLimits::default() }
    }
}

/// 10.87.0.0/16: 10.88.0.0/16 is podman's and of containerd's examples, 10.42 and 10.244 are Kubernetes distributions'.
const DEFAULT_CIDR: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 87, 0, 0), 16);

/// What a pod's network is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PodNetworkConfig {
    /// The pod's uid; one pod of a node has it.
    pub uid: String,
    /// Whose network.
    pub mode: NetworkMode,
    /// Who commands the network namespace, if the pod gets one.
    pub kernel_owner: NetworkOwner,
    /// What NetworkPolicy objects select by.
    pub identity: PodIdentity,
    /// Names that the pod's containers know.
    pub names: NamesConfig,
    /// Ports of the host that lead into the pod.
    pub host_ports: Vec<HostPortConfig>,
}

/// What NetworkPolicy objects know of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PodIdentity {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The named ports of its containers.
    pub named_ports: Vec<NamedPort>,
}

/// A port of a container with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedPort {
    /// The name, unique in the pod per protocol.
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// Who opens a connection into a pod from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialSource {
    /// The node: probes, port-forward. Always allowed, as Kubernetes has it; the pod sees the gateway address.
    Node,
    /// A client outside, at this address, through a host port. Ingress policy applies; the pod sees this address.
    Client(SocketAddr),
}
