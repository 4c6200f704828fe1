//! What comes into a pod through the ports of the host.
//!
//! The pod sees the client's own address. One that means something else inside a pod, the host's loopback, or that is of
//! a family the pod does not have, appears as the node's address among the pods, as a node's masquerading does it.
//! Datagrams need the way back: which clients are behind the node's address, a bounded number of them.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::binding;
use super::decide::{Use, decide};
use super::host_port::{Reply, Target};
use super::sync::lock;
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

    fn entrance(&self, port: u16, client: SocketAddr) -> Option<SocketAddr> {
        let own = self.address(Family::of(client.ip().to_canonical())).or_else(|| self.ips().first().copied())?;
        Some(SocketAddr::new(own, port))
    }
}

impl Target for PodNetwork {
    const CONNECTIONS_GO_ON: bool = false;

    type Stream = TcpStream;

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
