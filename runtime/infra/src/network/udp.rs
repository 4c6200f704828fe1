//! UDP: sockets, the mailboxes that datagrams wait in, and the way to the outside.
//!
//! [`socket`] is what a guest drives: in memory, with [`outside`] for what leaves the node. [`mailbox`] is where
//! datagrams from this node arrive. [`host`] is a socket of the host.

mod host;
mod mailbox;
mod memory;
mod outside;
mod socket;

use bytes::Bytes;
use std::net::SocketAddr;

pub(crate) use mailbox::{Delivery, Mailbox};
pub use socket::UdpSocket;

use super::limits::{BufferBounds, NetworkLimits};
use super::{Family, NetError};

/// A datagram that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its bytes; may be none.
    pub bytes: Bytes,
    /// Who sent it.
    pub remote: SocketAddr,
}

/// Options of a UDP socket, with WASI's meanings. In memory only the receive buffer has an effect; the others hold for
/// what leaves the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// IP_TTL, IPV6_UNICAST_HOPS.
    pub hop_limit: u8,
    /// SO_RCVBUF in bytes, as asked for: what may wait, with an overhead for each datagram.
    pub receive_buffer: u64,
    /// SO_SNDBUF in bytes, as asked for. In memory nothing waits to be sent.
    pub send_buffer: u64,
}

impl UdpOptions {
    fn new(limits: &NetworkLimits) -> Self {
        let buffer = BufferBounds::DATAGRAMS.clamp(limits.datagram_bytes as u64) as u64;
        Self { hop_limit: 64, receive_buffer: buffer, send_buffer: buffer }
    }

    fn checked(mut self) -> Result<Self, NetError> {
        if self.hop_limit == 0 || self.receive_buffer == 0 || self.send_buffer == 0 {
            return Err(NetError::InvalidArgument);
        }
        self.receive_buffer = BufferBounds::DATAGRAMS.clamp(self.receive_buffer) as u64;
        self.send_buffer = BufferBounds::DATAGRAMS.clamp(self.send_buffer) as u64;
        Ok(self)
    }

    fn receive_bound(&self) -> usize {
        BufferBounds::DATAGRAMS.clamp(self.receive_buffer)
    }
}

/// The most that a datagram holds: 64 KiB less the headers.
const fn max_datagram(family: Family) -> usize {
    match family {
        Family::V4 => 65_507,
        Family::V6 => 65_527,
    }
}
