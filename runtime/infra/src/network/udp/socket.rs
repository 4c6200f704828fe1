//! The UDP socket: a pod's own, or one of the host's for a pod on the host's network.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::host::HostSocket;
use super::memory::MemorySocket;
use super::{Datagram, UdpOptions};
use crate::network::owner::{End, SocketSlot};
use crate::network::sync::{Fan, lock};
use crate::network::{Family, NetError, NetworkMode, PodNetwork};

/// A UDP socket. Never blocks; any number of tasks may wait; a wake may be spurious.
#[derive(Debug)]
pub struct UdpSocket {
    family: Family,
    options: UdpOptions,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Memory(MemorySocket),
    Host(OnHost),
}

/// A host socket with the state that WASI wants and the kernel does not tell.
#[derive(Debug)]
struct OnHost {
    shared: Arc<Shared>,
    address: Mutex<Address>,
    _slot: SocketSlot,
}

/// What ends with the container.
#[derive(Debug)]
struct Shared {
    /// None once the container has ended: the port is free then.
    socket: Mutex<Option<Arc<HostSocket>>>,
    fan: Arc<Fan>,
}

#[derive(Clone, Copy, Debug)]
enum Address {
    Unbound,
    Bound,
    Connected(SocketAddr),
}

impl End for Shared {
    fn end(&self) {
        let socket = lock(&self.socket).take();
        drop(socket);
        self.fan.wake_all();
    }
}

impl UdpSocket {
    pub(crate) fn new(pod: Arc<PodNetwork>, family: Family, slot: SocketSlot) -> Result<Self, NetError> {
        let options = UdpOptions::new(pod.node().limits());
        let kind = match pod.mode() {
            NetworkMode::Virtual => Kind::Memory(MemorySocket::new(pod, family, slot, &options)?),
            NetworkMode::Host => {
                let (fan, waker) = Fan::new();
                let socket = Mutex::new(Some(HostSocket::new(family, &options, waker, &pod)?));
                let shared = Arc::new(Shared { socket, fan });
                slot.track(Arc::downgrade(&shared) as _)?;
                Kind::Host(OnHost { shared, address: Mutex::new(Address::Unbound), _slot: slot })
            }
        };
        Ok(Self { family, options, kind })
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
        self.check_family(local)?;
        match &self.kind {
            Kind::Memory(socket) => socket.bind(local),
            Kind::Host(host) => host.bind(local),
        }
    }

    /// Makes `remote` the only peer, or with none any peer again. Binds implicitly.
    ///
    /// # Errors
    ///
    /// Denied, unreachable, an address of the other family or without a port; disconnecting what is not connected.
    pub fn connect(&mut self, remote: Option<SocketAddr>) -> Result<(), NetError> {
        if let Some(remote) = remote {
            self.check_family(remote)?;
            if remote.port() == 0 {
                return Err(NetError::InvalidArgument);
            }
        }
        match &self.kind {
            Kind::Memory(socket) => socket.connect(remote, &self.options),
            Kind::Host(host) => host.connect(remote),
        }
    }

    /// The next datagram; none: would block.
    ///
    /// # Errors
    ///
    /// [`NetError::ConnectionRefused`] where the peer of a connected socket has no receiver; unbound sockets.
    pub fn try_receive(&self) -> Result<Option<Datagram>, NetError> {
        match &self.kind {
            Kind::Memory(socket) => socket.try_receive(),
            Kind::Host(host) => host.try_receive(),
        }
    }

    /// Ready when [`Self::try_receive`] has something to say.
    pub fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.kind {
            Kind::Memory(socket) => socket.poll_receivable(cx),
            Kind::Host(host) => host.poll(cx, HostSocket::poll_receivable),
        }
    }

    /// Sends a datagram, to `remote` or the connected peer. False: would block. Binds implicitly.
    ///
    /// # Errors
    ///
    /// Too large, denied, no peer, a peer other than the connected one; an error that an earlier one brought back.
    pub fn try_send(&self, bytes: Bytes, remote: Option<SocketAddr>) -> Result<bool, NetError> {
        if let Some(remote) = remote {
            self.check_family(remote)?;
        }
        match &self.kind {
            Kind::Memory(socket) => socket.try_send(bytes, remote, &self.options),
            Kind::Host(host) => host.try_send(&bytes, remote),
        }
    }

    /// Ready when [`Self::try_send`] would not block.
    pub fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.kind {
            Kind::Memory(socket) => socket.poll_sendable(cx),
            Kind::Host(host) => host.poll(cx, HostSocket::poll_sendable),
        }
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] if unbound.
    pub fn local_address(&self) -> Result<SocketAddr, NetError> {
        match &self.kind {
            Kind::Memory(socket) => socket.local_address(),
            Kind::Host(host) => host.local_address(),
        }
    }

    /// The connected peer.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn remote_address(&self) -> Result<SocketAddr, NetError> {
        match &self.kind {
            Kind::Memory(socket) => socket.remote_address(),
            Kind::Host(host) => host.remote_address(),
        }
    }

    /// Its options.
    pub fn options(&self) -> UdpOptions {
        self.options
    }

    /// Changes its options; sizes are clamped.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidArgument`] for zeros.
    pub fn set_options(&mut self, options: UdpOptions) -> Result<(), NetError> {
        let options = options.checked()?;
        match &self.kind {
            Kind::Memory(socket) => socket.set_options(&options, &self.options)?,
            Kind::Host(host) => host.socket()?.set_options(self.family, &options, &self.options)?,
        }
        self.options = options;
        Ok(())
    }

    fn check_family(&self, address: SocketAddr) -> Result<(), NetError> {
        // IPv6 sockets are for IPv6 only, as WASI has it.
        let mapped = address.is_ipv6() && address.ip().to_canonical().is_ipv4();
        if Family::of(address.ip()) == self.family && !mapped { Ok(()) } else { Err(NetError::InvalidArgument) }
    }
}

impl OnHost {
    fn bind(&self, local: SocketAddr) -> Result<(), NetError> {
        let socket = self.socket()?;
        let mut address = lock(&self.address);
        if !matches!(*address, Address::Unbound) {
            return Err(NetError::InvalidState);
        }
        socket.bind(local)?;
        *address = Address::Bound;
        Ok(())
    }

    fn connect(&self, remote: Option<SocketAddr>) -> Result<(), NetError> {
        let socket = self.socket()?;
        let mut address = lock(&self.address);
        if remote.is_none() && !matches!(*address, Address::Connected(_)) {
            return Err(NetError::InvalidState);
        }
        socket.connect(remote)?;
        // Not `remote` itself: the wildcard has become the loopback.
        *address = match remote {
            Some(_) => Address::Connected(socket.remote()?),
            None => Address::Bound,
        };
        Ok(())
    }

    fn try_receive(&self) -> Result<Option<Datagram>, NetError> {
        let socket = self.socket()?;
        if matches!(*lock(&self.address), Address::Unbound) {
            return Err(NetError::InvalidState);
        }
        socket.try_receive()
    }

    fn try_send(&self, bytes: &[u8], remote: Option<SocketAddr>) -> Result<bool, NetError> {
        let socket = self.socket()?;
        let mut address = lock(&self.address);
        let to = match (*address, remote) {
            (Address::Connected(peer), Some(to)) if peer != to => return Err(NetError::InvalidArgument),
            (Address::Connected(_), _) => None,
            (_, Some(to)) => Some(to),
            (_, None) => return Err(NetError::InvalidArgument),
        };
        let sent = socket.try_send(bytes, to)?;
        if matches!(*address, Address::Unbound) {
            *address = Address::Bound;
        }
        Ok(sent)
    }

    fn poll(&self, cx: &mut Context<'_>, ready: impl Fn(&HostSocket) -> Poll<()>) -> Poll<()> {
        self.shared.fan.register(cx.waker());
        self.socket().map_or(Poll::Ready(()), |socket| ready(&socket))
    }

    fn local_address(&self) -> Result<SocketAddr, NetError> {
        let socket = self.socket()?;
        match *lock(&self.address) {
            Address::Unbound => Err(NetError::InvalidState),
            Address::Bound | Address::Connected(_) => socket.local(),
        }
    }

    fn remote_address(&self) -> Result<SocketAddr, NetError> {
        self.socket()?;
        match *lock(&self.address) {
            Address::Connected(remote) => Ok(remote),
            Address::Unbound | Address::Bound => Err(NetError::NotConnected),
        }
    }

    fn socket(&self) -> Result<Arc<HostSocket>, NetError> {
        lock(&self.shared.socket).clone().ok_or(NetError::ConnectionAborted)
    }
}
