//! TCP sockets.

use std::any::Any;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{TcpOptions, TcpStream};
use crate::network::{Family, NetError};

/// A TCP socket. Never blocks; any number of tasks may wait; a wake may be spurious.
///
/// Dropping it closes a listener. A connection ends when the socket and all its [`TcpStream`] handles are gone.
#[derive(Debug)]
pub struct TcpSocket {}

impl TcpSocket {
    /// The address family.
    pub fn family(&self) -> Family {
        todo!()
    }

    /// Binds to an address of the pod, or the wildcard; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// In use, not the pod's, bound already ([`NetError::InvalidState`]), of the other family.
    pub fn bind(&mut self, _local: SocketAddr) -> Result<(), NetError> {
        todo!()
    }

    /// Lets connections in.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] unless it is bound and nothing else; [`NetError::AddressInUse`] if another socket
    /// listens at the address by now.
    pub fn listen(&mut self) -> Result<(), NetError> {
        todo!()
    }

    /// As [`Self::listen`], and containers find `service` by
    /// [`ContainerNetwork::service_at`](crate::network::ContainerNetwork::service_at).
    ///
    /// # Errors
    ///
    /// As for [`Self::listen`].
    pub fn listen_with(&mut self, _service: Arc<dyn Any + Send + Sync>) -> Result<(), NetError> {
        todo!()
    }

    /// Whether it listens.
    pub fn is_listening(&self) -> bool {
        todo!()
    }

    /// Ready when [`Self::try_accept`] has something to say.
    pub fn poll_acceptable(&self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }

    /// The next connection, with the listener's options; none: would block.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] unless it listens; limits.
    pub fn try_accept(&mut self) -> Result<Option<Self>, NetError> {
        todo!()
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// As for [`Self::try_accept`].
    pub async fn accept(&mut self) -> Result<Self, NetError> {
        todo!()
    }

    /// Begins to connect, and binds implicitly. In memory this is all that is needed.
    ///
    /// # Errors
    ///
    /// What can be said at once: state, family, denied. Such an error leaves the socket as it was, unless the network
    /// itself refused: then it is closed for good.
    pub fn start_connect(&mut self, _remote: SocketAddr) -> Result<(), NetError> {
        todo!()
    }

    /// How the connect went. After an error the socket is closed for good.
    pub fn poll_connect(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        todo!()
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As for [`Self::start_connect`] and [`Self::poll_connect`].
    pub async fn connect(&mut self, _remote: SocketAddr) -> Result<(), NetError> {
        todo!()
    }

    /// A handle to the connection's bytes.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn stream(&self) -> Result<TcpStream, NetError> {
        todo!()
    }

    /// Ends one or both directions of a connection.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn shutdown(&self, _how: Shutdown) -> Result<(), NetError> {
        todo!()
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] if unbound.
    pub fn local_address(&self) -> Result<SocketAddr, NetError> {
        todo!()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn remote_address(&self) -> Result<SocketAddr, NetError> {
        todo!()
    }

    /// How many connections may wait to be accepted, before or after listen.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidArgument`] for 0; [`NetError::InvalidState`] for a socket that is connecting or connected.
    pub fn set_backlog(&mut self, _connections: u32) -> Result<(), NetError> {
        todo!()
    }

    /// Its options.
    pub fn options(&self) -> TcpOptions {
        todo!()
    }

    /// Changes its options; values are validated and clamped as Linux and wasmtime-wasi do.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidArgument`] for zeros; [`NetError::InvalidState`] for `v6_only` after bind.
    pub fn set_options(&mut self, _options: TcpOptions) -> Result<(), NetError> {
        todo!()
    }
}
