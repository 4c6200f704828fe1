//! UDP sockets.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Family, NetError};

/// A UDP socket. Never blocks; any number of tasks may wait; a wake may be spurious.
#[derive(Debug)]
pub struct UdpSocket {}

#[derive(Debug)]
pub(crate) struct Mailbox {}

/// A datagram that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its bytes; may be none.
    pub bytes: Bytes,
    /// Who sent it.
    pub remote: SocketAddr,
}

/// Options of a UDP socket, with WASI's meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// IP_TTL, IPV6_UNICAST_HOPS.
    pub hop_limit: u8,
    /// SO_RCVBUF in bytes.
    pub receive_buffer: u64,
    /// SO_SNDBUF in bytes.
    pub send_buffer: u64,
}

impl UdpSocket {
    pub(crate) fn new(
        _pod: std::sync::Arc<super::PodNetwork>,
        _family: Family,
        _slot: super::owner::SocketSlot,
    ) -> Result<Self, NetError> {
        todo!()
    }

    /// The address family.
    pub fn family(&self) -> Family {
        todo!()
    }

    /// Binds to an address of the pod, or the wildcard; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// In use, not the pod's, bound already ([`NetError::InvalidState`]), of the other family.
    pub fn bind(&mut self, _local: SocketAddr) -> Result<(), NetError> {
        todo!()
    }

    /// Makes `remote` the only peer, or with none any peer again. Binds implicitly.
    ///
    /// # Errors
    ///
    /// Denied, unreachable, an address of the other family or without a port; disconnecting what is not connected.
    pub fn connect(&mut self, _remote: Option<SocketAddr>) -> Result<(), NetError> {
        todo!()
    }

    /// The next datagram; none: would block.
    ///
    /// # Errors
    ///
    /// [`NetError::ConnectionRefused`] where the peer of a connected socket has no receiver; unbound sockets.
    pub fn try_receive(&self) -> Result<Option<Datagram>, NetError> {
        todo!()
    }

    /// Ready when [`Self::try_receive`] has something to say.
    pub fn poll_receivable(&self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }

    /// Sends a datagram, to `remote` or the connected peer. False: would block. Binds implicitly.
    ///
    /// # Errors
    ///
    /// Too large, denied, no peer, a peer other than the connected one; an error that an earlier one brought back.
    pub fn try_send(&self, _bytes: Bytes, _remote: Option<SocketAddr>) -> Result<bool, NetError> {
        todo!()
    }

    /// Ready when [`Self::try_send`] would not block.
    pub fn poll_sendable(&self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidState`] if unbound.
    pub fn local_address(&self) -> Result<SocketAddr, NetError> {
        todo!()
    }

    /// The connected peer.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`].
    pub fn remote_address(&self) -> Result<SocketAddr, NetError> {
        todo!()
    }

    /// Its options.
    pub fn options(&self) -> UdpOptions {
        todo!()
    }

    /// Changes its options.
    ///
    /// # Errors
    ///
    /// [`NetError::InvalidArgument`] for zeros.
    pub fn set_options(&mut self, _options: UdpOptions) -> Result<(), NetError> {
        todo!()
    }
}
