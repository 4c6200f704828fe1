//! A pod's ports in a network namespace of the kernel: the second half of its one port table.
//!
//! ```text
//!   wasm container: bind ──► table in memory ──► bind(2) in the namespace      refused by either: address in use
//!                   listen ─────────────────► listen(2); what is accepted there is connected in memory
//!   Linux container: connect(2) ─► that socket ─► the listener in memory       the client's address is kept
//!   wasm container: connect ──► a listener in memory, if there is one; else connect(2) in the namespace
//! ```
//!
//! Bytes between wasm containers stay in memory, and bytes between Linux containers are the kernel's business. Where the two
//! meet, a task copies between a socket and a stream in memory, as it does for host ports; datagrams are handed over one by
//! one. A pod without Linux containers has none of this ([`Presence::Memory`] costs a lock that nobody else takes).
//!
//! | wire | whose | on it |
//! |---|---|---|
//! | [`Scope::Own`] | a pod with Linux containers | all that the pod's wasm containers bind |
//! | [`Scope::Switch`] | all pods without, while there is one with, in one namespace | what they bind to their address or the wildcard |
//!
//! Must not decide what is allowed: connections that come in are [`PodNetwork`]'s to let in.

mod datagrams;
mod forward;
mod streams;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use rustix::net::sockopt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::udp::Mailbox;
use super::{Family, KernelNetwork, NetError, PodNetwork, Protocol};
use datagrams::Datagrams;
use forward::Forwards;
use streams::Streams;

/// A pod's way into a network namespace.
#[derive(Debug)]
pub(crate) struct Wire {
    kernel: Arc<dyn KernelNetwork>,
    scope: Scope,
    pod: Weak<PodNetwork>,
    runtime: Handle,
    /// Connections from the namespace at a time.
    room: Arc<Semaphore>,
    /// Clients of host ports that speak to Linux containers by datagrams.
    forwards: Forwards,
}

/// Whose the namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The pod's: loopback and all addresses are its own.
    Own,
    /// One that pods without Linux containers share; this pod has these addresses in it.
    Switch(Vec<IpAddr>),
}

/// Where a binding is beside the table in memory.
#[derive(Debug, Default)]
pub(crate) enum Presence {
    /// Nowhere.
    #[default]
    Memory,
    /// The ports are taken in the namespace.
    Bound(Vec<OwnedFd>),
    /// Connections come in, until this is dropped.
    Listening {
        /// The sockets and who accepts.
        _streams: Streams,
    },
    /// Datagrams come in and go out.
    Datagrams(Datagrams),
    /// It has ended: nothing joins any more.
    Ended,
}

/// A socket address to bind, and whether an IPv6 one leaves IPv4 to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    address: SocketAddr,
    v6_only: bool,
}

impl Wire {
    pub(super) fn new(
        kernel: Arc<dyn KernelNetwork>,
        scope: Scope,
        pod: Weak<PodNetwork>,
        runtime: Handle,
        connections: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            kernel,
            scope,
            pod,
            runtime,
            room: Arc::new(Semaphore::new(connections)),
            forwards: Forwards::default(),
        })
    }

    /// Whether the pod's Linux containers, if it has any, listen on this wire.
    pub(super) fn is_own(&self) -> bool {
        self.scope == Scope::Own
    }

    /// Takes a TCP port in the namespace.
    pub(super) fn bind_tcp(&self, local: SocketAddr, v6_only: bool) -> Result<Presence, NetError> {
        let bind = |place: Place| self.bind(place, Protocol::Tcp).transpose();
        let sockets: Vec<_> =
            self.scope.places(local, v6_only).into_iter().filter_map(bind).collect::<Result<_, _>>()?;
        Ok(if sockets.is_empty() { Presence::Memory } else { Presence::Bound(sockets) })
    }

    /// Lets connections in, to whoever listens at `port` in memory.
    pub(super) fn listen(self: &Arc<Self>, sockets: Vec<OwnedFd>, port: u16) -> Result<Presence, NetError> {
        Streams::serve(sockets, port, Weak::clone(&self.pod), &self.runtime, &self.room)
            .map(|streams| Presence::Listening { _streams: streams })
    }

    /// Takes a UDP port in the namespace; what comes goes to `mailbox`.
    pub(super) fn bind_udp(
        &self,
        local: SocketAddr,
        v6_only: bool,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Presence, NetError> {
        let bind = |place: Place| self.bind(place, Protocol::Udp).transpose();
        let sockets: Vec<_> =
            self.scope.places(local, v6_only).into_iter().filter_map(bind).collect::<Result<_, _>>()?;
        if sockets.is_empty() {
            return Ok(Presence::Memory);
        }
        Datagrams::serve(sockets, Weak::clone(&self.pod), mailbox, &self.runtime).map(Presence::Datagrams)
    }

    /// A TCP socket to connect to `to` with. From a shared namespace it has the pod's address.
    pub(super) fn socket_to(&self, to: IpAddr) -> Result<OwnedFd, NetError> {
        let family = Family::of(to);
        let socket = self.kernel.socket(family, Protocol::Tcp).map_err(|error| NetError::from_host(&error))?;
        if let Scope::Switch(ips) = &self.scope {
            let own = ips.iter().find(|ip| Family::of(**ip) == family).ok_or(NetError::RemoteUnreachable)?;
            let bound = rustix::net::bind(&socket, &SocketAddr::new(*own, 0));
            bound.map_err(|error| NetError::from_host(&error.into()))?;
        }
        Ok(socket)
    }

    /// `None` where the namespace has not the family.
    fn bind(&self, place: Place, protocol: Protocol) -> Result<Option<OwnedFd>, NetError> {
        let family = Family::of(place.address.ip());
        let bind = || -> io::Result<OwnedFd> {
            let socket = self.kernel.socket(family, protocol)?;
            if family == Family::V6 {
                sockopt::set_ipv6_v6only(&socket, place.v6_only)?;
            }
            if protocol == Protocol::Tcp {
                // A port is free although connections of its last user linger.
                sockopt::set_socket_reuseaddr(&socket, true)?;
            }
            rustix::net::bind(&socket, &place.address)?;
            Ok(socket)
        };
        match bind() {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && family == Family::V6 => Ok(None),
            Err(error) => Err(NetError::from_host_bind(&error)),
        }
    }
}

impl Scope {
    /// Where a binding of the pod is in the namespace.
    fn places(&self, local: SocketAddr, v6_only: bool) -> Vec<Place> {
        let address = local.ip().to_canonical();
        let place = |ip: IpAddr, v6_only| Place { address: SocketAddr::new(ip, local.port()), v6_only };
        let ips = match self {
            Self::Own => return vec![place(address, v6_only)],
            Self::Switch(ips) => ips,
        };
        let covered = |ip: &&IpAddr| match address {
            IpAddr::V6(wildcard) if wildcard.is_unspecified() => ip.is_ipv6() || !v6_only,
            wildcard if wildcard.is_unspecified() => ip.is_ipv4(),
            // What is bound to the loopback is not on it.
            own => **ip == own,
        };
        ips.iter().filter(covered).map(|ip| place(*ip, true)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(scope: &Scope, local: &str, v6_only: bool) -> Vec<String> {
        let places = scope.places(local.parse().unwrap(), v6_only);
        places.iter().map(|place| format!("{} {}", place.address, place.v6_only)).collect()
    }

    #[test]
    fn a_pods_own_namespace_has_what_it_binds() {
        assert_eq!(places(&Scope::Own, "0.0.0.0:80", true), ["0.0.0.0:80 true"]);
        assert_eq!(places(&Scope::Own, "[::]:80", false), ["[::]:80 false"]);
        assert_eq!(places(&Scope::Own, "[::ffff:127.0.0.1]:80", false), ["127.0.0.1:80 false"]);
    }

    #[test]
    fn a_shared_namespace_has_only_the_pods_addresses() {
        let switch = Scope::Switch(vec![[10, 87, 0, 7].into(), "fd00::7".parse().unwrap()]);
        assert_eq!(places(&switch, "0.0.0.0:80", true), ["10.87.0.7:80 true"]);
        assert_eq!(places(&switch, "10.87.0.7:80", true), ["10.87.0.7:80 true"]);
        assert_eq!(places(&switch, "[::]:80", false), ["10.87.0.7:80 true", "[fd00::7]:80 true"]);
        assert_eq!(places(&switch, "[::]:80", true), ["[fd00::7]:80 true"]);
        assert_eq!(places(&switch, "127.0.0.1:80", true), [""; 0]);
        assert_eq!(places(&switch, "[::1]:80", true), [""; 0]);
    }
}
