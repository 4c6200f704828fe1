//! Policies as rules about packets, for a pod whose containers the kernel connects: it knows addresses and ports, but no
//! pods.
//!
//! What they allow is what [`evaluate`](super::evaluate) allows, as of the pods that there are; they are made anew when pods,
//! labels or policies change. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::evaluate::Peer;
use super::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyPortNumber, PolicyRule};
use crate::network::{PodIdentity, Protocol};

/// Which connections a pod may have with others. Its own, to itself, are always allowed, as is what belongs to a connection
/// that was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketFilter {
    /// What may come in. None: everything.
    pub ingress: Option<Vec<PacketRule>>,
    /// What may go out. None: everything.
    pub egress: Option<Vec<PacketRule>>,
    /// Where the node's own connections come from, which are always let in.
    pub node: Vec<IpAddr>,
}

/// Packets that are let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketRule {
    /// Where the other end is. None: anywhere.
    pub peers: Option<Vec<IpNet>>,
    /// The ports that are connected to. None: all, of all protocols.
    pub ports: Option<Vec<PacketPorts>>,
}

/// Ports of a protocol, from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PacketPorts {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// Another pod of the node, and its addresses.
pub(crate) type Other = (Arc<PodIdentity>, Vec<IpAddr>);

impl PacketFilter {
    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }
}

/// What the policies of `pod`'s namespace say of it. `node`: where the node's own connections come from.
pub(crate) fn filter(
    policies: &[NetworkPolicy],
    pod: &PodIdentity,
    others: &[Other],
    node: Vec<IpAddr>,
) -> PacketFilter {
    let selecting: Vec<_> = policies.iter().filter(|policy| policy.selects(pod)).collect();
    // None where no policy says anything of the direction.
    let direction = |rules: fn(&NetworkPolicy) -> Option<&[PolicyRule]>, of_rule: &OfRule<'_>| {
        let of_policy = |policy: &&NetworkPolicy| {
            let rules = rules(policy)?;
            Some(rules.iter().flat_map(|rule| of_rule(&policy.namespace, rule)).collect::<Vec<_>>())
        };
        let mut isolating = selecting.iter().filter_map(of_policy).peekable();
        isolating.peek().is_some().then(|| isolating.flatten().collect())
    };
    let ingress = direction(|policy| policy.ingress.as_deref(), &|namespace, rule| {
        let ports = ports(&rule.ports, Some(pod));
        packets(peers(rule, namespace, others), ports).into_iter().collect()
    });
    let egress = direction(|policy| policy.egress.as_deref(), &|namespace, rule| {
        let by_number = packets(peers(rule, namespace, others), ports(&rule.ports, None));
        by_number.into_iter().chain(by_name(rule, namespace, others)).collect()
    });
    PacketFilter { ingress, egress, node }
}

/// A rule, of a policy of this namespace, as packets.
type OfRule<'a> = dyn Fn(&str, &PolicyRule) -> Vec<PacketRule> + 'a;

/// None where nothing can match.
fn packets(peers: Option<Vec<IpNet>>, ports: Option<Vec<PacketPorts>>) -> Option<PacketRule> {
    let is_nothing = peers.as_ref().is_some_and(Vec::is_empty) || ports.as_ref().is_some_and(Vec::is_empty);
    (!is_nothing).then_some(PacketRule { peers, ports })
}

/// Where a rule's other end may be; None: anywhere.
fn peers(rule: &PolicyRule, namespace: &str, others: &[Other]) -> Option<Vec<IpNet>> {
    let of_peer = |peer: &PolicyPeer| match peer {
        PolicyPeer::Block { cidr, except } => without(cidr.trunc(), except),
        PolicyPeer::Pods { namespaces, pods } => {
            let is_meant =
                |(other, _): &&Other| namespaces.matches(namespace, &other.namespace) && pods.matches(&other.labels);
            others.iter().filter(is_meant).flat_map(|(_, ips)| ips).copied().map(IpNet::from).collect()
        }
    };
    let mut found: Vec<IpNet> = rule.peers.iter().flat_map(of_peer).collect();
    // Pods come in no order.
    found.sort();
    found.dedup();
    (!rule.peers.is_empty()).then_some(found)
}

/// A rule's ports; None: all. `receiver`: whose port names are meant, if they are known.
fn ports(ports: &[PolicyPort], receiver: Option<&PodIdentity>) -> Option<Vec<PacketPorts>> {
    let of_port = |port: &PolicyPort| -> Vec<PacketPorts> {
        let range = |first, last| PacketPorts { protocol: port.protocol, first, last };
        match &port.port {
            PolicyPortNumber::Any => vec![range(0, u16::MAX)],
            PolicyPortNumber::Range { first, last } => vec![range(*first, *last)],
            PolicyPortNumber::Named(name) => {
                let named = receiver.into_iter().flat_map(|pod| &pod.named_ports);
                let named = named.filter(|one| one.name == *name && one.protocol == port.protocol);
                named.map(|one| range(one.port, one.port)).collect()
            }
        }
    };
    (!ports.is_empty()).then(|| ports.iter().flat_map(of_port).collect())
}

/// What a rule lets out by the names that receivers have for ports: each pod has its own numbers.
fn by_name(rule: &PolicyRule, namespace: &str, others: &[Other]) -> Vec<PacketRule> {
    let is_name = |port: &&PolicyPort| matches!(port.port, PolicyPortNumber::Named(_));
    let names: Vec<_> = rule.ports.iter().filter(is_name).cloned().collect();
    if names.is_empty() {
        return Vec::new();
    }
    let of_pod = |other: &Other| {
        let ports = ports(&names, Some(&other.0))?;
        let means = |ip: &IpAddr| {
            rule.peers.is_empty() || rule.peers.iter().any(|peer| peer.matches(namespace, Peer::Pod(&other.0, *ip)))
        };
        let ips = other.1.iter().filter(|ip| means(ip)).copied().map(IpNet::from).collect();
        packets(Some(ips), Some(ports))
    };
    let mut found: Vec<_> = others.iter().filter_map(of_pod).collect();
    found.sort_by(|one, other| one.peers.cmp(&other.peers));
    found
}

/// A block as blocks without others.
fn without(block: IpNet, except: &[IpNet]) -> Vec<IpNet> {
    let mut left = Vec::new();
    let mut open = vec![block];
    while let Some(block) = open.pop() {
        if except.iter().any(|except| except.contains(&block)) {
            continue;
        }
        if !except.iter().any(|except| block.contains(except)) {
            left.push(block);
        } else if let Ok(halves) = block.subnets(block.prefix_len().saturating_add(1)) {
            // Something smaller is in one of them.
            open.extend(halves);
        }
    }
    left
}

#[cfg(test)]
mod tests;
