//! The network as one incarnation of a container sees it.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Family, NetError, ResolveError, TcpSocket, TcpStream, UdpSocket};

/// What one incarnation of a container opens; it ends with it.
#[derive(Debug)]
pub struct ContainerNetwork {}

/// What a listener registered with [`TcpSocket::listen_with`]: a way to it without a stream of bytes.
#[derive(Clone)]
pub struct Service {
    /// What was registered.
    pub handle: Arc<dyn Any + Send + Sync>,
    /// The source address that the service would see of a connection.
    pub local: SocketAddr,
    /// The address it was found at.
    pub remote: SocketAddr,
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
    /// A network that reaches nothing, for tools and tests.
    pub fn none() -> Arc<Self> {
        todo!()
    }

    /// A TCP socket, unbound.
    ///
    /// # Errors
    ///
    /// [`NetError::LimitReached`]; [`NetError::ConnectionAborted`] once the network is closed.
    pub fn tcp_socket(self: &Arc<Self>, _family: Family) -> Result<TcpSocket, NetError> {
        todo!()
    }

    /// A UDP socket, unbound.
    ///
    /// # Errors
    ///
    /// As for [`Self::tcp_socket`].
    pub fn udp_socket(self: &Arc<Self>, _family: Family) -> Result<UdpSocket, NetError> {
        todo!()
    }

    /// Names as getaddrinfo would: literals, /etc/hosts, then DNS with search domains and ndots.
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    pub async fn resolve(&self, _name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        todo!()
    }

    /// A connected stream, policy included.
    ///
    /// # Errors
    ///
    /// As for [`TcpSocket::connect`].
    pub async fn connect(self: &Arc<Self>, _to: SocketAddr) -> Result<TcpStream, NetError> {
        todo!()
    }

    /// What a listener at `to` registered with [`TcpSocket::listen_with`], if `to` is in the pod network and policy lets
    /// this container use it. None where there is no such listener, or one without a service.
    ///
    /// # Errors
    ///
    /// [`NetError::AccessDenied`].
    pub fn service_at(&self, _to: SocketAddr) -> Result<Option<Service>, NetError> {
        todo!()
    }

    /// The pod's host name.
    pub fn hostname(&self) -> &str {
        todo!()
    }

    /// Ends all its sockets: peers see a reset, blocked calls return, ports are free at once. Idempotent.
    pub fn close(&self) {
        todo!()
    }
}
