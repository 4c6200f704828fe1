//! The network as one incarnation of a container sees it.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::binding::{self, unbound_source};
use super::decide::{Plane, Use, decide};
use super::lookup::Lookup;
use super::owner::{Owner, SocketSlot};
use super::{DenyReason, Family, Meter, NetError, PodNetwork, Protocol, ResolveError, TcpSocket, TcpStream, UdpSocket};

/// What one incarnation of a container opens; it ends with it.
#[derive(Debug)]
pub struct ContainerNetwork {
    attached: Option<Attached>,
}

#[derive(Debug)]
struct Attached {
    pod: Arc<PodNetwork>,
    name: String,
    owner: Arc<Owner>,
}

/// What a listener registered with [`TcpSocket::listen_with`]: a way to it without a stream of bytes.
#[derive(Clone)]
pub struct Service {
    /// What was registered.
    pub handle: Arc<dyn Any + Send + Sync>,
    /// The source address that the service would see of a connection.
    pub local: SocketAddr,
    /// The address it was found at.
    pub remote: SocketAddr,
    /// Where what goes to it and comes back is to be counted; `None` inside a pod.
    pub meter: Option<Meter>,
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Service")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl ContainerNetwork {
    pub(super) fn new(pod: Arc<PodNetwork>, name: &str, owner: Arc<Owner>) -> Arc<Self> {
        Arc::new(Self { attached: Some(Attached { pod, name: name.to_owned(), owner }) })
    }

    /// A network that reaches nothing, for tools and tests.
    pub fn none() -> Arc<Self> {
        Arc::new(Self { attached: None })
    }

    /// A TCP socket, unbound.
    ///
    /// # Errors
    ///
    /// [`NetError::LimitReached`]; [`NetError::ConnectionAborted`] once the network is closed.
    pub fn tcp_socket(self: &Arc<Self>, family: Family) -> Result<TcpSocket, NetError> {
        Ok(TcpSocket::new(Arc::clone(self.pod()?), family, self.slot()?))
    }

    /// A UDP socket, unbound.
    ///
    /// # Errors
    ///
    /// As for [`Self::tcp_socket`].
    pub fn udp_socket(self: &Arc<Self>, family: Family) -> Result<UdpSocket, NetError> {
        UdpSocket::new(Arc::clone(self.pod()?), family, self.slot()?)
    }

    /// Names as getaddrinfo would: literals, /etc/hosts, then DNS with search domains and ndots.
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let Some(Attached { pod, owner, .. }) = &self.attached else {
            return Err(ResolveError::Denied(DenyReason::NoNetwork));
        };
        pod.resolver().resolve(name, Lookup::new(pod, owner)).await
    }

    /// A connected stream, policy included.
    ///
    /// # Errors
    ///
    /// As for [`TcpSocket::connect`].
    pub async fn connect(self: &Arc<Self>, to: SocketAddr) -> Result<TcpStream, NetError> {
        let mut socket = self.tcp_socket(Family::of(to.ip()))?;
        socket.connect(to).await?;
        socket.stream()
    }

    /// What a listener at `to` registered with [`TcpSocket::listen_with`], if `to` is in the pod network and policy lets
    /// this container use it. None where there is no such listener, or one without a service.
    ///
    /// # Errors
    ///
    /// [`NetError::AccessDenied`].
    pub fn service_at(&self, to: SocketAddr) -> Result<Option<Service>, NetError> {
        let pod = self.pod()?;
        let remote = pod.destination(to);
        let (listener, source, meter) = match decide(pod, Use::Open(Protocol::Tcp, to))? {
            Plane::Host => return Ok(None),
            Plane::Own => (binding::listener(pod.ports(), remote), own_source(remote.ip()), None),
            Plane::Pod(peer) => {
                let source = pod.address(Family::of(remote.ip())).ok_or(NetError::RemoteUnreachable)?;
                (binding::listener(peer.ports(), remote), source, Some(Meter::between(pod, &peer)))
            }
        };
        Ok(listener.and_then(|listener| {
            let handle = Arc::clone(listener.service()?);
            Some(Service { handle, local: unbound_source(source), remote, meter })
        }))
    }

    /// The pod's host name.
    pub fn hostname(&self) -> &str {
        self.attached.as_ref().map_or("localhost", |attached| attached.pod.hostname())
    }

    /// The container's name; empty without a network.
    pub fn name(&self) -> &str {
        self.attached.as_ref().map_or("", |attached| &attached.name)
    }

    /// Ends all its sockets: peers see a reset, blocked calls return, ports are free at once. Idempotent.
    pub fn close(&self) {
        if let Some(attached) = &self.attached {
            attached.owner.close();
        }
    }

    fn pod(&self) -> Result<&Arc<PodNetwork>, NetError> {
        self.attached.as_ref().map(|attached| &attached.pod).ok_or(NetError::AccessDenied(DenyReason::NoNetwork))
    }

    fn slot(&self) -> Result<SocketSlot, NetError> {
        match &self.attached {
            Some(attached) => attached.owner.slot(),
            None => Err(NetError::AccessDenied(DenyReason::NoNetwork)),
        }
    }
}

/// Where a connection inside a pod comes from: the loopback's first address for all of it, else the address itself.
pub(super) fn own_source(to: IpAddr) -> IpAddr {
    if to.is_loopback() { Family::of(to).loopback() } else { to }
}
