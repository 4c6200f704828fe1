//! Whether the policies of a node allow a connection, or a datagram.

use std::net::IpAddr;

use super::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyPortNumber, PolicyRule};
use crate::network::{PodIdentity, Protocol};

/// The other end, as seen from the pod that is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer<'a> {
    /// A pod of this node, at one of its addresses.
    Pod(&'a PodIdentity, IpAddr),
    /// Anything outside.
    Address(IpAddr),
    /// The node itself, as the source of a connection: probes, port-forward.
    Node,
}

/// Whether `source` may open a connection to `port` of the pod `to`.
pub(crate) fn ingress_allowed(
    policies: &[NetworkPolicy],
    to: &PodIdentity,
    port: u16,
    protocol: Protocol,
    source: Peer<'_>,
) -> bool {
    if matches!(source, Peer::Node) {
        return true;
    }
    allowed(
        policies,
        |policy| policy.ingress.as_deref(),
        to,
        source,
        |ports| port_matches(ports, Some(to), port, protocol),
    )
}

/// Whether the pod `from` may open a connection to `port` of `destination`. The node is a destination like any other
/// address, [`Peer::Address`].
pub(crate) fn egress_allowed(
    policies: &[NetworkPolicy],
    from: &PodIdentity,
    destination: Peer<'_>,
    port: u16,
    protocol: Protocol,
) -> bool {
    // A port's name is what the receiver calls it; what is no pod has no names.
    let receiver = match destination {
        Peer::Pod(pod, _) => Some(pod),
        Peer::Address(_) | Peer::Node => None,
    };
    allowed(
        policies,
        |policy| policy.egress.as_deref(),
        from,
        destination,
        |ports| port_matches(ports, receiver, port, protocol),
    )
}

/// `rules`: a policy's rules for the direction. None: it does not isolate in this direction.
fn allowed<'p>(
    policies: &'p [NetworkPolicy],
    rules: impl Fn(&'p NetworkPolicy) -> Option<&'p [PolicyRule]>,
    pod: &PodIdentity,
    peer: Peer<'_>,
    ports_match: impl Fn(&[PolicyPort]) -> bool,
) -> bool {
    if let Peer::Pod(other, _) = peer
        && (&other.namespace, &other.name) == (&pod.namespace, &pod.name)
    {
        // The pod itself.
        return true;
    }
    let mut isolated = false;
    for policy in policies.iter().filter(|policy| policy.selects(pod)) {
        let Some(rules) = rules(policy) else { continue };
        isolated = true;
        let matches = |rule: &PolicyRule| {
            ports_match(&rule.ports)
                && (rule.peers.is_empty() || rule.peers.iter().any(|one| one.matches(&policy.namespace, peer)))
        };
        if rules.iter().any(matches) {
            return true;
        }
    }
    !isolated
}

impl NetworkPolicy {
    pub(super) fn selects(&self, pod: &PodIdentity) -> bool {
        self.namespace == pod.namespace && self.pods.matches(&pod.labels)
    }
}

impl PolicyPeer {
    pub(super) fn matches(&self, own_namespace: &str, peer: Peer<'_>) -> bool {
        match (self, peer) {
            // Kubernetes leaves open whether a block means pods, too: here it does, by the address they have.
            (Self::Block { cidr, except }, Peer::Pod(_, ip) | Peer::Address(ip)) => {
                let ip = ip.to_canonical();
                cidr.contains(&ip) && !except.iter().any(|except| except.contains(&ip))
            }
            (Self::Pods { namespaces, pods }, Peer::Pod(pod, _)) => {
                namespaces.matches(own_namespace, &pod.namespace) && pods.matches(&pod.labels)
            }
            (Self::Pods { .. }, Peer::Address(_)) | (_, Peer::Node) => false,
        }
    }
}

/// `receiver`: the pod whose port it is, if it is a pod's.
fn port_matches(ports: &[PolicyPort], receiver: Option<&PodIdentity>, port: u16, protocol: Protocol) -> bool {
    let matches = |one: &PolicyPort| {
        one.protocol == protocol
            && match &one.port {
                PolicyPortNumber::Any => true,
                PolicyPortNumber::Range { first, last } => (*first..=*last).contains(&port),
                PolicyPortNumber::Named(name) => receiver.is_some_and(|pod| {
                    let named = |one: &crate::network::NamedPort| (one.protocol, one.port) == (protocol, port);
                    pod.named_ports.iter().any(|one| one.name == *name && named(one))
                }),
            }
    };
    ports.is_empty() || ports.iter().any(matches)
}

#[cfg(test)]
pub(super) mod tests;
