//! A TCP socket as WASI defines it, for both versions.
//!
//! ```text
//!   Unbound ──bind──► Bound ──listen──► Listening ──accept──► (Connected)
//!      └──────┬─────────┘
//!          connect
//!             ▼
//!        Connecting ──► Connected       a half of a connection is handed out once
//!             └───────► Closed(why)     for good: each later call tells why
//! ```
//!
//! Checks of arguments come before the network sees them, in wasmtime-wasi's order, so that a guest finds the same error
//! for the same mistake. What the network itself refuses when connecting is the result of the connect, not of its start.

use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll, ready};

use nacelle_infra::network::{ContainerNetwork, Family, NetError, TcpOptions, TcpSocket, TcpStream};

use super::address::{check_family, check_remote, check_unicast, unspecified};
use super::options;
use super::shared::{Shared, poll_twice};

/// A TCP socket of a guest.
#[derive(Debug)]
pub struct Tcp {
    family: Family,
    state: State,
}

#[derive(Debug)]
enum State {
    Unbound(TcpSocket),
    Bound(TcpSocket),
    Listening(Listener),
    Connecting(TcpSocket),
    Connected(Connection),
    Closed(NetError),
}

#[derive(Debug)]
struct Connection {
    socket: TcpSocket,
    receive: Half,
    send: Half,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Here,
    HandedOut,
}

/// The receiving half of a connection. Dropping it ends that direction.
#[derive(Debug)]
pub(super) struct Receiver(TcpStream);

/// The sending half of a connection. Dropping it ends that direction: the peer reads the end.
#[derive(Debug)]
pub(super) struct Sender(TcpStream);

impl Receiver {
    pub(super) fn stream(&self) -> &TcpStream {
        &self.0
    }
}

impl Sender {
    pub(super) fn stream(&self) -> &TcpStream {
        &self.0
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // What has ended needs no further end.
        let _ = self.0.shutdown(Shutdown::Read);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// Where a listening socket's connections come from. It listens as long as there is a handle.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    family: Family,
    socket: Shared<TcpSocket>,
}

impl Listener {
    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// The next connection; an error is that connection's, or the listener's once it [has ended](Self::has_ended).
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Tcp, NetError>> {
        poll_twice(cx, || self.try_accept().transpose(), |cx| self.poll_acceptable(cx))
    }

    /// The next connection, if there is one now.
    pub(super) fn try_accept(&self) -> Result<Option<Tcp>, NetError> {
        let accepted = match self.socket.with(TcpSocket::try_accept) {
            // Guests take an aborted connection for one of many; this is the last they hear.
            Err(_) if self.has_ended() => return Err(NetError::InvalidState),
            result => result?,
        };
        Ok(accepted.map(|socket| Tcp {
            family: self.family,
            state: State::Connected(Connection { socket, receive: Half::Here, send: Half::Here }),
        }))
    }

    pub(super) fn poll_acceptable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.with(|socket| socket.poll_acceptable(cx))
    }

    /// Whether nothing will ever come: the container's network was closed.
    pub(super) fn has_ended(&self) -> bool {
        !self.socket.with(|socket| socket.is_listening())
    }
}

impl Tcp {
    pub(super) fn new(network: &std::sync::Arc<ContainerNetwork>, family: Family) -> Result<Self, NetError> {
        Ok(Self { family, state: State::Unbound(network.tcp_socket(family)?) })
    }

    /// A socket whose connection failed before anybody could use it.
    pub(super) fn failed(family: Family, error: NetError) -> Self {
        Self { family, state: State::Closed(error) }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn is_bound(&self) -> bool {
        !matches!(self.state, State::Unbound(_))
    }

    pub(super) fn bind(&mut self, local: SocketAddr) -> Result<(), NetError> {
        let State::Unbound(socket) = &mut self.state else {
            return Err(NetError::InvalidState);
        };
        check_unicast(local.ip())?;
        check_family(local.ip(), self.family)?;
        socket.bind(local)?;
        self.change(|state| match state {
            State::Unbound(socket) => State::Bound(socket),
            other => other,
        });
        Ok(())
    }

    /// Begins to connect. Unless this fails, [`poll_connect`](Self::poll_connect) tells the outcome.
    pub(super) fn start_connect(&mut self, remote: SocketAddr) -> Result<(), NetError> {
        if !matches!(self.state, State::Unbound(_) | State::Bound(_)) {
            return Err(NetError::InvalidState);
        }
        check_unicast(remote.ip())?;
        check_remote(remote)?;
        check_family(remote.ip(), self.family)?;
        self.change(|state| match state {
            State::Unbound(mut socket) | State::Bound(mut socket) => match socket.start_connect(remote) {
                Ok(()) => State::Connecting(socket),
                Err(error) => State::Closed(error),
            },
            other => other,
        });
        Ok(())
    }

    /// How the connect went.
    pub(super) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        let result = match &mut self.state {
            State::Connecting(socket) => ready!(socket.poll_connect(cx)),
            State::Connected(_) => return Poll::Ready(Ok(())),
            State::Closed(error) => return Poll::Ready(Err(error.clone())),
            State::Unbound(_) | State::Bound(_) | State::Listening(_) => {
                return Poll::Ready(Err(NetError::InvalidState));
            }
        };
        let failure = result.clone().err();
        self.change(|state| match (state, failure) {
            (_, Some(error)) => State::Closed(error),
            (State::Connecting(socket), None) => {
                State::Connected(Connection { socket, receive: Half::Here, send: Half::Here })
            }
            (other, None) => other,
        });
        Poll::Ready(result)
    }

    /// Lets connections in, on any address and port unless the socket is bound.
    pub(super) fn listen(&mut self) -> Result<Listener, NetError> {
        let (mut socket, bind) = match mem::replace(&mut self.state, State::Closed(NetError::InvalidState)) {
            State::Unbound(socket) => (socket, true),
            State::Bound(socket) => (socket, false),
            other => {
                self.state = other;
                return Err(NetError::InvalidState);
            }
        };
        let result = if bind { socket.bind(unspecified(self.family)) } else { Ok(()) };
        match result.and_then(|()| socket.listen()) {
            Ok(()) => {
                let listener = Listener { family: self.family, socket: Shared::new(socket) };
                self.state = State::Listening(listener.clone());
                Ok(listener)
            }
            Err(error) => {
                self.state = State::Closed(error.clone());
                Err(error)
            }
        }
    }

    pub(super) fn listener(&self) -> Result<&Listener, NetError> {
        match &self.state {
            State::Listening(listener) => Ok(listener),
            State::Closed(error) => Err(error.clone()),
            _ => Err(NetError::InvalidState),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening(_))
    }

    /// Hands the receiving half out, once.
    pub(super) fn take_receiver(&mut self) -> Result<Receiver, NetError> {
        let connection = self.connection()?;
        take(&mut connection.receive)?;
        Ok(Receiver(connection.socket.stream()?))
    }

    /// Hands the sending half out, once.
    pub(super) fn take_sender(&mut self) -> Result<Sender, NetError> {
        let connection = self.connection()?;
        take(&mut connection.send)?;
        Ok(Sender(connection.socket.stream()?))
    }

    fn connection(&mut self) -> Result<&mut Connection, NetError> {
        match &mut self.state {
            State::Connected(connection) => Ok(connection),
            State::Closed(error) => Err(error.clone()),
            _ => Err(NetError::InvalidState),
        }
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, NetError> {
        match &self.state {
            State::Unbound(_) | State::Connecting(_) => Err(NetError::InvalidState),
            _ => self.with_socket(|socket| socket.local_address())?,
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, NetError> {
        match &self.state {
            State::Connected(connection) => connection.socket.remote_address(),
            State::Closed(error) => Err(error.clone()),
            _ => Err(NetError::InvalidState),
        }
    }

    pub(super) fn set_backlog(&mut self, connections: u64) -> Result<(), NetError> {
        let connections = options::backlog(connections)?;
        match &mut self.state {
            State::Unbound(socket) | State::Bound(socket) => socket.set_backlog(connections),
            State::Listening(listener) => listener.socket.with(|socket| socket.set_backlog(connections)),
            State::Closed(error) => Err(error.clone()),
            State::Connecting(_) | State::Connected(_) => Err(NetError::InvalidState),
        }
    }

    pub(super) fn options(&self) -> Result<TcpOptions, NetError> {
        self.with_socket(|socket| socket.options())
    }

    pub(super) fn set_options(&mut self, change: impl FnOnce(&mut TcpOptions)) -> Result<(), NetError> {
        let set = |socket: &mut TcpSocket| {
            let mut options = socket.options();
            change(&mut options);
            socket.set_options(options)
        };
        match &mut self.state {
            State::Unbound(socket) | State::Bound(socket) => set(socket),
            State::Listening(listener) => listener.socket.with(set),
            State::Connected(connection) => set(&mut connection.socket),
            State::Connecting(_) => Err(NetError::InvalidState),
            State::Closed(error) => Err(error.clone()),
        }
    }

    /// Reads from the socket, unless it is on its way from one state to another.
    fn with_socket<R>(&self, call: impl FnOnce(&TcpSocket) -> R) -> Result<R, NetError> {
        match &self.state {
            State::Unbound(socket) | State::Bound(socket) => Ok(call(socket)),
            State::Listening(listener) => Ok(listener.socket.with(|socket| call(socket))),
            State::Connected(connection) => Ok(call(&connection.socket)),
            State::Connecting(_) => Err(NetError::InvalidState),
            State::Closed(error) => Err(error.clone()),
        }
    }

    /// Replaces the state by what `step` makes of it.
    fn change(&mut self, step: impl FnOnce(State) -> State) {
        let state = mem::replace(&mut self.state, State::Closed(NetError::InvalidState));
        self.state = step(state);
    }
}

fn take(half: &mut Half) -> Result<(), NetError> {
    match mem::replace(half, Half::HandedOut) {
        Half::Here => Ok(()),
        Half::HandedOut => Err(NetError::InvalidState),
    }
}
