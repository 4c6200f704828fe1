//! Ports of the host that lead into a pod: hostPort and `--publish`.
//!
//! ```text
//!   HostPorts (one per node) ── which pod has which port: `claims`
//!     └─ OpenPorts (one per pod) ── the host's sockets
//!          ├─ TCP: accept ─► Target::hand_over ─► the guest's own  `tcp`
//!          │        └─ not possible ─► Target::dial ─► bytes both ways
//!          └─ UDP: receive ─► Target::deliver … reply ─► client    `udp`
//! ```
//!
//! Opening comes before the pod's network is there, as it may fail; serving comes after. When [`OpenPorts`] is dropped
//! the host's sockets are closed before drop returns: the next pod can have the ports at once.
//!
//! Clients are outside, and hostile as guests are: connections, flows of datagrams and their rate are bounded. What may
//! come in is not decided here but by the [`Target`], the pod's network.

mod claims;
mod listen;
mod tcp;
mod udp;

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{AttachError, NetError, Protocol};

use claims::Claim;
pub(crate) use claims::HostPorts;
pub(super) use tcp::{Place, Room, serve as serve_tcp};
pub(crate) use udp::Reply;

/// A port of the host that leads to a port of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPortConfig {
    /// The host's address; none: all of them, IPv4 and IPv6.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
    /// The port on the host; 0: one that is free.
    pub host_port: u16,
    /// The port in the pod.
    pub container_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Where a host port leads: a pod's network.
pub(crate) trait Target: Send + Sync + 'static {
    /// Whether connections go on when no more are accepted.
    const CONNECTIONS_GO_ON: bool;

    /// A connection inside the pod.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Gives the socket of `client` itself to whoever listens at `port` of the pod. Where that is not possible, for whatever
    /// reason, it comes back: what [`Self::dial`] says then is what the client is told.
    fn hand_over(
        &self,
        _port: u16,
        _client: SocketAddr,
        socket: TcpStream,
        place: Place,
    ) -> Result<(), (TcpStream, Place)> {
        Err((socket, place))
    }

    /// A connection of `client` to `port` of the pod.
    fn dial(&self, port: u16, client: SocketAddr) -> impl Future<Output = Result<Self::Stream, NetError>> + Send;

    /// A datagram of `client` for `port` of the pod. What nobody waits for is lost, as datagrams are.
    fn deliver(&self, port: u16, client: SocketAddr, bytes: Bytes);
}

/// The host ports of one pod. Closed when dropped, with all their connections.
pub(crate) struct OpenPorts {
    ports: Vec<OpenPort>,
    tasks: JoinSet<()>,
    connections: Arc<Semaphore>,
    // Last: a port is given back after its socket is closed.
    _claims: Vec<Claim>,
}

struct OpenPort {
    container_port: u16,
    address: SocketAddr,
    socket: Socket,
}

enum Socket {
    Tcp(Arc<Closable<tokio::net::TcpListener>>),
    Udp(Arc<udp::UdpPort>),
}

impl OpenPorts {
    /// Opens ports for `holder`, the pod as people know it: `namespace/name`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AttachError::HostPortHeld`], [`AttachError::HostPort`]. No port is open then.
    pub(crate) fn open(host: &Arc<HostPorts>, holder: &str, configs: &[HostPortConfig]) -> Result<Self, AttachError> {
        let connections = Arc::clone(&host.connections);
        let mut open = Self { ports: Vec::new(), tasks: JoinSet::new(), connections, _claims: Vec::new() };
        for config in configs {
            open._claims.push(host.claim(config, holder)?);
            let (socket, address) = listen::open(config)?;
            open.ports.push(OpenPort { container_port: config.container_port, address, socket });
        }
        Ok(open)
    }

    /// Lets clients in, until `target` is gone.
    pub(crate) fn serve<T: Target>(&mut self, target: &Weak<T>, runtime: &Handle) {
        for port in &self.ports {
            let target = Weak::clone(target);
            let port_inside = port.container_port;
            match &port.socket {
                Socket::Tcp(listener) => {
                    let room = Room::of(&self.connections);
                    self.tasks.spawn_on(tcp::serve(Arc::clone(listener), target, port_inside, room), runtime)
                }
                Socket::Udp(socket) => {
                    self.tasks.spawn_on(udp::serve(Arc::clone(socket), target, port_inside), runtime)
                }
            };
        }
    }

    /// Sends what the pod's UDP socket at `container_port` has for `client` back the way that client came.
    pub(crate) fn reply(&self, container_port: u16, client: SocketAddr, bytes: &[u8]) -> Reply {
        let ports = self.ports.iter().filter(|port| port.container_port == container_port);
        for port in ports {
            if let Socket::Udp(socket) = &port.socket {
                match socket.reply(client, bytes) {
                    Reply::NotAClient => {}
                    done => return done,
                }
            }
        }
        Reply::NotAClient
    }

    /// The addresses on the host, in the order of the configuration.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.ports.iter().map(|port| port.address)
    }
}

impl Drop for OpenPorts {
    fn drop(&mut self) {
        // The tasks are told to end, but do so later: the sockets are closed here.
        for port in &self.ports {
            match &port.socket {
                Socket::Tcp(listener) => listener.close(),
                Socket::Udp(socket) => socket.close(),
            }
        }
    }
}

impl fmt::Debug for OpenPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.addresses()).finish()
    }
}

/// A socket that can be closed while a task waits for it.
#[derive(Debug)]
pub(super) struct Closable<S>(Mutex<Option<S>>);

impl<S> Closable<S> {
    pub(super) fn new(socket: S) -> Self {
        Self(Mutex::new(Some(socket)))
    }

    /// None once it is closed.
    pub(super) fn with<R>(&self, use_it: impl FnOnce(&S) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(use_it)
    }

    pub(super) fn close(&self) {
        // Dropped after unlocking: deregistering wakes the task that waits.
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(socket);
    }
}

#[cfg(test)]
mod tests;
