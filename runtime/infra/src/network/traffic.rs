//! What crossed a pod's interface: the figures that Linux keeps for the `eth0` of a pod.
//!
//! | traffic | counts |
//! |---|---|
//! | between a pod's own containers, to its own addresses | no: on Linux it goes over `lo` |
//! | to and from another pod, in memory | at both pods, when it is handed over |
//! | to and from the world, by host sockets | when the kernel takes it, or gives it |
//! | from the node: probes, host ports | yes, but for what goes to the pod's loopback (port-forward) |
//!
//! There are no packets in memory. A write that was taken counts as one, as a datagram does, and so does what one read
//! of a host socket brought. Bytes are those that guests see, without headers.
//!
//! Counting is a few relaxed additions where bytes move, and nothing at all inside a pod.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::PodNetwork;

/// What crossed an interface in one direction. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionStats {
    /// Bytes.
    pub bytes: u64,
    /// Packets; see the module for what counts as one.
    pub packets: u64,
    /// What failed in the kernel.
    pub errors: u64,
    /// Datagrams that were lost because there was no room.
    pub dropped: u64,
}

/// What crossed a pod's interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStats {
    /// To the pod.
    pub received: DirectionStats,
    /// From the pod.
    pub transmitted: DirectionStats,
}

/// A pod's use of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStats {
    /// Its interface; `None` for a pod on the host's network, which has none of its own.
    pub interface: Option<InterfaceStats>,
    /// Sockets that are open in its containers.
    pub sockets: u32,
    /// Ends of connections that are open, those that wait to be accepted included.
    pub connections: u32,
}

/// The counters of one pod.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    received: Direction,
    transmitted: Direction,
}

#[derive(Debug, Default)]
struct Direction {
    bytes: AtomicU64,
    packets: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
}

impl Traffic {
    /// Something came to the pod.
    #[inline]
    pub(crate) fn received(&self, bytes: usize) {
        self.received.count(bytes);
    }

    /// Something left the pod.
    #[inline]
    pub(crate) fn transmitted(&self, bytes: usize) {
        self.transmitted.count(bytes);
    }

    /// Receiving failed.
    pub(crate) fn receive_failed(&self) {
        self.received.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Sending failed.
    pub(crate) fn transmit_failed(&self) {
        self.transmitted.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// A datagram came, and there was no room for it.
    pub(crate) fn receive_dropped(&self) {
        self.received.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> InterfaceStats {
        InterfaceStats { received: self.received.stats(), transmitted: self.transmitted.stats() }
    }
}

impl Direction {
    #[inline]
    fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.packets.fetch_add(1, Ordering::Relaxed);
    }

    fn stats(&self) -> DirectionStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DirectionStats {
            bytes: of(&self.bytes),
            packets: of(&self.packets),
            errors: of(&self.errors),
            dropped: of(&self.dropped),
        }
    }
}

/// What a connection counts in. `None` is who has no interface in between: the node, or both within one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crossing {
    pub(crate) client: Option<Arc<Traffic>>,
    pub(crate) server: Option<Arc<Traffic>>,
}

impl Crossing {
    /// From a pod to a pod, which may be the same.
    pub(crate) fn between(client: &Arc<PodNetwork>, server: &Arc<PodNetwork>) -> Self {
        if Arc::ptr_eq(client, server) {
            return Self::default();
        }
        let of = |pod: &PodNetwork| Some(Arc::clone(pod.account().traffic()));
        Self { client: of(client), server: of(server) }
    }

    /// From the node to an address of a pod.
    pub(crate) fn into(pod: &PodNetwork, to: IpAddr) -> Self {
        let server = (!to.is_loopback()).then(|| Arc::clone(pod.account().traffic()));
        Self { client: None, server }
    }
}

/// Counts what goes between two pods by another way than a socket.
#[derive(Clone, Debug)]
pub struct Meter(Crossing);

impl Meter {
    pub(crate) fn between(client: &Arc<PodNetwork>, server: &Arc<PodNetwork>) -> Self {
        Self(Crossing::between(client, server))
    }

    /// Something went from the client to the server, in bytes.
    pub fn sent(&self, bytes: usize) {
        crossed(self.0.client.as_ref(), self.0.server.as_ref(), bytes);
    }

    /// Something went from the server to the client, in bytes.
    pub fn answered(&self, bytes: usize) {
        crossed(self.0.server.as_ref(), self.0.client.as_ref(), bytes);
    }
}

/// Something went from the one to the other.
#[inline]
pub(crate) fn crossed(from: Option<&Arc<Traffic>>, to: Option<&Arc<Traffic>>, bytes: usize) {
    if let Some(from) = from {
        from.transmitted(bytes);
    }
    if let Some(to) = to {
        to.received(bytes);
    }
}
