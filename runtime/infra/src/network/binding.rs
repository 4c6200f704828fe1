//! A port that a socket holds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, Weak};

use super::owner::End;
use super::ports::{BindingId, PortTable, Sharing};
use super::sync::lock;
use super::tcp::Listener;
use super::udp::Mailbox;
use super::wire::{Presence, Wire};
use super::{NetError, Protocol};

/// The port space of a pod.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    tcp: PortTable<Arc<Listener>>,
    udp: PortTable<Arc<Mailbox>>,
    /// What is bound, and has a place on a wire if there is one.
    bound: HashMap<(Protocol, BindingId), Weak<Binding>>,
    wire: Option<Arc<Wire>>,
}

impl Ports {
    /// The second half of the table, if there is one.
    pub(crate) fn wire(&self) -> Option<&Arc<Wire>> {
        self.wire.as_ref()
    }
}

/// The port space, shared by the pod and the bindings in it.
pub(crate) type SharedPorts = Arc<Mutex<Ports>>;

/// How often another port is tried when one that is free in memory is not in a namespace.
const TRIES: u32 = 64;

/// A port that a socket holds. Dropping it gives the port back.
#[derive(Debug)]
pub(crate) struct Binding {
    ports: SharedPorts,
    protocol: Protocol,
    id: BindingId,
    local: SocketAddr,
    v6_only: bool,
    /// Never taken before the lock of the ports.
    presence: Mutex<Presence>,
}

impl Binding {
    /// Binds a TCP port, without receiving yet. One that is exclusive is the source of a connection in memory: it needs no
    /// place on a wire.
    pub(crate) fn tcp(
        ports: &SharedPorts,
        local: SocketAddr,
        v6_only: bool,
        sharing: Sharing,
    ) -> Result<Arc<Self>, NetError> {
        Self::bind(local, || {
            let mut table = lock(ports);
            let (id, port) = table.tcp.bind(local, v6_only, sharing, None, unpredictable())?;
            let at = SocketAddr::new(local.ip(), port);
            Ok(match sharing {
                Sharing::Shared => table.register(ports, Protocol::Tcp, id, at, v6_only),
                Sharing::Exclusive => (Self::new(ports, Protocol::Tcp, id, at, v6_only), None),
            })
        })
    }

    /// Binds a UDP port.
    pub(crate) fn udp(
        ports: &SharedPorts,
        local: SocketAddr,
        v6_only: bool,
        mailbox: Arc<Mailbox>,
    ) -> Result<Arc<Self>, NetError> {
        Self::bind(local, || {
            let mut table = lock(ports);
            let receiver = Some(Arc::clone(&mailbox));
            let (id, port) = table.udp.bind(local, v6_only, Sharing::Exclusive, receiver, unpredictable())?;
            Ok(table.register(ports, Protocol::Udp, id, SocketAddr::new(local.ip(), port), v6_only))
        })
    }

    /// Binds in memory, then on the wire; tries another port if any would do.
    fn bind(
        local: SocketAddr,
        in_memory: impl Fn() -> Result<(Arc<Self>, Option<Arc<Wire>>), NetError>,
    ) -> Result<Arc<Self>, NetError> {
        let mut tries = if local.port() == 0 { TRIES } else { 1 };
        loop {
            tries -= 1;
            let (binding, wire) = in_memory()?;
            match wire.map_or(Ok(()), |wire| binding.join_current(wire)) {
                Ok(()) => return Ok(binding),
                Err(NetError::AddressInUse) if tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn new(ports: &SharedPorts, protocol: Protocol, id: BindingId, local: SocketAddr, v6_only: bool) -> Arc<Self> {
        Arc::new(Self { ports: Arc::clone(ports), protocol, id, local, v6_only, presence: Mutex::default() })
    }

    /// Connects to the port reach `listener` from now on.
    pub(crate) fn listen(&self, listener: Arc<Listener>) -> Result<(), NetError> {
        let wire = {
            let mut ports = lock(&self.ports);
            ports.tcp.receive(self.id, listener)?;
            ports.wire.clone()
        };
        wire.map_or(Ok(()), |wire| self.open(&wire))
    }

    /// Takes the port on the wire that the pod has by now: it may be plugged in elsewhere while this binds.
    fn join_current(&self, mut wire: Arc<Wire>) -> Result<(), NetError> {
        loop {
            self.join(&wire)?;
            let now = lock(&self.ports).wire.clone();
            match now {
                Some(now) if Arc::ptr_eq(&now, &wire) => return Ok(()),
                Some(now) => wire = now,
                None => {
                    self.leave(Presence::Memory);
                    return Ok(());
                }
            }
            self.leave(Presence::Memory);
        }
    }

    /// Takes the port in the wire's namespace as well. Once it is there, or has ended, nothing happens.
    fn join(&self, wire: &Arc<Wire>) -> Result<(), NetError> {
        let receiver = match self.protocol {
            Protocol::Tcp => None,
            Protocol::Udp => lock(&self.ports).udp.receiver_of(self.id).cloned(),
        };
        let mut presence = lock(&self.presence);
        if let Presence::Memory = *presence {
            *presence = match (self.protocol, receiver) {
                (Protocol::Tcp, _) => wire.bind_tcp(self.local, self.v6_only)?,
                (Protocol::Udp, Some(mailbox)) => wire.bind_udp(self.local, self.v6_only, &mailbox)?,
                (Protocol::Udp, None) => Presence::Memory,
            };
        }
        Ok(())
    }

    /// Lets connections in from the wire's namespace.
    fn open(&self, wire: &Arc<Wire>) -> Result<(), NetError> {
        let mut presence = lock(&self.presence);
        match std::mem::take(&mut *presence) {
            Presence::Bound(sockets) => *presence = wire.listen(sockets, self.local.port())?,
            other => *presence = other,
        }
        Ok(())
    }

    /// Leaves the wire: the ports in its namespace are free. What has ended stays so.
    fn leave(&self, after: Presence) {
        let mut presence = lock(&self.presence);
        if !matches!(*presence, Presence::Ended) {
            *presence = after;
        }
    }

    /// Whether somebody listens.
    fn listens(&self) -> bool {
        self.protocol == Protocol::Tcp && lock(&self.ports).tcp.receiver_of(self.id).is_some()
    }

    /// The socket that holds the port in a namespace, to connect with.
    pub(crate) fn take_socket(&self) -> Option<OwnedFd> {
        let mut presence = lock(&self.presence);
        match std::mem::take(&mut *presence) {
            Presence::Bound(mut sockets) => sockets.pop(),
            other => {
                *presence = other;
                None
            }
        }
    }

    /// Sends a datagram into the wire's namespace; `false` where there is none.
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) -> Result<bool, NetError> {
        match &*lock(&self.presence) {
            Presence::Datagrams(datagrams) => datagrams.send(bytes, to),
            _ => Ok(false),
        }
    }

    /// The address and the port, which is not 0.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }
}

impl Ports {
    /// A binding that has a place on the wire, and the wire.
    fn register(
        &mut self,
        ports: &SharedPorts,
        protocol: Protocol,
        id: BindingId,
        local: SocketAddr,
        v6_only: bool,
    ) -> (Arc<Binding>, Option<Arc<Wire>>) {
        let binding = Binding::new(ports, protocol, id, local, v6_only);
        self.bound.insert((protocol, id), Arc::downgrade(&binding));
        (binding, self.wire.clone())
    }
}

/// Puts all that is bound on `wire`, in place of the one it was on. A port that the namespace does not give is only told of:
/// nobody but the pod's own containers is in it, and none of them has begun.
pub(crate) fn set_wire(ports: &SharedPorts, wire: Option<Arc<Wire>>) {
    let bound: Vec<_> = {
        let mut ports = lock(ports);
        ports.wire.clone_from(&wire);
        ports.bound.values().filter_map(Weak::upgrade).collect()
    };
    for binding in bound {
        binding.leave(Presence::Memory);
        let Some(wire) = &wire else { continue };
        // Asked after it has joined: who begins to listen later finds the place to open.
        let joined = binding.join(wire).and_then(|()| if binding.listens() { binding.open(wire) } else { Ok(()) });
        if let Err(error) = joined {
            let Binding { protocol, local, .. } = &*binding;
            tracing::warn!(%error, %protocol, %local, "Linux containers do not reach a port of a pod");
        }
    }
}

impl End for Binding {
    fn end(&self) {
        let mut ports = lock(&self.ports);
        ports.bound.remove(&(self.protocol, self.id));
        let (listener, mailbox) = match self.protocol {
            Protocol::Tcp => (ports.tcp.release(self.id), None),
            Protocol::Udp => (None, ports.udp.release(self.id)),
        };
        drop(ports);
        self.leave(Presence::Ended);
        drop((listener, mailbox));
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.end();
    }
}

/// The listener that a connect to `to` reaches.
pub(crate) fn listener(ports: &SharedPorts, to: SocketAddr) -> Option<Arc<Listener>> {
    lock(ports).tcp.receiver(to).cloned()
}

/// The mailbox that a datagram to `to` reaches.
pub(crate) fn mailbox(ports: &SharedPorts, to: SocketAddr) -> Option<Arc<Mailbox>> {
    lock(ports).udp.receiver(to).cloned()
}

/// A port for a source that holds none: nothing ever replies to it.
pub(crate) fn unbound_source(address: IpAddr) -> SocketAddr {
    let (first, last) = super::ports::EPHEMERAL.into_inner();
    let offset = unpredictable() % u64::from(last - first + 1);
    SocketAddr::new(address, first + u16::try_from(offset).unwrap_or_default())
}

/// A number that guests cannot guess: the hash of nothing under a random key.
fn unpredictable() -> u64 {
    RandomState::new().hash_one(())
}
