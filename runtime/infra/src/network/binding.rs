//! A port that a socket holds.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use super::owner::End;
use super::ports::{BindingId, PortTable, Sharing};
use super::sync::lock;
use super::tcp::Listener;
use super::udp::Mailbox;
use super::{NetError, Protocol};

/// The port space of a pod.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    tcp: PortTable<Arc<Listener>>,
    udp: PortTable<Arc<Mailbox>>,
}

/// The port space, shared by the pod and the bindings in it.
pub(crate) type SharedPorts = Arc<Mutex<Ports>>;

/// A port that a socket holds. Dropping it gives the port back.
#[derive(Debug)]
pub(crate) struct Binding {
    ports: SharedPorts,
    protocol: Protocol,
    id: BindingId,
    local: SocketAddr,
}

impl Binding {
    /// Binds a TCP port, without receiving yet.
    pub(crate) fn tcp(
        ports: &SharedPorts,
        local: SocketAddr,
        v6_only: bool,
        sharing: Sharing,
    ) -> Result<Arc<Self>, NetError> {
        let (id, port) = lock(ports).tcp.bind(local, v6_only, sharing, None, unpredictable())?;
        Ok(Self::new(ports, Protocol::Tcp, id, SocketAddr::new(local.ip(), port)))
    }

    /// Binds a UDP port.
    pub(crate) fn udp(
        ports: &SharedPorts,
        local: SocketAddr,
        v6_only: bool,
        mailbox: Arc<Mailbox>,
    ) -> Result<Arc<Self>, NetError> {
        let (id, port) = lock(ports).udp.bind(local, v6_only, Sharing::Exclusive, Some(mailbox), unpredictable())?;
        Ok(Self::new(ports, Protocol::Udp, id, SocketAddr::new(local.ip(), port)))
    }

    fn new(ports: &SharedPorts, protocol: Protocol, id: BindingId, local: SocketAddr) -> Arc<Self> {
        Arc::new(Self { ports: Arc::clone(ports), protocol, id, local })
    }

    /// Connects to the port reach `listener` from now on.
    pub(crate) fn listen(&self, listener: Arc<Listener>) -> Result<(), NetError> {
        lock(&self.ports).tcp.receive(self.id, listener)
    }

    /// The address and the port, which is not 0.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }
}

impl End for Binding {
    fn end(&self) {
        let (listener, mailbox) = match self.protocol {
            Protocol::Tcp => (lock(&self.ports).tcp.release(self.id), None),
            Protocol::Udp => (None, lock(&self.ports).udp.release(self.id)),
        };
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
