//! The network of a pod: one loopback, one pod address and one port space for all of its containers.
//!
//! ```text
//!   NodeNetwork ── the switch: pod addresses, NetworkPolicy objects, host ports
//!     └─ PodNetwork ── the port table and names that the pod's containers share
//!          └─ ContainerNetwork ── one incarnation of a container: what it opens ends with it
//!               └─ TcpSocket ─► TcpStream        UdpSocket
//! ```
//!
//! Bytes between containers of this node move in memory (the *virtual* plane). What leaves the node does so by the
//! host's sockets (the *host* plane), as do all sockets of a pod with `hostNetwork: true`. Which of the two, or neither,
//! one function answers for every use of the network: `decide`.
//!
//! What a guest can observe is Linux's. Guests are hostile: every size, count and rate that a guest chooses is bounded
//! by [`NetworkLimits`], and memory by the pod's [`Budget`](crate::budget::Budget).
//!
//! A plain library: it knows neither wasmtime nor Kubernetes objects and must not depend on a crate that does.

mod account;
mod addresses;
mod binding;
mod config;
mod container;
mod decide;
mod error;
mod filters;
mod host_loopback;
mod host_options;
mod host_port;
mod kernel;
mod limits;
mod lookup;
mod names;
mod node;
mod owner;
mod plug;
mod pod;
mod policy;
mod ports;
mod readiness;
mod resolver;
mod sync;
mod tcp;
mod traffic;
mod udp;
mod visitors;
mod wire;

pub use addresses::AddressPart;
pub use config::{
    DialSource, Family, NamedPort, NetworkMode, NodeNetworkConfig, PodIdentity, PodNetworkConfig, Protocol,
};
pub use container::{ContainerNetwork, Service};
pub use error::{AttachError, DenyReason, NetError, NetworkConfigError};
pub use host_port::HostPortConfig;
pub use kernel::{KernelNamespace, KernelNetwork, KernelNetworkError, KernelNetworks, NetworkOwner};
pub use limits::NetworkLimits;
pub use names::{ClusterDns, DnsConfig, DnsOption, DnsPolicy, HostAlias, ManagedFiles, NamesConfig};
pub use node::NodeNetwork;
pub use pod::PodNetwork;
pub use policy::{
    NamespacePeers, NetworkPolicy, PacketFilter, PacketPorts, PacketRule, PolicyPeer, PolicyPort, PolicyPortNumber,
    PolicyRule, Requirement, RequirementOperator, Selector,
};
pub use resolver::ResolveError;
pub use tcp::{TcpOptions, TcpRead, TcpSocket, TcpStream};
pub use traffic::{DirectionStats, InterfaceStats, Meter, NetworkStats};
pub use udp::{Datagram, UdpOptions, UdpSocket};
