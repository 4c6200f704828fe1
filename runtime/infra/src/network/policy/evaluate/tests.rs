//! The examples of Kubernetes' documentation, and what holds for all policies.

use proptest::prelude::*;

use super::super::{NamespacePeers, Requirement, RequirementOperator, Selector};
use super::*;
use crate::network::NamedPort;

fn labelled(pairs: &[(&str, &str)]) -> Selector {
    let requirement = |(key, value): &(&str, &str)| Requirement {
        key: (*key).to_owned(),
        operator: RequirementOperator::In([(*value).to_owned()].into()),
    };
    Selector(pairs.iter().map(requirement).collect())
}

pub(crate) fn pod(namespace: &str, name: &str, labels: &[(&str, &str)]) -> PodIdentity {
    PodIdentity {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        named_ports: Vec::new(),
    }
}

pub(crate) fn policy(
    pods: Selector,
    ingress: Option<Vec<PolicyRule>>,
    egress: Option<Vec<PolicyRule>>,
) -> NetworkPolicy {
    NetworkPolicy { namespace: "default".to_owned(), name: "test".to_owned(), pods, ingress, egress }
}

fn own(labels: &[(&str, &str)]) -> PolicyPeer {
    PolicyPeer::Pods { namespaces: NamespacePeers::Own, pods: labelled(labels) }
}

pub(crate) fn block(cidr: &str, except: &[&str]) -> PolicyPeer {
    let except = except.iter().map(|cidr| cidr.parse().unwrap()).collect();
    PolicyPeer::Block { cidr: cidr.parse().unwrap(), except }
}

fn tcp(first: u16, last: u16) -> PolicyPort {
    PolicyPort { protocol: Protocol::Tcp, port: PolicyPortNumber::Range { first, last } }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const POD_IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 87, 0, 7));

/// "test-network-policy" of the documentation's first example.
fn documented() -> Vec<NetworkPolicy> {
    let namespaces = NamespacePeers::Matching(labelled(&[("kubernetes.io/metadata.name", "myproject")]));
    let ingress = PolicyRule {
        peers: vec![
            block("172.17.0.0/16", &["172.17.1.0/24"]),
            PolicyPeer::Pods { namespaces, pods: Selector::default() },
            own(&[("role", "frontend")]),
        ],
        ports: vec![tcp(6379, 6379)],
    };
    let egress = PolicyRule { peers: vec![block("10.0.0.0/24", &[])], ports: vec![tcp(5978, 5978)] };
    vec![policy(labelled(&[("role", "db")]), Some(vec![ingress]), Some(vec![egress]))]
}

#[test]
fn the_documentations_example_lets_in_what_it_says() {
    let policies = documented();
    let db = pod("default", "db-0", &[("role", "db")]);
    let frontend = pod("default", "front", &[("role", "frontend")]);
    let stranger = pod("default", "other", &[]);
    let other_frontend = pod("elsewhere", "front", &[("role", "frontend")]);
    let project = pod("myproject", "any", &[]);
    let table = [
        (Peer::Pod(&frontend, POD_IP), 6379, true),
        (Peer::Pod(&frontend, POD_IP), 6380, false),
        (Peer::Pod(&stranger, POD_IP), 6379, false),
        (Peer::Pod(&other_frontend, POD_IP), 6379, false),
        (Peer::Pod(&project, POD_IP), 6379, true),
        (Peer::Address(ip("172.17.0.5")), 6379, true),
        (Peer::Address(ip("::ffff:172.17.0.5")), 6379, true),
        (Peer::Address(ip("172.17.1.5")), 6379, false),
        (Peer::Address(ip("172.18.0.5")), 6379, false),
        // A pod has an address, too.
        (Peer::Pod(&stranger, ip("172.17.2.2")), 6379, true),
        (Peer::Node, 1, true),
        (Peer::Pod(&db, POD_IP), 1, true),
    ];
    for (peer, port, expected) in table {
        assert_eq!(ingress_allowed(&policies, &db, port, Protocol::Tcp, peer), expected, "{peer:?} {port}");
    }
    assert!(!ingress_allowed(&policies, &db, 6379, Protocol::Udp, Peer::Pod(&frontend, POD_IP)));
    // Neither a pod with other labels nor one of another namespace is isolated.
    assert!(ingress_allowed(&policies, &frontend, 1, Protocol::Tcp, Peer::Pod(&stranger, POD_IP)));
    let other_db = pod("elsewhere", "db-0", &[("role", "db")]);
    assert!(ingress_allowed(&policies, &other_db, 1, Protocol::Tcp, Peer::Pod(&stranger, POD_IP)));
}

#[test]
fn the_documentations_example_lets_out_what_it_says() {
    let policies = documented();
    let db = pod("default", "db-0", &[("role", "db")]);
    let frontend = pod("default", "front", &[("role", "frontend")]);
    let allowed = |peer, port| egress_allowed(&policies, &db, peer, port, Protocol::Tcp);
    assert!(allowed(Peer::Address(ip("10.0.0.9")), 5978));
    assert!(!allowed(Peer::Address(ip("10.0.0.9")), 5979));
    assert!(!allowed(Peer::Address(ip("10.0.1.9")), 5978));
    assert!(!allowed(Peer::Pod(&frontend, POD_IP), 5978));
    assert!(allowed(Peer::Pod(&db, POD_IP), 80));
    assert!(egress_allowed(&policies, &frontend, Peer::Address(ip("10.0.1.9")), 80, Protocol::Tcp));
}

/// "Behavior of `to` and `from` selectors": one peer with both selectors is an "and", two peers are an "or".
#[test]
fn selectors_in_one_peer_must_both_match() {
    let alice = || labelled(&[("kubernetes.io/metadata.name", "alice")]);
    let both =
        vec![PolicyPeer::Pods { namespaces: NamespacePeers::Matching(alice()), pods: labelled(&[("role", "client")]) }];
    let either = vec![
        PolicyPeer::Pods { namespaces: NamespacePeers::Matching(alice()), pods: Selector::default() },
        own(&[("role", "client")]),
    ];
    let server = pod("default", "server", &[]);
    let sources = [
        pod("alice", "a", &[("role", "client")]),
        pod("alice", "b", &[]),
        pod("default", "c", &[("role", "client")]),
        pod("default", "d", &[]),
    ];
    for (peers, expected) in [(both, [true, false, false, false]), (either, [true, true, true, false])] {
        let policies = [policy(Selector::default(), Some(vec![PolicyRule { peers, ports: Vec::new() }]), None)];
        let results = sources
            .each_ref()
            .map(|source| ingress_allowed(&policies, &server, 80, Protocol::Tcp, Peer::Pod(source, POD_IP)));
        assert_eq!(results, expected);
    }
}

/// The documentation's "default policies".
#[test]
fn default_policies_deny_or_allow_one_direction() {
    let a = pod("default", "a", &[]);
    let b = pod("default", "b", &[]);
    let both = |policies: &[NetworkPolicy]| {
        let peer = Peer::Pod(&b, POD_IP);
        [ingress_allowed(policies, &a, 80, Protocol::Tcp, peer), egress_allowed(policies, &a, peer, 80, Protocol::Tcp)]
    };
    let everything = Selector::default;
    let any = || vec![PolicyRule::default()];
    let deny_ingress = policy(everything(), Some(Vec::new()), None);
    assert_eq!(both(&[]), [true, true]);
    assert_eq!(both(std::slice::from_ref(&deny_ingress)), [false, true]);
    assert_eq!(both(&[policy(everything(), Some(any()), None)]), [true, true]);
    assert_eq!(both(&[policy(everything(), None, Some(Vec::new()))]), [true, false]);
    assert_eq!(both(&[policy(everything(), None, Some(any()))]), [true, true]);
    assert_eq!(both(&[policy(everything(), Some(Vec::new()), Some(Vec::new()))]), [false, false]);
    // Policies add up: one that allows everything cannot be narrowed by another.
    assert_eq!(both(&[deny_ingress, policy(everything(), Some(any()), None)]), [true, true]);
}

/// The documentation's "targeting a range of ports".
#[test]
fn a_range_of_ports_includes_both_ends() {
    let rule = PolicyRule { peers: vec![block("10.0.0.0/24", &[])], ports: vec![tcp(32000, 32768)] };
    let policies = [policy(labelled(&[("role", "db")]), None, Some(vec![rule]))];
    let db = pod("default", "db", &[("role", "db")]);
    for (port, expected) in [(31999, false), (32000, true), (32500, true), (32768, true), (32769, false)] {
        let peer = Peer::Address(ip("10.0.0.1"));
        assert_eq!(egress_allowed(&policies, &db, peer, port, Protocol::Tcp), expected, "{port}");
    }
}

#[test]
fn a_named_port_is_what_the_receiver_calls_so() {
    let web = |protocol| PolicyPort { protocol, port: PolicyPortNumber::Named("web".to_owned()) };
    let rules = || vec![PolicyRule { peers: Vec::new(), ports: vec![web(Protocol::Tcp)] }];
    let policies = [policy(Selector::default(), Some(rules()), Some(rules()))];
    let named = |name: &str, port| PodIdentity {
        named_ports: vec![
            NamedPort { name: "web".to_owned(), protocol: Protocol::Tcp, port },
            NamedPort { name: "web".to_owned(), protocol: Protocol::Udp, port: 53 },
        ],
        ..pod("default", name, &[])
    };
    let (a, b) = (named("a", 8080), named("b", 9090));
    let to_b = |port| {
        [
            egress_allowed(&policies, &a, Peer::Pod(&b, POD_IP), port, Protocol::Tcp),
            ingress_allowed(&policies, &b, port, Protocol::Tcp, Peer::Pod(&a, POD_IP)),
        ]
    };
    assert_eq!(to_b(9090), [true, true]);
    assert_eq!(to_b(8080), [false, false]);
    assert_eq!(to_b(53), [false, false]);
    // What is no pod has no names for its ports.
    assert!(!egress_allowed(&policies, &a, Peer::Address(ip("192.0.2.1")), 8080, Protocol::Tcp));
}

fn a_selector() -> impl Strategy<Value = Selector> {
    let value = || prop::sample::select(vec!["x", "y"]).prop_map(str::to_owned);
    let operator = prop_oneof![
        prop::collection::btree_set(value(), 1..3).prop_map(RequirementOperator::In),
        prop::collection::btree_set(value(), 1..3).prop_map(RequirementOperator::NotIn),
        Just(RequirementOperator::Exists),
        Just(RequirementOperator::DoesNotExist),
    ];
    let key = prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned);
    let requirement = (key, operator).prop_map(|(key, operator)| Requirement { key, operator });
    prop::collection::vec(requirement, 0..3).prop_map(Selector)
}

fn a_rule() -> impl Strategy<Value = PolicyRule> {
    let namespaces = prop_oneof![
        Just(NamespacePeers::Own),
        Just(NamespacePeers::Matching(Selector::default())),
        Just(NamespacePeers::Matching(labelled(&[("kubernetes.io/metadata.name", "other")]))),
    ];
    let peer = prop_oneof![
        (0_u8..=32).prop_map(|length| block(&format!("10.87.0.0/{length}"), &[])),
        (namespaces, a_selector()).prop_map(|(namespaces, pods)| PolicyPeer::Pods { namespaces, pods }),
    ];
    let port = (1_u16..4, 0_u16..3).prop_map(|(first, more)| tcp(first, first + more));
    (prop::collection::vec(peer, 0..3), prop::collection::vec(port, 0..3))
        .prop_map(|(peers, ports)| PolicyRule { peers, ports })
}

pub(crate) fn a_policy() -> impl Strategy<Value = NetworkPolicy> {
    let rules = || prop::option::of(prop::collection::vec(a_rule(), 0..3));
    (a_selector(), rules(), rules()).prop_map(|(pods, ingress, egress)| policy(pods, ingress, egress))
}

pub(crate) fn a_pod(name: &'static str) -> impl Strategy<Value = PodIdentity> {
    let value = || prop::option::of(prop::sample::select(vec!["x", "y"]));
    (prop::sample::select(vec!["default", "other"]), value(), value()).prop_map(move |(namespace, a, b)| {
        let labels: Vec<_> = [("a", a), ("b", b)].into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
        pod(namespace, name, &labels)
    })
}

proptest! {
    #[test]
    fn one_more_rule_never_denies(
        mut policies in prop::collection::vec(a_policy(), 1..4),
        which in any::<prop::sample::Index>(),
        rule in a_rule(),
        (pod, other) in (a_pod("pod"), a_pod("other")),
        port in 1_u16..6,
    ) {
        let peer = Peer::Pod(&other, POD_IP);
        let both = |policies: &[NetworkPolicy]| [
            ingress_allowed(policies, &pod, port, Protocol::Tcp, peer),
            egress_allowed(policies, &pod, peer, port, Protocol::Tcp),
        ];
        let before = both(&policies);
        let changed = which.get_mut(&mut policies);
        for rules in [&mut changed.ingress, &mut changed.egress].into_iter().flatten() {
            rules.push(rule.clone());
        }
        let after = both(&policies);
        prop_assert!(before.iter().zip(after).all(|(before, after)| !before || after));
    }

    #[test]
    fn without_a_policy_that_selects_the_pod_all_is_allowed(
        policies in prop::collection::vec(a_policy(), 0..4),
        (pod, other) in (a_pod("pod"), a_pod("other")),
        port: u16,
    ) {
        let policies: Vec<_> = policies.into_iter().filter(|policy| !policy.selects(&pod)).collect();
        let peer = Peer::Pod(&other, POD_IP);
        prop_assert!(ingress_allowed(&policies, &pod, port, Protocol::Tcp, peer));
        prop_assert!(egress_allowed(&policies, &pod, peer, port, Protocol::Tcp));
    }

    #[test]
    fn the_order_of_policies_does_not_matter(
        mut policies in prop::collection::vec(a_policy(), 0..4),
        (pod, other) in (a_pod("pod"), a_pod("other")),
        port in 1_u16..6,
    ) {
        let allowed = |policies: &[NetworkPolicy]| {
            ingress_allowed(policies, &pod, port, Protocol::Tcp, Peer::Pod(&other, POD_IP))
        };
        let before = allowed(&policies);
        policies.reverse();
        prop_assert_eq!(before, allowed(&policies));
    }
}
