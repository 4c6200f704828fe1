//! What comes into a pod through the ports of the host.
//!
//! The pod sees the client's own address. One that means something else inside a pod, the host's loopback, or that is of
//! a family the pod does not have, appears as the node's address among the pods, as a node's masquerading does it.
//! Datagrams need the way back: which clients are behind the node's address, a bounded number of them.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use super::binding;
use super::decide::{Plane, Use, decide};
use super::host_port::{Place, Reply, Target};
use super::sync::lock;
use super::tcp::{Ends, HostVisitor, Listener, Shares};
use super::udp::Delivery;
use super::{DialSource, Family, NetError, PodNetwork, Protocol, TcpStream};

/// Clients behind the node's address, by what the pod sees of them.
#[derive(Debug, Default)]
pub(super) struct Masquerades {
    clients: HashMap<SocketAddr, SocketAddr>,
    oldest: VecDeque<SocketAddr>,
}

impl Masquerades {
    fn remember(&mut self, seen: SocketAddr, client: SocketAddr, most: usize) {
        if self.clients.insert(seen, client).is_none() {
            self.oldest.push_back(seen);
            if self.oldest.len() > most.max(1)
                && let Some(oldest) = self.oldest.pop_front()
            {
                self.clients.remove(&oldest);
            }
        }
    }
}

impl PodNetwork {
    /// What the pod sees of a client outside.
    pub(super) fn apparent_client(&self, client: SocketAddr, to: IpAddr) -> SocketAddr {
        let family = Family::of(to);
        let address = client.ip().to_canonical();
        let foreign = address.is_loopback() || Family::of(address) != family || self.ips().contains(&address);
        let node = || self.node().gateway(family).unwrap_or_else(|| family.loopback());
        SocketAddr::new(if foreign { node() } else { address }, client.port())
    }

    /// Sends a datagram back to a client of a host port, if `to` is one.
    pub(super) fn answer_client(&self, port: u16, to: SocketAddr, bytes: &[u8]) -> bool {
        self.with_host_ports(|ports| {
            let client = lock(self.masquerades()).clients.get(&to).copied().unwrap_or(to);
            ports.reply(port, client, bytes) == Reply::Sent
        })
        .unwrap_or(false)
    }

    /// Sends what a Linux container has answered back to a client of a host port.
    pub(super) fn answer(&self, port: u16, client: SocketAddr, bytes: &[u8]) {
        // One that is no client any more is not answered.
        self.with_host_ports(|ports| ports.reply(port, client, bytes));
    }

    /// Whom a client of a host port reaches in memory, if it may and there is somebody.
    fn enter_by(&self, port: u16, client: SocketAddr) -> Option<Entering> {
        let to = self.entrance(port, client)?;
        match decide(self, Use::Enter(Protocol::Tcp, DialSource::Client(client), to)).ok()? {
            Plane::Own | Plane::Pod(_) => {}
            Plane::Host => return None,
        }
        let listener = binding::listener(self.ports(), to)?;
        let present = |address| listener.family().present(address);
        let ends = Ends { local: present(to), remote: present(self.apparent_client(client, to.ip())) };
        let shares = Shares::of(self.account()).ok()?;
        Some(Entering { listener, ends, shares })
    }

    fn entrance(&self, port: u16, client: SocketAddr) -> Option<SocketAddr> {
        let own = self.address(Family::of(client.ip().to_canonical())).or_else(|| self.ips().first().copied())?;
        Some(SocketAddr::new(own, port))
    }
}

/// What a client of a host port finds.
struct Entering {
    listener: Arc<Listener>,
    ends: Ends,
    shares: Shares,
}

impl Target for PodNetwork {
    const CONNECTIONS_GO_ON: bool = false;

    type Stream = TcpStream;

    fn hand_over(
        &self,
        port: u16,
        client: SocketAddr,
        socket: tokio::net::TcpStream,
        place: Place,
    ) -> Result<(), (tokio::net::TcpStream, Place)> {
        let Some(entering) = self.enter_by(port, client) else {
            return Err((socket, place));
        };
        let Entering { listener, ends, shares } = entering;
        listener.admit_now((socket, place), |(socket, place)| {
            let visitor = HostVisitor::new(socket, place, ends, shares);
            visitor.inspect_err(|error| tracing::debug!(%error, port, "a client of a host port is lost")).ok()
        })
    }

    async fn dial(&self, port: u16, client: SocketAddr) -> Result<TcpStream, NetError> {
        let to = self.entrance(port, client).ok_or(NetError::RemoteUnreachable)?;
        Self::dial(self, to, DialSource::Client(client)).await
    }

    fn deliver(&self, port: u16, client: SocketAddr, bytes: Bytes) {
        let Some(to) = self.entrance(port, client) else {
            return;
        };
        if decide(self, Use::Enter(Protocol::Udp, DialSource::Client(client), to)).is_err() {
            return;
        }
        let Some(mailbox) = binding::mailbox(self.ports(), to) else {
            if let Some(wire) = self.wire().filter(|wire| wire.is_own()) {
                wire.forward(client, to, &bytes);
            }
            return;
        };
        let seen = self.apparent_client(client, to.ip());
        if seen != client {
            lock(self.masquerades()).remember(seen, client, self.node().limits().datagram_flows);
        }
        let traffic = self.account().traffic();
        traffic.received(bytes.len());
        if mailbox.deliver(seen, to.ip(), bytes) == Delivery::Lost {
            traffic.receive_dropped();
        }
    }
}
