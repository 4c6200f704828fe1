//! A UDP socket as WASI defines it, for both versions: the network's, behind WASI's checks of arguments.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use nacelle_infra::network::{ContainerNetwork, Datagram, Family, NetError, UdpOptions, UdpSocket};

use super::address::{check_family, check_remote};
use super::shared::poll_twice;

/// More than any datagram can hold: what a length field of 16 bits can say.
const MAX_DATAGRAM: usize = 65_535;

/// A UDP socket of a guest.
#[derive(Debug)]
pub struct Udp(UdpSocket);

impl Udp {
    pub(super) fn new(network: &Arc<ContainerNetwork>, family: Family) -> Result<Self, NetError> {
        Ok(Self(network.udp_socket(family)?))
    }

    pub(super) fn family(&self) -> Family {
        self.0.family()
    }

    pub(super) fn is_bound(&self) -> bool {
        self.0.local_address().is_ok()
    }

    pub(super) fn bind(&mut self, local: SocketAddr) -> Result<(), NetError> {
        if self.is_bound() {
            return Err(NetError::InvalidState);
        }
        check_family(local.ip(), self.family())?;
        self.0.bind(local)
    }

    /// Makes `remote` the only peer.
    pub(super) fn connect(&mut self, remote: SocketAddr) -> Result<(), NetError> {
        check_family(remote.ip(), self.family())?;
        check_remote(remote)?;
        self.0.connect(Some(remote))
    }

    /// Lets any peer in again.
    pub(super) fn disconnect(&mut self) -> Result<(), NetError> {
        if self.0.remote_address().is_err() {
            return Err(NetError::InvalidState);
        }
        self.0.connect(None)
    }

    /// Sends a datagram. `false`: there is no room now.
    pub(super) fn try_send(&self, bytes: Bytes, remote: Option<SocketAddr>) -> Result<bool, NetError> {
        if bytes.len() > MAX_DATAGRAM {
            return Err(NetError::DatagramTooLarge);
        }
        let connected = self.0.remote_address().ok();
        match (remote, connected) {
            (Some(remote), connected) => {
                check_remote(remote)?;
                check_family(remote.ip(), self.family())?;
                if connected.is_some_and(|connected| connected != remote) {
                    return Err(NetError::InvalidArgument);
                }
            }
            (None, Some(_)) => {}
            (None, None) => return Err(NetError::InvalidArgument),
        }
        // A connected socket sends to its peer; naming it again is WASI's habit, not the network's.
        self.0.try_send(bytes, remote.filter(|_| connected.is_none()))
    }

    pub(super) fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_sendable(cx)
    }

    /// The next datagram, if there is one now. An unbound socket is in the wrong state.
    pub(super) fn try_receive(&self) -> Result<Option<Datagram>, NetError> {
        self.0.try_receive()
    }

    pub(super) fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_receivable(cx)
    }

    /// The next datagram.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<Datagram, NetError>> {
        poll_twice(cx, || self.try_receive().transpose(), |cx| self.poll_receivable(cx))
    }

    /// Sends a datagram when there is room.
    pub(super) fn poll_send(
        &self,
        bytes: &Bytes,
        remote: Option<SocketAddr>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NetError>> {
        let send = || match self.try_send(bytes.clone(), remote) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        };
        poll_twice(cx, send, |cx| self.poll_sendable(cx))
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, NetError> {
        self.0.local_address()
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, NetError> {
        self.0.remote_address()
    }

    pub(super) fn options(&self) -> UdpOptions {
        self.0.options()
    }

    pub(super) fn set_options(&mut self, change: impl FnOnce(&mut UdpOptions)) -> Result<(), NetError> {
        let mut options = self.0.options();
        change(&mut options);
        self.0.set_options(options)
    }
}
