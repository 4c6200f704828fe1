//! What becomes of a socket that begins to listen or to connect.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Bound, Connecting, Listening, MemoryListening, State, TcpSocket, length};
use crate::network::binding::Binding;
use crate::network::container::own_source;
use crate::network::decide::{Plane, Use, decide};
use crate::network::owner::SocketSlot;
use crate::network::ports::Sharing;
use crate::network::tcp::connect::{Caller, Opening, open};
use crate::network::tcp::host::{HostConnect, HostListener, HostSocket};
use crate::network::tcp::listener::Listener;
use crate::network::tcp::{TcpOptions, TcpStream};
use crate::network::traffic::Crossing;
use crate::network::{Family, NetError, NetworkMode, PodNetwork, Protocol};

impl TcpSocket {
    pub(super) fn start_listening(&mut self, service: Option<Arc<dyn Any + Send + Sync>>) -> Result<(), NetError> {
        match &self.state {
            State::Bound(slot, Bound::Memory(binding)) => {
                slot.check()?;
                let listener = self.memory_listener(slot, binding, service)?;
                self.step(|state| match state {
                    State::Bound(slot, Bound::Memory(binding)) => {
                        State::Listening(Listening::Memory(MemoryListening { listener, binding, slot }))
                    }
                    other => other,
                });
                Ok(())
            }
            State::Bound(slot, Bound::Host(_)) => {
                slot.check()?;
                // The kernel keeps no handles: what is registered is not found on the host's network.
                self.listen_on_host()
            }
            State::Closed(why) => Err(why.clone()),
            _ => Err(NetError::InvalidState),
        }
    }

    fn memory_listener(
        &self,
        slot: &SocketSlot,
        binding: &Arc<Binding>,
        service: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Result<Arc<Listener>, NetError> {
        let account = self.pod.account().charging(slot.memory());
        let waiting = length(self.pod.node().limits().pending_per_listener);
        let listener = Listener::new(binding.local(), account, self.options, length(self.backlog), waiting, service);
        binding.listen(Arc::clone(&listener))?;
        slot.track(Arc::downgrade(&listener) as _)?;
        Ok(listener)
    }

    fn listen_on_host(&mut self) -> Result<(), NetError> {
        match std::mem::replace(&mut self.state, State::Closed(NetError::InvalidState)) {
            State::Bound(slot, Bound::Host(socket)) => {
                let account = self.pod.account().clone();
                // Where the host refuses, the socket is gone: tokio's listen consumes it.
                let runtime = self.pod.sockets_runtime();
                let listener = HostListener::new(socket, self.family, self.backlog, account, slot, runtime)?;
                self.state = State::Listening(Listening::Host(listener));
                Ok(())
            }
            other => {
                self.state = other;
                Err(NetError::InvalidState)
            }
        }
    }

    /// The state after the start of a connect.
    pub(super) fn connect_from(
        &self,
        slot: SocketSlot,
        bound: Option<Bound>,
        remote: SocketAddr,
    ) -> Result<State, NetError> {
        slot.check()?;
        let to = self.pod.destination(remote);
        let family = Family::of(to.ip());
        let plane = decide(&self.pod, Use::Open(Protocol::Tcp, remote))?;
        let binding = match bound {
            Some(Bound::Host(socket)) => return self.connect_by_host(socket, remote, slot, None),
            Some(Bound::Memory(binding)) => Some(binding),
            None => None,
        };
        match plane {
            Plane::Own => match self.pod.linux_socket_from(&self.pod, to)? {
                Some(socket) => self.connect_to_linux(socket, binding, to, slot),
                None => self.open(&self.pod, to, slot, self.source(binding, own_source(to.ip()), true)?),
            },
            Plane::Pod(peer) => match peer.linux_socket_from(&self.pod, to)? {
                Some(socket) => self.connect_to_linux(socket, binding, to, slot),
                None => {
                    let own = self.pod.address(family).ok_or(NetError::RemoteUnreachable)?;
                    self.open(&peer, to, slot, self.source(binding, own, false)?)
                }
            },
            Plane::Host if self.pod.mode() == NetworkMode::Host => {
                self.connect_by_host(self.host_socket(self.family)?, remote, slot, None)
            }
            Plane::Host => {
                let own = self.pod.address(family).ok_or(NetError::RemoteUnreachable)?;
                let (binding, source) = self.source(binding, own, false)?;
                slot.track(Arc::downgrade(&binding) as _)?;
                self.connect_by_host(self.host_socket(family)?, to, slot, Some((binding, source)))
            }
        }
    }

    /// Nobody listens in memory: a Linux container may. `socket` is in the pod's place among them.
    fn connect_to_linux(
        &self,
        socket: OwnedFd,
        binding: Option<Arc<Binding>>,
        to: SocketAddr,
        slot: SocketSlot,
    ) -> Result<State, NetError> {
        // The port that the guest chose is held by a socket in the namespace already.
        let bound = binding.as_ref().and_then(|binding| Some((binding.take_socket()?, binding)));
        let (socket, inside) = match bound {
            Some((bound, binding)) => (bound, Some((Arc::clone(binding), self.source_of(binding, to.ip())))),
            None => (socket, None),
        };
        let default = TcpOptions::new(self.pod.node().limits());
        let family = Family::of(to.ip());
        let socket = HostSocket::from_fd(socket, family, &self.options, &default, self.pod.account())?;
        self.connect_by_host(socket, to, slot, inside)
    }

    fn source_of(&self, binding: &Binding, to: IpAddr) -> SocketAddr {
        let bound = binding.local();
        let own = if to.is_loopback() { Some(own_source(to)) } else { self.pod.address(Family::of(to)) };
        match bound.ip().to_canonical() {
            ip if ip.is_unspecified() => SocketAddr::new(own.unwrap_or(ip), bound.port()),
            ip => SocketAddr::new(ip, bound.port()),
        }
    }

    fn connect_by_host(
        &self,
        socket: HostSocket,
        to: SocketAddr,
        slot: SocketSlot,
        inside: Option<(Arc<Binding>, SocketAddr)>,
    ) -> Result<State, NetError> {
        let connect = HostConnect::start(socket, to, self.pod.account(), &slot, &self.pod.sockets_runtime(), inside)?;
        Ok(State::Connecting(slot, Connecting::Host(Box::new(connect))))
    }

    pub(super) fn host_socket(&self, family: Family) -> Result<HostSocket, NetError> {
        HostSocket::new(family, &self.options, &TcpOptions::new(self.pod.node().limits()), self.pod.account())
    }

    fn open(
        &self,
        peer: &Arc<PodNetwork>,
        to: SocketAddr,
        slot: SocketSlot,
        (binding, source): (Arc<Binding>, SocketAddr),
    ) -> Result<State, NetError> {
        slot.track(Arc::downgrade(&binding) as _)?;
        let (receive_buffer, send_buffer) = self.options.buffers();
        let account = self.pod.account().charging(slot.memory());
        let family = self.family;
        let caller = Caller { family, account, source, binding: Some(binding), receive_buffer, send_buffer };
        match open(peer.ports(), to, caller, Crossing::between(&self.pod, peer))? {
            Opening::Established(client) => {
                client.belong_to(slot)?;
                Ok(State::Connected(TcpStream::in_memory(client)))
            }
            Opening::Waiting(waiting) => {
                slot.track(Arc::downgrade(waiting.pending()) as _)?;
                Ok(State::Connecting(slot, Connecting::Memory(waiting)))
            }
        }
    }

    /// The port that a connection holds, and its source address: what the socket is bound to, else `own`.
    fn source(
        &self,
        binding: Option<Arc<Binding>>,
        own: IpAddr,
        inside: bool,
    ) -> Result<(Arc<Binding>, SocketAddr), NetError> {
        let binding = match binding {
            Some(binding) => binding,
            None => Binding::tcp(self.pod.ports(), SocketAddr::new(own, 0), true, Sharing::Exclusive)?,
        };
        let bound = binding.local().ip().to_canonical();
        if bound.is_loopback() && !inside {
            // No packet leaves a loopback.
            return Err(NetError::InvalidArgument);
        }
        let address = if bound.is_unspecified() { own } else { bound };
        let source = SocketAddr::new(address, binding.local().port());
        Ok((binding, source))
    }

    /// `stream`: what a connect by the host became.
    pub(super) fn finish_connect(&mut self, stream: Option<tokio::net::TcpStream>) -> Result<(), NetError> {
        let state = std::mem::replace(&mut self.state, State::Closed(NetError::InvalidState));
        let stream = match (state, stream) {
            (State::Connecting(slot, Connecting::Memory(waiting)), None) => {
                let client = Arc::clone(waiting.client());
                client.belong_to(slot)?;
                let stream = TcpStream::in_memory(client);
                // They may have been changed while it waited.
                stream.set_options(&self.options, &self.options)?;
                stream
            }
            (State::Connecting(slot, Connecting::Host(connect)), Some(stream)) => {
                TcpStream::on_host(connect.finish(stream, slot)?)
            }
            (other, _) => {
                self.state = other;
                return Err(NetError::InvalidState);
            }
        };
        self.state = State::Connected(stream);
        Ok(())
    }
}
