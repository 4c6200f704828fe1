//! Whether and how a container may ask a name server.

use std::net::SocketAddr;
use std::sync::Arc;

use super::decide::{Plane, Use, decide};
use super::owner::Owner;
use super::policy::{Peer, egress_allowed};
use super::resolver::{Reach, Way};
use super::{DenyReason, Family, NetError, NetworkMode, PodNetwork, Protocol, TcpSocket, UdpSocket};

/// A container that looks a name up. Its queries to other pods leave by sockets of its own, and count as such.
pub(super) struct Lookup {
    pod: Arc<PodNetwork>,
    owner: Arc<Owner>,
}

impl Lookup {
    pub(super) fn new(pod: &Arc<PodNetwork>, owner: &Arc<Owner>) -> Arc<Self> {
        Arc::new(Self { pod: Arc::clone(pod), owner: Arc::clone(owner) })
    }

    /// A name server on the host's loopback or link is no place that a pod can reach, but the host asks it for the pod.
    /// Policies have their say as of any address.
    fn host_stub(&self, protocol: Protocol, server: SocketAddr) -> Result<Way, DenyReason> {
        let peer = Peer::Address(server.ip());
        let (policies, identity) = (self.pod.node().policies(), self.pod.identity());
        if egress_allowed(policies.of(&identity.namespace), &identity, peer, server.port(), protocol) {
            Ok(Way::Host)
        } else {
            Err(DenyReason::EgressPolicy)
        }
    }
}

impl Reach for Lookup {
    fn way(&self, protocol: Protocol, server: SocketAddr) -> Result<Way, DenyReason> {
        if self.pod.mode() == NetworkMode::Virtual && self.pod.resolver().is_host_stub(server.ip()) {
            return self.host_stub(protocol, server);
        }
        match decide(&self.pod, Use::Open(protocol, server)) {
            Ok(Plane::Host) => Ok(Way::Host),
            Ok(Plane::Own | Plane::Pod(_)) => Ok(Way::Inside),
            Err(NetError::AccessDenied(reason)) => Err(reason),
            // No pod has the address now: asked inside, the server is found to be unreachable.
            Err(_) => Ok(Way::Inside),
        }
    }

    fn udp_socket(&self, family: Family) -> Result<UdpSocket, NetError> {
        UdpSocket::new(Arc::clone(&self.pod), family, self.owner.slot()?)
    }

    fn tcp_socket(&self, family: Family) -> Result<TcpSocket, NetError> {
        Ok(TcpSocket::new(Arc::clone(&self.pod), family, self.owner.slot()?))
    }
}

#[cfg(test)]
mod tests;
