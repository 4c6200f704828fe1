//! NetworkPolicy objects, as the network keeps them.
//!
//! Validation has seen them. Where one still says something that cannot be carried over (an SCTP port), that is left
//! out, and a rule of which nothing else is left with it: it then allows less than it says, never more.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy as Object, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nacelle_infra::network::{
    NamespacePeers, NetworkPolicy, PolicyPeer, PolicyPort, PolicyPortNumber, PolicyRule, Protocol, Requirement,
    RequirementOperator, Selector,
};

/// What `object` says; a namespace that it does not name is `default`.
pub(crate) fn policy(object: &Object) -> NetworkPolicy {
    let metadata = &object.metadata;
    let namespace = metadata.namespace.clone().filter(|namespace| !namespace.is_empty());
    let name = metadata.name.clone().unwrap_or_default();
    let nothing = NetworkPolicySpec::default();
    let spec = object.spec.as_ref().unwrap_or(&nothing);
    let ingress = || {
        let all = spec.ingress.iter().flatten();
        rules(&name, all.map(|rule| (rule.from.as_deref(), rule.ports.as_deref())))
    };
    let egress = || {
        let all = spec.egress.iter().flatten();
        rules(&name, all.map(|rule| (rule.to.as_deref(), rule.ports.as_deref())))
    };
    NetworkPolicy {
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        pods: spec.pod_selector.as_ref().map(|pods| selector(pods).unwrap_or_else(none)).unwrap_or_default(),
        ingress: isolates(spec, "Ingress").then(ingress),
        egress: isolates(spec, "Egress").then(egress),
        name,
    }
}

/// Whether the policy speaks of a direction: where `policyTypes` is left out, of ingress always, and of egress when it
/// has rules for it.
fn isolates(spec: &NetworkPolicySpec, direction: &str) -> bool {
    match spec.policy_types.as_deref() {
        None | Some([]) => direction == "Ingress" || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        Some(types) => types.iter().any(|kind| kind == direction),
    }
}

type Rule<'a> = (Option<&'a [NetworkPolicyPeer]>, Option<&'a [NetworkPolicyPort]>);

fn rules<'a>(policy: &str, rules: impl Iterator<Item = Rule<'a>>) -> Vec<PolicyRule> {
    let mut kept = Vec::new();
    for (index, (peers, ports)) in rules.enumerate() {
        match (some(peers, peer), some(ports, port)) {
            (Some(peers), Some(ports)) => kept.push(PolicyRule { peers, ports }),
            _ => tracing::warn!(policy, rule = index, "the rule cannot be carried over, and allows nothing"),
        }
    }
    kept
}

/// What is to be had of a list. An absent or empty list means any; so `None` when nothing is left of one that was not.
fn some<A, B>(list: Option<&[A]>, one: impl Fn(&A) -> Option<B>) -> Option<Vec<B>> {
    let list = list.unwrap_or_default();
    let kept: Vec<B> = list.iter().filter_map(one).collect();
    (list.is_empty() || !kept.is_empty()).then_some(kept)
}

/// Each of a list, or `None` when one of them is not to be had.
fn all<A, B>(list: Option<&[A]>, one: impl Fn(&A) -> Option<B>) -> Option<Vec<B>> {
    list.unwrap_or_default().iter().map(one).collect()
}

fn peer(peer: &NetworkPolicyPeer) -> Option<PolicyPeer> {
    if let Some(IPBlock { cidr, except }) = &peer.ip_block {
        let except = all(except.as_deref(), |cidr| cidr.parse().ok())?;
        return Some(PolicyPeer::Block { cidr: cidr.parse().ok()?, except });
    }
    let namespaces = match &peer.namespace_selector {
        Some(namespaces) => NamespacePeers::Matching(selector(namespaces)?),
        None => NamespacePeers::Own,
    };
    let pods = match (&peer.pod_selector, &namespaces) {
        (Some(pods), _) => selector(pods)?,
        // All pods of the namespaces that match.
        (None, NamespacePeers::Matching(_)) => Selector::default(),
        // A peer that says nothing is nobody.
        (None, NamespacePeers::Own) => return None,
    };
    Some(PolicyPeer::Pods { namespaces, pods })
}

fn port(port: &NetworkPolicyPort) -> Option<PolicyPort> {
    let protocol = match port.protocol.as_deref() {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some(_) => return None,
    };
    let number = match &port.port {
        None => PolicyPortNumber::Any,
        Some(IntOrString::Int(first)) => {
            let last = port.end_port.unwrap_or(*first);
            PolicyPortNumber::Range { first: u16::try_from(*first).ok()?, last: u16::try_from(last).ok()? }
        }
        Some(IntOrString::String(name)) => PolicyPortNumber::Named(name.clone()),
    };
    Some(PolicyPort { protocol, port: number })
}

fn selector(selector: &LabelSelector) -> Option<Selector> {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| {
        let operator = RequirementOperator::In(BTreeSet::from([value.clone()]));
        Some(Requirement { key: key.clone(), operator })
    });
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let values = || expression.values.iter().flatten().cloned().collect();
        let operator = match expression.operator.as_str() {
            "In" => RequirementOperator::In(values()),
            "NotIn" => RequirementOperator::NotIn(values()),
            "Exists" => RequirementOperator::Exists,
            "DoesNotExist" => RequirementOperator::DoesNotExist,
            _ => return None,
        };
        Some(Requirement { key: expression.key.clone(), operator })
    });
    labels.chain(expressions).collect::<Option<_>>().map(Selector)
}

/// Selects nothing: no label has one of no values.
fn none() -> Selector {
    Selector(vec![Requirement { key: String::new(), operator: RequirementOperator::In(BTreeSet::new()) }])
}

#[cfg(test)]
mod tests;
