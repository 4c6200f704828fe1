//! That packets are let through exactly where a connection is allowed.

use proptest::prelude::*;

use super::super::evaluate::tests::{a_pod, a_policy, block, pod, policy};
use super::super::evaluate::{egress_allowed, ingress_allowed};
use super::super::{NamespacePeers, Selector};
use super::*;
use crate::network::NamedPort;

fn lets_through(rules: Option<&[PacketRule]>, ip: IpAddr, protocol: Protocol, port: u16) -> bool {
    let matches = |rule: &PacketRule| {
        rule.peers.as_ref().is_none_or(|peers| peers.iter().any(|block| block.contains(&ip)))
            && rule.ports.as_ref().is_none_or(|ports| {
                ports.iter().any(|ports| ports.protocol == protocol && (ports.first..=ports.last).contains(&port))
            })
    };
    rules.is_none_or(|rules| rules.iter().any(matches))
}

fn ip(last: u8) -> IpAddr {
    [10, 87, 0, last].into()
}

/// Two names for two numbers, in one order or the other.
fn with_ports(mut pod: PodIdentity, turned: bool) -> PodIdentity {
    let numbers = if turned { [2, 1] } else { [1, 2] };
    let name = |(name, port): (&str, u16)| NamedPort { name: name.to_owned(), protocol: Protocol::Tcp, port };
    pod.named_ports = ["one", "two"].into_iter().zip(numbers).map(name).collect();
    pod
}

fn with_names(mut policy: NetworkPolicy, name: Option<&str>) -> NetworkPolicy {
    let Some(name) = name else { return policy };
    let named = PolicyPort { protocol: Protocol::Tcp, port: PolicyPortNumber::Named(name.to_owned()) };
    for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
        rules.iter_mut().for_each(|rule| rule.ports.push(named.clone()));
    }
    policy
}

proptest! {
    #[test]
    fn packets_are_let_through_where_a_connection_is_allowed(
        policies in prop::collection::vec((a_policy(), prop::option::of(prop::sample::select(vec!["one", "two"]))), 0..4),
        (me, other, third) in (a_pod("pod"), a_pod("other"), a_pod("third")),
        turned: [bool; 3],
        port in 1_u16..6,
        udp: bool,
    ) {
        let policies: Vec<_> = policies.into_iter().map(|(policy, name)| with_names(policy, name)).collect();
        let [me, other, third] = [(me, turned[0]), (other, turned[1]), (third, turned[2])]
            .map(|(pod, turned)| Arc::new(with_ports(pod, turned)));
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        let others = [(Arc::clone(&other), vec![ip(7)]), (Arc::clone(&third), vec![ip(200)])];
        // All are of one namespace's policies, as their names say.
        let own: Vec<_> = policies.iter().filter(|policy| policy.namespace == me.namespace).cloned().collect();
        let filter = filter(&own, &me, &others, Vec::new());
        for (peer, address) in [
            (Peer::Pod(&other, ip(7)), ip(7)),
            (Peer::Pod(&third, ip(200)), ip(200)),
            (Peer::Address(ip(66)), ip(66)),
            (Peer::Address([192, 0, 2, 1].into()), [192, 0, 2, 1].into()),
        ] {
            prop_assert_eq!(
                lets_through(filter.ingress.as_deref(), address, protocol, port),
                ingress_allowed(&own, &me, port, protocol, peer),
                "from {} by {:?}", address, &filter.ingress
            );
            prop_assert_eq!(
                lets_through(filter.egress.as_deref(), address, protocol, port),
                egress_allowed(&own, &me, peer, port, protocol),
                "to {} by {:?}", address, &filter.egress
            );
        }
    }

    #[test]
    fn a_block_without_others_is_what_is_left(
        length in 20_u8..=32,
        except in prop::collection::vec((any::<u16>(), 18_u8..=32), 0..4),
        probe: u16,
    ) {
        let address = |low: u16| IpAddr::from([10, 87, low.to_be_bytes()[0], low.to_be_bytes()[1]]);
        let whole = IpNet::new(address(0), length).unwrap().trunc();
        let except: Vec<_> = except.into_iter().map(|(low, length)| IpNet::new(address(low), length).unwrap().trunc()).collect();
        let left = without(whole, &except);
        let ip = address(probe);
        let expected = whole.contains(&ip) && !except.iter().any(|except| except.contains(&ip));
        prop_assert_eq!(left.iter().any(|block| block.contains(&ip)), expected);
    }
}

#[test]
fn a_pod_that_no_policy_selects_is_open() {
    let me = pod("default", "me", &[]);
    assert!(filter(&[], &me, &[], Vec::new()).is_open());
    let silent = policy(Selector::default(), None, None);
    assert!(filter(&[silent], &me, &[], Vec::new()).is_open());
    let closed = policy(Selector::default(), Some(Vec::new()), None);
    let closed = filter(&[closed], &me, &[], vec![ip(1)]);
    assert_eq!(closed, PacketFilter { ingress: Some(Vec::new()), egress: None, node: vec![ip(1)] });
}

#[test]
fn a_rule_whose_pods_are_not_there_lets_nobody_in() {
    let me = pod("default", "me", &[]);
    let nobody = PolicyPeer::Pods { namespaces: NamespacePeers::Own, pods: Selector::default() };
    let rule = |peers| PolicyRule { peers, ports: Vec::new() };
    let rules = vec![rule(vec![nobody]), rule(vec![block("10.0.0.0/8", &["10.0.0.0/8"])])];
    let filter = filter(&[policy(Selector::default(), Some(rules), None)], &me, &[], Vec::new());
    assert_eq!(filter.ingress, Some(Vec::new()));
}

#[test]
fn whole_families_can_be_halved() {
    let halves = without("0.0.0.0/0".parse().unwrap(), &["0.0.0.0/1".parse().unwrap()]);
    assert_eq!(halves, ["128.0.0.0/1".parse().unwrap()]);
    let many = without("::/0".parse().unwrap(), &["::1/128".parse().unwrap()]);
    assert_eq!(many.len(), 128);
    assert_eq!(without("::/0".parse().unwrap(), &["0.0.0.0/0".parse().unwrap()]).len(), 1);
}
