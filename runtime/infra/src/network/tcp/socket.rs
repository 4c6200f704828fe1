//! The TCP socket: a state machine that a guest drives.
//!
//! ```text
//!              bind                 listen
//!   Unbound ─────────► Bound ─────────────────► Listening ──► (accepted sockets begin as Connected)
//!      │                 │                          │
//!      │ start_connect   │ start_connect            │ end of the container: its accepts fail
//!      ├─────────────────┤
//!      ▼                 ▼
//!      │   backlog full, or the host's network
//!      ├──────────────► Connecting ──► Connected
//!      │   in memory       │               ▲
//!      ├───────────────────┼───────────────┘
//!      ▼   refused         ▼
//!    Closed ◄──────────────┘               a socket never leaves Connected, Listening and Closed
//! ```

mod transition;

use std::any::Any;
use std::future::poll_fn;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::connect::Waiting;
use super::host::{HostConnect, HostListener, HostSocket};
use super::listener::{Arrival, Listener};
use super::{TcpOptions, TcpStream};
use crate::network::binding::Binding;
use crate::network::decide::{Plane, Use, decide};
use crate::network::owner::{End, SocketSlot};
use crate::network::ports::Sharing;
use crate::network::{Family, NetError, PodNetwork};

/// A TCP socket. Never blocks; any number of tasks may wait; a wake may be spurious.
///
/// Dropping it closes a listener. A connection ends when the socket and all its [`TcpStream`] handles are gone.
#[derive(Debug)]
pub struct TcpSocket {
    pod: Arc<PodNetwork>,
    family: Family,
    options: TcpOptions,
    backlog: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Unbound(SocketSlot),
    Bound(SocketSlot, Bound),
    Connecting(SocketSlot, Connecting),
    Connected(TcpStream),
    Listening(Listening),
    Closed(NetError),
}

#[derive(Debug)]
enum Bound {
    Memory(Arc<Binding>),
    Host(HostSocket),
}

#[derive(Debug)]
enum Connecting {
    Memory(Waiting),
    Host(Box<HostConnect>),
}

#[derive(Debug)]
enum Listening {
    Memory(MemoryListening),
    Host(HostListener),
}

/// A listener in memory and what it holds.
#[derive(Debug)]
struct MemoryListening {
    listener: Arc<Listener>,
    binding: Arc<Binding>,
    slot: SocketSlot,
}

impl Drop for MemoryListening {
    fn drop(&mut self) {
        // Nobody finds it any more before it refuses, so that a connect meets nothing in between.
        self.binding.end();
        self.listener.close(NetError::InvalidState);
    }
}

impl TcpSocket {
    pub(crate) fn new(pod: Arc<PodNetwork>, family: Family, slot: SocketSlot) -> Self {
        let limits = pod.node().limits();
        Self { options: TcpOptions::new(limits), backlog: limits.backlog, family, state: State::Unbound(slot), pod }
    }

    /// The address family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Binds to an address of the pod, or the wildcard; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// In use, not the pod's, bound already ([`NetError::InvalidState`]), of the other family.
    pub fn bind(&mut self, local: SocketAddr) -> Result<(), NetError> {
        let State::Unbound(slot) = &self.state else {
            return Err(NetError::InvalidState);
        };
        slot.check()?;
        self.check_family(local)?;
        let bound = match decide(&self.pod, Use::Bind(local.ip()))? {
            Plane::Own | Plane::Pod(_) => {
                let binding = Binding::tcp(self.pod.ports(), local, self.options.v6_only, Sharing::Shared)?;
                slot.track(Arc::downgrade(&binding) as _)?;
                Bound::Memory(binding)
            }
            Plane::Host => {
                let socket = self.host_socket(self.family)?;
                socket.bind(local)?;
                Bound::Host(socket)
            }
        };
        self.step(|state| match state {
            State::Unbound(slot) => State::Bound(slot, bound),
            other => other,
        });
        Ok(())
    }

    /// Lets connections in.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] unless it is bound and nothing else; [`NetError::AddressInUse`] if another socket
    /// listens at the address by now.
    pub fn listen(&mut self) -> Result<(), NetError> {
        self.start_listening(None)
    }

    /// As [`Self::listen`], and containers find `service` by
    /// [`ContainerNetwork::service_at`](crate::network::ContainerNetwork::service_at).
    ///
    /// # Errors
    ///
    /// As for [`Self::listen`].
    pub fn listen_with(&mut self, service: Arc<dyn Any + Send + Sync>) -> Result<(), NetError> {
        self.start_listening(Some(service))
    }

    /// Whether it listens: no longer once its container's network is closed.
    pub fn is_listening(&self) -> bool {
        match &self.state {
            State::Listening(Listening::Memory(listening)) => listening.slot.check().is_ok(),
            State::Listening(Listening::Host(listener)) => listener.check().is_ok(),
            _ => false,
        }
    }

    /// Ready when [`Self::try_accept`] has something to say.
    pub fn poll_acceptable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            State::Listening(Listening::Memory(listening)) => listening.listener.poll_acceptable(cx),
            State::Listening(Listening::Host(listener)) => listener.poll_acceptable(cx),
            _ => Poll::Ready(()),
        }
    }

    /// The next connection, with the listener's options; none: would block.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] unless it listens; limits.
    pub fn try_accept(&mut self) -> Result<Option<Self>, NetError> {
        match &self.state {
            State::Listening(Listening::Host(listener)) => {
                Ok(listener.try_accept()?.map(|connection| self.accepted(TcpStream::on_host(connection))))
            }
            State::Listening(Listening::Memory(listening)) => {
                // A place first: a connection that finds none stays in the backlog, as on Linux.
                let slot = listening.slot.sibling()?;
                Ok(match listening.listener.try_accept()? {
                    None => None,
                    Some(Arrival::Memory(endpoint)) => {
                        endpoint.belong_to(slot)?;
                        Some(self.accepted(TcpStream::in_memory(endpoint)))
                    }
                    Some(Arrival::Host(visitor)) => {
                        let (options, runtime) = (listening.listener.options(), self.pod.sockets_runtime());
                        let default = TcpOptions::new(self.pod.node().limits());
                        let connection = visitor.accept(slot, runtime, &options, &default)?;
                        Some(self.accepted(TcpStream::on_host(connection)))
                    }
                })
            }
            State::Closed(why) => Err(why.clone()),
            _ => Err(NetError::InvalidState),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// As for [`Self::try_accept`].
    pub async fn accept(&mut self) -> Result<Self, NetError> {
        loop {
            if let Some(socket) = self.try_accept()? {
                return Ok(socket);
            }
            poll_fn(|cx| self.poll_acceptable(cx)).await;
        }
    }

    /// Begins to connect, and binds implicitly. In memory this is all that is needed.
    ///
    /// # Errors
    ///
    /// What can be said at once: state, family, denied. After an error other than of state and family the socket is
    /// closed for good.
    pub fn start_connect(&mut self, remote: SocketAddr) -> Result<(), NetError> {
        if !matches!(self.state, State::Unbound(_) | State::Bound(..)) {
            return Err(NetError::InvalidState);
        }
        self.check_family(remote)?;
        let (slot, binding) = match std::mem::replace(&mut self.state, State::Closed(NetError::InvalidState)) {
            State::Unbound(slot) => (slot, None),
            State::Bound(slot, binding) => (slot, Some(binding)),
            other => {
                self.state = other;
                return Err(NetError::InvalidState);
            }
        };
        match self.connect_from(slot, binding, remote) {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(error) => {
                self.state = State::Closed(error.clone());
                Err(error)
            }
        }
    }

    /// How the connect went. After an error the socket is closed for good.
    pub fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        let outcome = match &mut self.state {
            State::Connected(_) => return Poll::Ready(Ok(())),
            State::Closed(why) => return Poll::Ready(Err(why.clone())),
            State::Unbound(_) | State::Bound(..) | State::Listening(_) => {
                return Poll::Ready(Err(NetError::InvalidState));
            }
            State::Connecting(_, Connecting::Memory(waiting)) => ready!(waiting.poll(cx)).map(|()| None),
            State::Connecting(_, Connecting::Host(connect)) => ready!(connect.poll(cx)).map(Some),
        };
        let outcome = outcome.and_then(|stream| self.finish_connect(stream));
        if let Err(error) = &outcome {
            self.state = State::Closed(error.clone());
        }
        Poll::Ready(outcome)
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As for [`Self::start_connect`] and [`Self::poll_connect`].
    pub async fn connect(&mut self, remote: SocketAddr) -> Result<(), NetError> {
        self.start_connect(remote)?;
        poll_fn(|cx| self.poll_connect(cx)).await
    }

    /// A handle to the connection's bytes.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn stream(&self) -> Result<TcpStream, NetError> {
        match &self.state {
            State::Connected(stream) => Ok(stream.clone()),
            State::Closed(why) => Err(why.clone()),
            _ => Err(NetError::NotConnected),
        }
    }

    /// Ends one or both directions of a connection.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn shutdown(&self, how: Shutdown) -> Result<(), NetError> {
        match &self.state {
            State::Connected(stream) => stream.shutdown(how),
            _ => Err(NetError::NotConnected),
        }
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] if unbound.
    pub fn local_address(&self) -> Result<SocketAddr, NetError> {
        match &self.state {
            State::Bound(_, Bound::Memory(binding)) => Ok(binding.local()),
            State::Bound(_, Bound::Host(socket)) => socket.local(),
            State::Connecting(_, Connecting::Memory(waiting)) => Ok(waiting.client().local()),
            State::Connected(stream) => Ok(stream.local_address()),
            State::Listening(Listening::Memory(listening)) => Ok(listening.binding.local()),
            State::Listening(Listening::Host(listener)) => Ok(listener.local()),
            State::Closed(why) => Err(why.clone()),
            // The host has not chosen yet.
            State::Unbound(_) | State::Connecting(_, Connecting::Host(_)) => Err(NetError::InvalidState),
        }
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn remote_address(&self) -> Result<SocketAddr, NetError> {
        match &self.state {
            State::Connected(stream) => Ok(stream.remote_address()),
            State::Closed(why) => Err(why.clone()),
            _ => Err(NetError::NotConnected),
        }
    }

    /// How many connections may wait to be accepted, before or after listen.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidArgument`] for 0; [`NetError::InvalidState`] for a socket that is connecting or connected.
    pub fn set_backlog(&mut self, connections: u32) -> Result<(), NetError> {
        if connections == 0 {
            return Err(NetError::InvalidArgument);
        }
        match &self.state {
            State::Unbound(_) | State::Bound(..) | State::Listening(_) => {}
            State::Connecting(..) | State::Connected(_) => return Err(NetError::InvalidState),
            State::Closed(why) => return Err(why.clone()),
        }
        self.backlog = connections.min(self.pod.node().limits().max_backlog);
        match &self.state {
            State::Listening(Listening::Memory(listening)) => {
                listening.listener.set_backlog(length(self.backlog));
                Ok(())
            }
            State::Listening(Listening::Host(listener)) => listener.set_backlog(self.backlog),
            _ => Ok(()),
        }
    }

    /// Its options.
    pub fn options(&self) -> TcpOptions {
        self.options
    }

    /// Changes its options; values are validated and clamped as Linux and wasmtime-wasi do.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidArgument`] for zeros; [`NetError::InvalidState`] for `v6_only` after bind.
    pub fn set_options(&mut self, options: TcpOptions) -> Result<(), NetError> {
        let unbound = matches!(self.state, State::Unbound(_));
        let options = options.checked(&self.options, self.family, !unbound)?;
        match &self.state {
            State::Connected(stream) => stream.set_options(&options, &self.options)?,
            State::Bound(_, Bound::Host(socket)) => socket.set_options(self.family, &options, &self.options)?,
            State::Listening(Listening::Memory(listening)) => listening.listener.set_options(options),
            State::Listening(Listening::Host(listener)) => listener.set_options(&options, &self.options)?,
            State::Closed(why) => return Err(why.clone()),
            State::Unbound(_) | State::Bound(_, Bound::Memory(_)) | State::Connecting(..) => {}
        }
        self.options = options;
        Ok(())
    }

    fn accepted(&self, stream: TcpStream) -> Self {
        Self {
            pod: Arc::clone(&self.pod),
            family: self.family,
            options: self.options,
            backlog: self.pod.node().limits().backlog,
            state: State::Connected(stream),
        }
    }

    fn step(&mut self, next: impl FnOnce(State) -> State) {
        let state = std::mem::replace(&mut self.state, State::Closed(NetError::InvalidState));
        self.state = next(state);
    }

    /// An address must be of the socket's family. IPv4 inside IPv6 is for sockets of both.
    fn check_family(&self, address: SocketAddr) -> Result<(), NetError> {
        let mapped = address.ip().to_canonical().is_ipv4() && address.is_ipv6();
        if Family::of(address.ip()) != self.family || (mapped && self.options.v6_only) {
            return Err(NetError::InvalidArgument);
        }
        Ok(())
    }
}

fn length(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
