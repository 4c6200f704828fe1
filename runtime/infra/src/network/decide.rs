//! The one function that every use of the network goes through: where it leads, or why it is not allowed.
//!
//! | to | leads |
//! |---|---|
//! | 127.0.0.0/8, ::1, the wildcard, an address of the pod | into the pod itself, always |
//! | multicast, broadcast; link-local | nowhere: denied |
//! | an address of a pod CIDR | to the pod that has it, if the egress rules of the one and the ingress rules of the other allow it |
//! | anything else | to the host's sockets, if the egress rules allow it and the pod has an address of that family |
//!
//! The host's own loopback is not in the table: its addresses are the pod's own. Further addresses on the host's loopback
//! device are denied. An IPv4 address inside an IPv6 one is
//! judged as what it is. A pod on the host's network is the host: everything leads to the host's sockets, and
//! NetworkPolicy objects say nothing of it, as in Kubernetes.
//!
//! Pure but for the look at who is attached. Must not open anything.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::policy::{Peer, egress_allowed, ingress_allowed};
use super::{DenyReason, DialSource, Family, NetError, NetworkMode, PodNetwork, Protocol};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// Take an address as one's own.
    Bind(IpAddr),
    /// Connect, or send a datagram.
    Open(Protocol, SocketAddr),
    /// Come in from outside.
    Enter(Protocol, DialSource, SocketAddr),
}

/// Where a use of the network leads.
#[derive(Clone, Debug)]
pub(crate) enum Plane {
    /// To the pod itself, in memory.
    Own,
    /// To another pod of the node, in memory.
    Pod(Arc<PodNetwork>),
    /// To the host's sockets.
    Host,
}

/// Whether and where `pod` may do something. [`NetError::AccessDenied`] says why not.
pub(crate) fn decide(pod: &PodNetwork, what: Use) -> Result<Plane, NetError> {
    if pod.mode() == NetworkMode::Host {
        return Ok(Plane::Host);
    }
    match what {
        Use::Bind(address) => bind(pod, address.to_canonical()),
        Use::Open(protocol, to) => open(pod, protocol, to.ip().to_canonical(), to.port()),
        Use::Enter(protocol, from, to) => enter(pod, protocol, from, to),
    }
}

fn bind(pod: &PodNetwork, address: IpAddr) -> Result<Plane, NetError> {
    if address.is_unspecified() || is_own(pod, address) { Ok(Plane::Own) } else { Err(NetError::AddressNotBindable) }
}

fn open(pod: &PodNetwork, protocol: Protocol, to: IpAddr, port: u16) -> Result<Plane, NetError> {
    if to.is_unspecified() || is_own(pod, to) {
        return Ok(Plane::Own);
    }
    if let Some(verdict) = special(to) {
        return Err(verdict);
    }
    let policies = pod.node().policies();
    let identity = pod.identity();
    if !pod.node().is_pod_address(to) {
        if pod.node().is_host_loopback(to) {
            return Err(NetError::AccessDenied(DenyReason::HostLoopback));
        }
        if pod.address(Family::of(to)).is_none() {
            return Err(NetError::RemoteUnreachable);
        }
        return if egress_allowed(policies.of(&identity.namespace), &identity, Peer::Address(to), port, protocol) {
            Ok(Plane::Host)
        } else {
            Err(NetError::AccessDenied(DenyReason::EgressPolicy))
        };
    }
    let peer = pod.node().pod_at(to).ok_or(NetError::RemoteUnreachable)?;
    let own = pod.address(Family::of(to)).ok_or(NetError::RemoteUnreachable)?;
    let peer_identity = peer.identity();
    if !egress_allowed(policies.of(&identity.namespace), &identity, Peer::Pod(&peer_identity, to), port, protocol) {
        return Err(NetError::AccessDenied(DenyReason::EgressPolicy));
    }
    if !ingress_allowed(
        policies.of(&peer_identity.namespace),
        &peer_identity,
        port,
        protocol,
        Peer::Pod(&identity, own),
    ) {
        return Err(NetError::AccessDenied(DenyReason::IngressPolicy));
    }
    Ok(Plane::Pod(peer))
}

fn enter(pod: &PodNetwork, protocol: Protocol, from: DialSource, to: SocketAddr) -> Result<Plane, NetError> {
    let address = to.ip().to_canonical();
    if !address.is_unspecified() && !is_own(pod, address) {
        return Err(NetError::RemoteUnreachable);
    }
    let source = match from {
        DialSource::Node => Peer::Node,
        DialSource::Client(client) if client.ip().to_canonical().is_loopback() => Peer::Node,
        // A Linux container of another pod, whose packets the kernel brought here.
        DialSource::Client(client) => match pod.node().pod_at(client.ip().to_canonical()) {
            Some(peer) => return open(&peer, protocol, address, to.port()),
            None if Some(client.ip()) == pod.node().gateway(Family::of(client.ip())) => Peer::Node,
            None => Peer::Address(client.ip().to_canonical()),
        },
    };
    let (policies, identity) = (pod.node().policies(), pod.identity());
    if ingress_allowed(policies.of(&identity.namespace), &identity, to.port(), protocol, source) {
        Ok(Plane::Own)
    } else {
        Err(NetError::AccessDenied(DenyReason::IngressPolicy))
    }
}

fn is_own(pod: &PodNetwork, address: IpAddr) -> bool {
    address.is_loopback() || pod.ips().contains(&address)
}

/// Addresses that lead nowhere from a pod.
fn special(to: IpAddr) -> Option<NetError> {
    let denied = |reason| Some(NetError::AccessDenied(reason));
    match to {
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => denied(DenyReason::Broadcast),
        IpAddr::V4(v4) if v4.is_link_local() => denied(DenyReason::LinkLocal),
        // "This network" (RFC 1122): no destination.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some(NetError::RemoteUnreachable),
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) if v6.is_multicast() => denied(DenyReason::Broadcast),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => denied(DenyReason::LinkLocal),
        IpAddr::V6(v6) => embedded(v6),
    }
}

/// IPv4 addresses inside IPv6 ones, which a translator on the way would unpack.
fn embedded(to: Ipv6Addr) -> Option<NetError> {
    match to.segments() {
        // IPv4-compatible (deprecated by RFC 4291).
        [0, 0, 0, 0, 0, 0, _, _] => Some(NetError::RemoteUnreachable),
        // NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            let v4 = IpAddr::from([a, b, c, d]);
            if v4.is_loopback() || v4.is_unspecified() {
                Some(NetError::AccessDenied(DenyReason::HostLoopback))
            } else {
                special(v4)
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NodeNetwork, NodeNetworkConfig, PodNetworkConfig, TcpSocket, TcpStream, UdpSocket};
    use super::*;
    use crate::budget::Budget;

    #[tokio::test]
    async fn aliases_on_the_hosts_loopback_are_not_reached() {
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let pod = node.attach(PodNetworkConfig::default(), Budget::unlimited()).await.unwrap();
        let outcome = |to: &str| decide(&pod, Use::Open(Protocol::Tcp, to.parse().unwrap())).map(drop);
        assert_eq!(outcome("192.0.2.1:80"), Ok(()));
        node.set_loopback_aliases(vec!["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(outcome("192.0.2.1:80"), Err(NetError::AccessDenied(DenyReason::HostLoopback)));
        assert_eq!(outcome("[::ffff:192.0.2.1]:80"), Err(NetError::AccessDenied(DenyReason::HostLoopback)));
        assert_eq!(outcome("198.51.100.1:80"), Ok(()));
    }

    #[tokio::test]
    async fn where_a_use_leads() {
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let config = |uid: &str, mode| PodNetworkConfig { uid: uid.into(), mode, ..PodNetworkConfig::default() };
        let attach = |config| node.attach(config, Budget::unlimited());
        let one = attach(config("one", NetworkMode::Virtual)).await.unwrap();
        let two = attach(config("two", NetworkMode::Virtual)).await.unwrap();
        let host = attach(config("host", NetworkMode::Host)).await.unwrap();
        let at = |ip: IpAddr| Use::Open(Protocol::Udp, SocketAddr::new(ip, 1));
        let (own, other) = (one.ips()[0], two.ips()[0]);
        for ip in [own, "127.9.9.9".parse().unwrap(), "::1".parse().unwrap(), "0.0.0.0".parse().unwrap()] {
            assert!(matches!(decide(&one, at(ip)), Ok(Plane::Own)), "{ip}");
            assert!(matches!(decide(&host, at(ip)), Ok(Plane::Host)), "{ip}");
        }
        assert!(matches!(decide(&one, at(other)), Ok(Plane::Pod(pod)) if Arc::ptr_eq(&pod, &two)));
        assert!(matches!(decide(&one, Use::Bind(own)), Ok(Plane::Own)));
        assert!(matches!(decide(&one, Use::Bind(other)), Err(NetError::AddressNotBindable)));
        let enter = |to| Use::Enter(Protocol::Tcp, DialSource::Node, SocketAddr::new(to, 1));
        assert!(matches!(decide(&one, enter(own)), Ok(Plane::Own)));
        assert!(matches!(decide(&one, enter(other)), Err(NetError::RemoteUnreachable)));
    }

    #[test]
    fn sockets_can_be_used_from_any_thread() {
        fn any_thread<T: Send + Sync>() {}
        any_thread::<(TcpSocket, TcpStream, UdpSocket, Arc<PodNetwork>)>();
    }
}
