//! NetworkPolicies for what Linux containers send each other, and elsewhere.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    NamedPort, NamespacePeers, NetworkPolicy, NodeNetwork, PacketFilter, PacketPorts, PacketRule, PodIdentity,
    PodNetwork, PodNetworkConfig, PolicyPeer, PolicyPort, PolicyPortNumber, PolicyRule, Requirement,
    RequirementOperator, Selector,
};

use super::mixed::{Linux, node};
use super::*;

/// `EHOSTUNREACH`, as for a packet that something on the way prohibits.
const PROHIBITED: io::ErrorKind = io::ErrorKind::HostUnreachable;

fn identity(name: &str, role: &str) -> PodIdentity {
    PodIdentity {
        namespace: "default".into(),
        name: name.into(),
        labels: BTreeMap::from([("role".to_owned(), role.to_owned())]),
        named_ports: vec![NamedPort { name: "web".into(), protocol: Protocol::Tcp, port: 80 }],
    }
}

async fn attach(node: &Arc<NodeNetwork>, name: &str, role: &str) -> Arc<PodNetwork> {
    let config = PodNetworkConfig { uid: name.into(), identity: identity(name, role), ..PodNetworkConfig::default() };
    node.attach(config, Budget::unlimited()).await.unwrap()
}

fn role(role: &str) -> Selector {
    let operator = RequirementOperator::In([role.to_owned()].into());
    Selector(vec![Requirement { key: "role".into(), operator }])
}

fn policy(pods: Selector, ingress: Option<Vec<PolicyRule>>, egress: Option<Vec<PolicyRule>>) -> NetworkPolicy {
    NetworkPolicy { namespace: "default".into(), name: "test".into(), pods, ingress, egress }
}

/// From clients, to the port that a server calls web.
fn clients() -> PolicyRule {
    PolicyRule {
        peers: vec![PolicyPeer::Pods { namespaces: NamespacePeers::Own, pods: role("client") }],
        ports: vec![PolicyPort { protocol: Protocol::Tcp, port: PolicyPortNumber::Named("web".into()) }],
    }
}

impl Linux {
    fn outcome(&self, pod: &PodNetwork, port: u16) -> std::result::Result<(), io::ErrorKind> {
        let to = SocketAddr::new(pod.ips()[0], port);
        self.run(move || {
            TcpStream::connect_timeout(&to, Duration::from_secs(10)).map(drop).map_err(|error| error.kind())
        })
    }
}

/// What has been changed holds for packets a moment later.
fn soon<T: PartialEq + std::fmt::Debug>(expected: T, mut look: impl FnMut() -> T) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let found = look();
        if found == expected || Instant::now() > until {
            assert_eq!(found, expected);
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn they_hold_between_linux_containers() {
    if !is_possible() {
        return;
    }
    node(async |_, node| {
        node.set_policies(vec![policy(role("server"), Some(vec![clients()]), None)]);
        let server = attach(&node, "server", "server").await;
        let inside = Linux::container(&server);
        inside.serve("0.0.0.0:80").unwrap();
        inside.serve("0.0.0.0:81").unwrap();
        // Who comes later is known from the first packet on; nobody is let in for having an address.
        let client = attach(&node, "client", "client").await;
        let other = attach(&node, "other", "other").await;
        let (friend, stranger) = (Linux::container(&client), Linux::container(&other));
        assert_eq!(friend.outcome(&server, 80), Ok(()));
        assert_eq!(friend.outcome(&server, 81), Err(PROHIBITED));
        assert_eq!(stranger.outcome(&server, 80), Err(PROHIBITED));
        // The pod itself, and the node, are.
        assert_eq!(inside.outcome(&server, 81), Ok(()));
        let to = SocketAddr::new(server.ips()[0], 81);
        TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap();
        // No rules where no policy is about a pod.
        assert_eq!(friend.run(rules), "");
        insta::assert_snapshot!(inside.run(rules));
    });
}

#[test]
fn they_follow_labels_and_policies_and_leave_what_is_open() {
    if !is_possible() {
        return;
    }
    node(async |_, node| {
        let server = attach(&node, "server", "server").await;
        let client = attach(&node, "client", "other").await;
        let (inside, outside) = (Linux::container(&server), Linux::container(&client));
        inside.serve("0.0.0.0:80").unwrap();
        let ingress = policy(role("server"), Some(vec![clients()]), None);
        node.set_policies(vec![ingress.clone()]);
        soon(Err(PROHIBITED), || outside.outcome(&server, 80));
        client.set_identity(identity("client", "client"));
        soon(Ok(()), || outside.outcome(&server, 80));
        // One that is open, with rules for both ends, each of which has followed.
        let (listener, to) =
            (inside.run(|| TcpListener::bind("0.0.0.0:82").unwrap()), SocketAddr::new(server.ips()[0], 82));
        let any = || Some(vec![PolicyRule::default()]);
        node.set_policies(vec![policy(Selector::default(), any(), any())]);
        soon([true; 2], || [&inside, &outside].map(|pod| pod.run(rules).contains("jump output-0")));
        let open = outside.run(move || TcpStream::connect(to).unwrap());
        let (mut accepted, _) = listener.accept().unwrap();
        // Neither in nor out, of either.
        node.set_policies(vec![policy(Selector::default(), Some(Vec::new()), Some(Vec::new()))]);
        soon([false; 2], || [&inside, &outside].map(|pod| pod.run(rules).contains("jump")));
        assert_eq!(outside.outcome(&server, 80), Err(PROHIBITED));
        accepted.write_all(b"hello").unwrap();
        drop(accepted);
        assert_eq!(read(open), "hello");
        node.set_policies(Vec::new());
        soon([""; 2].map(str::to_owned), || [&inside, &outside].map(|pod| pod.run(rules)));
        assert_eq!(outside.outcome(&server, 80), Ok(()));
    });
}

#[test]
fn they_hold_for_datagrams_and_for_what_goes_out() {
    if !is_possible() {
        return;
    }
    node(async |_, node| {
        let block = PolicyPeer::Block { cidr: "198.51.100.0/24".parse().unwrap(), except: Vec::new() };
        let named = PolicyPort { protocol: Protocol::Tcp, port: PolicyPortNumber::Named("web".into()) };
        let rules = [
            PolicyRule { peers: vec![block], ports: Vec::new() },
            PolicyRule { peers: Vec::new(), ports: vec![named] },
        ];
        node.set_policies(vec![policy(role("client"), None, Some(rules.to_vec()))]);
        let server = attach(&node, "server", "server").await;
        let client = attach(&node, "client", "client").await;
        let (inside, outside) = (Linux::container(&server), Linux::container(&client));
        inside.serve("0.0.0.0:80").unwrap();
        inside.serve("0.0.0.0:81").unwrap();
        assert_eq!(outside.outcome(&server, 80), Ok(()));
        assert_eq!(outside.outcome(&server, 81), Err(PROHIBITED));
        let to = SocketAddr::new(server.ips()[0], 53);
        let sent = outside.run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(to).unwrap();
            socket.send(b"hello").and_then(|_| socket.recv(&mut [0; 8])).map_err(|error| error.kind())
        });
        assert_eq!(sent, Err(io::ErrorKind::PermissionDenied));
        let mixed = attach(&node, "mixed", "server").await;
        assert_eq!(outside.outcome(&mixed, 81), Err(PROHIBITED), "a pod without Linux containers");
    });
}

#[test]
fn there_may_be_many_rules() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        let pod = networks.create("pod", &ips(2), NetworkOwner::Host).unwrap();
        let peers = (0..5000_u32).map(|number| IpNet::from(IpAddr::from((0x0b00_0000 + 2 * number).to_be_bytes())));
        let ports = vec![PacketPorts { protocol: Protocol::Udp, first: 1, last: 9 }];
        let rule = PacketRule { peers: Some(peers.collect()), ports: Some(ports) };
        let filter = PacketFilter { ingress: Some(vec![rule]), egress: Some(Vec::new()), node: ips(1).to_vec() };
        pod.set_filter(&filter).unwrap();
        let inside = NamespaceThread::in_namespace(pod.path()).unwrap();
        assert_eq!(inside.run(rules).unwrap().matches("jump input-0").count(), 5000);
        pod.set_filter(&PacketFilter::default()).unwrap();
        assert_eq!(inside.run(rules).unwrap(), "");
        drop(inside);
        drop(pod);
        nothing_is_left(dir);
    });
}
