//! Why a use of the network failed, in words for people; the WASI hosts turn them into error codes of the same name.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::Protocol;
use crate::budget::OverBudget;

/// Why a use of the network failed. What a guest sees of it is the WASI error code, or errno, of the same name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Not allowed (`EACCES`).
    #[error("access denied: {0}")]
    AccessDenied(DenyReason),
    /// Another socket of the pod has the port (`EADDRINUSE`).
    #[error("the address is in use by another socket of the pod")]
    AddressInUse,
    /// The address is not one of the pod's (`EADDRNOTAVAIL`).
    #[error("the address is not one of the pod's, so nothing can be bound to it")]
    AddressNotBindable,
    /// There is no way to the address (`EHOSTUNREACH`, `ENETUNREACH`).
    #[error("there is no way to the remote address")]
    RemoteUnreachable,
    /// Nothing listens there (`ECONNREFUSED`).
    #[error("the connection was refused: nothing listens at the remote address")]
    ConnectionRefused,
    /// The peer ended the connection without having read everything, or was killed (`ECONNRESET`).
    #[error("the connection was reset by the peer")]
    ConnectionReset,
    /// The connection or listener ended under the call (`ECONNABORTED`).
    #[error("the socket was closed because its container ended")]
    ConnectionAborted,
    /// Written after a shutdown, or after the peer has gone (`EPIPE`).
    #[error("the connection cannot be written to any more")]
    ConnectionBroken,
    /// Nothing answered in time (`ETIMEDOUT`).
    #[error("the peer did not answer in time")]
    Timeout,
    /// An argument that makes no sense, such as an address of the other family (`EINVAL`).
    #[error("an argument is not valid for this socket")]
    InvalidArgument,
    /// Not possible in the socket's state (`EINVAL`, `EISCONN`, `EALREADY`).
    #[error("the socket is not in a state that allows this")]
    InvalidState,
    /// Needs a connection (`ENOTCONN`).
    #[error("the socket is not connected")]
    NotConnected,
    /// Not offered here (`EOPNOTSUPP`).
    #[error("the operation is not supported")]
    NotSupported,
    /// More than a datagram holds (`EMSGSIZE`).
    #[error("the datagram is too large: 65507 bytes are the most")]
    DatagramTooLarge,
    /// One of [`NetworkLimits`](super::NetworkLimits) (`EMFILE`, `ENOBUFS`): which.
    #[error("limit reached: {0}")]
    LimitReached(&'static str),
    /// Every ephemeral port is taken.
    #[error("no ephemeral port is free")]
    OutOfPorts,
    /// Anything else that a host socket answered.
    #[error("the host's network: {0}")]
    Host(io::ErrorKind),
}

impl From<OverBudget> for NetError {
    /// For what a socket needs to exist at all.
    fn from(_: OverBudget) -> Self {
        Self::LimitReached("memory of the container or its pod")
    }
}

/// Why something is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DenyReason {
    /// The host's own loopback, or one of its loopback aliases.
    #[error("a pod cannot reach the host's loopback")]
    HostLoopback,
    /// Link-local addresses: cloud metadata and the like.
    #[error("a pod cannot reach link-local addresses")]
    LinkLocal,
    /// Multicast and broadcast.
    #[error("multicast and broadcast are not available")]
    Broadcast,
    /// A NetworkPolicy that selects the sending pod.
    #[error("no egress rule of a NetworkPolicy allows it")]
    EgressPolicy,
    /// A NetworkPolicy that selects the receiving pod.
    #[error("no ingress rule of a NetworkPolicy allows it")]
    IngressPolicy,
    /// The container has no network.
    #[error("there is no network here")]
    NoNetwork,
    /// The node's configuration.
    #[error("the node's configuration does not allow it")]
    Configuration,
    /// The host's kernel: a packet filter, for one.
    #[error("the host does not allow it")]
    Host,
    /// A host port under 1024 for which the process lacks the privilege.
    #[error("the host does not let this process use a privileged port")]
    PrivilegedHostPort,
}

/// Why a node's network cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkConfigError {
    /// A pod CIDR without room for a gateway and a pod.
    #[error("pod CIDR {cidr} is too small: it must hold the node's gateway address and at least one pod")]
    CidrTooSmall {
        /// The CIDR.
        cidr: ipnet::IpNet,
    },
    /// Two pod CIDRs share addresses, or are of one family.
    #[error("pod CIDRs {first} and {second} cannot be used together: one of each address family is allowed")]
    CidrConflict {
        /// One of the two.
        first: ipnet::IpNet,
        /// The other.
        second: ipnet::IpNet,
    },
    /// A pod CIDR of addresses that mean something else: loopback, multicast, link-local.
    #[error("pod CIDR {cidr} overlaps addresses with a meaning of their own ({what})")]
    CidrReserved {
        /// The CIDR.
        cidr: ipnet::IpNet,
        /// What the addresses are.
        what: &'static str,
    },
}

/// Why a pod cannot be given its network.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A pod with the same uid has its network already.
    #[error("pod {uid} is attached already")]
    AlreadyAttached {
        /// The pod's uid.
        uid: String,
    },
    /// Every address of a pod CIDR belongs to a pod.
    #[error("pod CIDR {cidr} has no free address: stop pods or configure a larger one")]
    OutOfAddresses {
        /// The CIDR.
        cidr: ipnet::IpNet,
    },
    /// Another pod of this node has the host port.
    #[error("host port {port}/{protocol} is taken by pod {holder}")]
    HostPortHeld {
        /// The host port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// `namespace/name` of the pod that holds it.
        holder: String,
    },
    /// The host does not give the port.
    #[error("cannot listen on host port {}/{protocol}: {source}{}", SocketAddr::new(*address, *port), advice(*port, source))]
    HostPort {
        /// The host's address.
        address: IpAddr,
        /// The host port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// What the kernel said.
        source: io::Error,
    },
    /// The call was made outside a tokio runtime.
    #[error("a pod's network needs a tokio runtime with I/O enabled")]
    NoRuntime,
}

/// What can be done about a host port that the kernel does not give.
fn advice(port: u16, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied if port < 1024 => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE, or a lower sysctl \
             net.ipv4.ip_unprivileged_port_start, or take a port from 1024 up"
        }
        io::ErrorKind::AddrInUse => "; a process that is none of this node's pods has it",
        io::ErrorKind::AddrNotAvailable => "; the host does not have this address",
        _ => "",
    }
}

impl From<NetError> for io::Error {
    fn from(error: NetError) -> Self {
        let kind = match &error {
            NetError::AccessDenied(_) => io::ErrorKind::PermissionDenied,
            NetError::AddressInUse => io::ErrorKind::AddrInUse,
            NetError::AddressNotBindable | NetError::OutOfPorts => io::ErrorKind::AddrNotAvailable,
            NetError::RemoteUnreachable => io::ErrorKind::HostUnreachable,
            NetError::ConnectionRefused => io::ErrorKind::ConnectionRefused,
            NetError::ConnectionReset => io::ErrorKind::ConnectionReset,
            NetError::ConnectionAborted => io::ErrorKind::ConnectionAborted,
            NetError::ConnectionBroken => io::ErrorKind::BrokenPipe,
            NetError::Timeout => io::ErrorKind::TimedOut,
            NetError::InvalidArgument | NetError::InvalidState | NetError::DatagramTooLarge => {
                io::ErrorKind::InvalidInput
            }
            NetError::NotConnected => io::ErrorKind::NotConnected,
            NetError::NotSupported => io::ErrorKind::Unsupported,
            NetError::LimitReached(_) => io::ErrorKind::OutOfMemory,
            NetError::Host(kind) => *kind,
        };
        Self::new(kind, error)
    }
}

impl NetError {
    /// What a host socket answered to a bind.
    pub(crate) fn from_host_bind(error: &io::Error) -> Self {
        match Self::from_host(error) {
            Self::AccessDenied(_) => Self::AccessDenied(DenyReason::PrivilegedHostPort),
            other => other,
        }
    }

    /// What a host socket answered.
    pub(crate) fn from_host(error: &io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(error) {
            Some(Errno::ACCESS | Errno::PERM) => Self::AccessDenied(DenyReason::Host),
            Some(Errno::ADDRINUSE) => Self::AddressInUse,
            Some(Errno::ADDRNOTAVAIL) => Self::AddressNotBindable,
            Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN) => Self::RemoteUnreachable,
            Some(Errno::CONNREFUSED) => Self::ConnectionRefused,
            Some(Errno::CONNRESET) => Self::ConnectionReset,
            Some(Errno::CONNABORTED) => Self::ConnectionAborted,
            Some(Errno::PIPE) => Self::ConnectionBroken,
            Some(Errno::TIMEDOUT) => Self::Timeout,
            Some(Errno::INVAL | Errno::DESTADDRREQ | Errno::AFNOSUPPORT) => Self::InvalidArgument,
            Some(Errno::ISCONN | Errno::ALREADY) => Self::InvalidState,
            Some(Errno::NOTCONN) => Self::NotConnected,
            Some(Errno::OPNOTSUPP | Errno::NOPROTOOPT | Errno::PROTONOSUPPORT) => Self::NotSupported,
            Some(Errno::MSGSIZE) => Self::DatagramTooLarge,
            Some(Errno::MFILE | Errno::NFILE) => Self::LimitReached("open files of the node"),
            Some(Errno::NOBUFS | Errno::NOMEM) => Self::LimitReached("memory of the host's network"),
            _ => Self::Host(error.kind()),
        }
    }
}
