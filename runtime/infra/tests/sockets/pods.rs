//! Pods of a node: who reaches whom, and what ends with whom.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    AttachError, ContainerNetwork, DenyReason, DialSource, Family, NamespacePeers, NetError, NetworkPolicy,
    NodeNetwork, NodeNetworkConfig, PodIdentity, PodNetwork, PodNetworkConfig, PolicyPeer, PolicyPort,
    PolicyPortNumber, PolicyRule, Protocol, Requirement, RequirementOperator, Selector, TcpRead, TcpSocket, TcpStream,
};

use crate::stack::{V4, at};

pub(crate) fn node() -> Arc<NodeNetwork> {
    NodeNetwork::new(NodeNetworkConfig::default()).unwrap()
}

pub(crate) fn config(name: &str) -> PodNetworkConfig {
    PodNetworkConfig {
        uid: name.into(),
        identity: PodIdentity {
            namespace: "default".into(),
            name: name.into(),
            labels: BTreeMap::from([("app".into(), name.into())]),
            named_ports: Vec::new(),
        },
        ..PodNetworkConfig::default()
    }
}

pub(crate) async fn attach(node: &Arc<NodeNetwork>, name: &str) -> Arc<PodNetwork> {
    node.attach(config(name), Budget::unlimited()).await.unwrap()
}

pub(crate) fn listen(network: &Arc<ContainerNetwork>, address: SocketAddr) -> TcpSocket {
    let mut socket = network.tcp_socket(Family::of(address.ip())).unwrap();
    socket.bind(address).unwrap();
    socket.listen().unwrap();
    socket
}

pub(crate) async fn read(stream: &TcpStream) -> Result<TcpRead, NetError> {
    loop {
        poll_fn(|cx| stream.poll_readable(cx)).await;
        match stream.try_read(1000) {
            // The kernel was ready before.
            Ok(TcpRead::Empty) => {}
            outcome => return outcome,
        }
    }
}

pub(crate) const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[tokio::test]
async fn containers_of_a_pod_share_one_port_space() {
    let pod = attach(&node(), "one").await;
    let (server, client) = (pod.container("server"), pod.container("client"));
    let mut listener = listen(&server, at(ANY, 80));
    let mut second = client.tcp_socket(Family::V4).unwrap();
    assert_eq!(second.bind(at(V4, 80)), Err(NetError::AddressInUse));
    for to in [at(V4, 80), SocketAddr::new(pod.ips()[0], 80)] {
        let stream = client.connect(to).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        stream.try_write(Bytes::from_static(b"hello")).unwrap();
        assert_eq!(read(&accepted.stream().unwrap()).await, Ok(TcpRead::Bytes(Bytes::from_static(b"hello"))));
        // Within the pod each address talks to itself.
        assert_eq!(accepted.remote_address().unwrap().ip(), to.ip());
    }
}

#[tokio::test]
async fn pods_reach_each_other_by_their_addresses_only() {
    let node = node();
    let (one, two) = (attach(&node, "one").await, attach(&node, "two").await);
    let (one_net, two_net) = (one.container("a"), two.container("b"));
    let mut wild = listen(&two_net, at(ANY, 80));
    let _loopback = listen(&two_net, at(V4, 81));
    let stream = one_net.connect(SocketAddr::new(two.ips()[0], 80)).await.unwrap();
    let accepted = wild.accept().await.unwrap();
    assert_eq!(accepted.remote_address(), Ok(stream.local_address()));
    assert_eq!(stream.local_address().ip(), one.ips()[0]);
    for (to, error) in [
        (SocketAddr::new(two.ips()[0], 81), NetError::ConnectionRefused),
        (at(V4, 80), NetError::ConnectionRefused),
        (SocketAddr::new(one.ips()[0], 80), NetError::ConnectionRefused),
        (at(Ipv4Addr::new(10, 87, 99, 99), 80), NetError::RemoteUnreachable),
        (at(Ipv4Addr::new(10, 87, 0, 1), 80), NetError::RemoteUnreachable),
    ] {
        assert_eq!(one_net.connect(to).await.err(), Some(error), "{to}");
    }
    let mut bound = one_net.tcp_socket(Family::V4).unwrap();
    bound.bind(at(V4, 0)).unwrap();
    let from_loopback = bound.connect(SocketAddr::new(two.ips()[0], 80)).await;
    assert_eq!(from_loopback, Err(NetError::InvalidArgument), "no packet leaves a loopback");
    let mut foreign = one_net.tcp_socket(Family::V4).unwrap();
    assert_eq!(foreign.bind(SocketAddr::new(two.ips()[0], 0)), Err(NetError::AddressNotBindable));
}

#[tokio::test]
async fn datagrams_pass_between_pods() {
    let node = node();
    let (one, two) = (attach(&node, "one").await, attach(&node, "two").await);
    let mut receiver = two.container("b").udp_socket(Family::V4).unwrap();
    receiver.bind(at(ANY, 53)).unwrap();
    let sender = one.container("a").udp_socket(Family::V4).unwrap();
    assert_eq!(sender.try_send(Bytes::from_static(b"?"), Some(SocketAddr::new(two.ips()[0], 53))), Ok(true));
    let datagram = receiver.try_receive().unwrap().unwrap();
    assert_eq!(datagram.remote, SocketAddr::new(one.ips()[0], sender.local_address().unwrap().port()));
    receiver.try_send(Bytes::from_static(b"!"), Some(datagram.remote)).unwrap();
    assert_eq!(sender.try_receive().unwrap().unwrap().bytes, Bytes::from_static(b"!"));
}

#[tokio::test]
async fn what_a_container_opened_ends_with_it() {
    let pod = attach(&node(), "one").await;
    let (first, client) = (pod.container("server"), pod.container("client"));
    let mut listener = listen(&first, at(ANY, 80));
    let mut bound = first.tcp_socket(Family::V4).unwrap();
    bound.bind(at(V4, 81)).unwrap();
    let mut udp = first.udp_socket(Family::V4).unwrap();
    udp.bind(at(V4, 53)).unwrap();
    let stream = client.connect(at(V4, 80)).await.unwrap();
    let unaccepted = client.connect(at(V4, 80)).await.unwrap();
    let accepted = listener.accept().await.unwrap().stream().unwrap();
    accepted.try_write(Bytes::from_static(b"last words")).unwrap();
    let waiting = tokio::spawn({
        let accepted = accepted.clone();
        async move { read(&accepted).await }
    });
    tokio::task::yield_now().await;

    first.close();
    first.close();
    assert_eq!(waiting.await.unwrap(), Err(NetError::ConnectionAborted));
    assert_eq!(read(&stream).await, Ok(TcpRead::Bytes(Bytes::from_static(b"last words"))));
    assert_eq!(read(&stream).await, Err(NetError::ConnectionReset));
    assert_eq!(read(&unaccepted).await, Err(NetError::ConnectionReset));
    assert_eq!(listener.try_accept().err(), Some(NetError::ConnectionAborted));
    assert_eq!(udp.try_receive(), Err(NetError::ConnectionAborted));
    assert_eq!(accepted.try_write(Bytes::from_static(b"x")), Err(NetError::ConnectionAborted));
    assert_eq!(bound.listen(), Err(NetError::ConnectionAborted));
    assert_eq!(first.tcp_socket(Family::V4).err(), Some(NetError::ConnectionAborted));

    // The next incarnation has the ports at once, though the old sockets are still in somebody's hands.
    let next = pod.container("server");
    let mut listener = listen(&next, at(ANY, 80));
    let _also = listen(&next, at(V4, 81));
    next.udp_socket(Family::V4).unwrap().bind(at(V4, 53)).unwrap();
    client.connect(at(V4, 80)).await.unwrap();
    listener.accept().await.unwrap();
    drop((bound, udp, accepted));
}

#[tokio::test]
async fn a_container_that_ends_gives_up_its_connects() {
    let pod = attach(&node(), "one").await;
    let (server, client) = (pod.container("server"), pod.container("client"));
    let mut listener = listen(&server, at(V4, 80));
    listener.set_backlog(1).unwrap();
    let mut sockets: Vec<TcpSocket> = (0..3).map(|_| client.tcp_socket(Family::V4).unwrap()).collect();
    for socket in &mut sockets {
        socket.start_connect(at(V4, 80)).unwrap();
    }
    client.close();
    let waiting = sockets.last_mut().unwrap();
    assert_eq!(poll_fn(|cx| waiting.poll_connect(cx)).await, Err(NetError::ConnectionAborted));
}

#[tokio::test]
async fn a_closed_pod_is_gone_and_its_address_is_not_given_again_at_once() {
    let node = node();
    let (one, two) = (attach(&node, "one").await, attach(&node, "two").await);
    let (inside, outside) = (two.container("b"), one.container("a"));
    let _listener = listen(&inside, at(ANY, 80));
    let to = SocketAddr::new(two.ips()[0], 80);
    let stream = outside.connect(to).await.unwrap();
    let again = node.attach(config("two"), Budget::unlimited()).await;
    assert!(matches!(again, Err(AttachError::AlreadyAttached { uid }) if uid == "two"));
    two.close();
    assert_eq!(read(&stream).await, Err(NetError::ConnectionReset));
    assert_eq!(outside.connect(to).await.err(), Some(NetError::RemoteUnreachable));
    assert_eq!(two.container("b").tcp_socket(Family::V4).err(), Some(NetError::ConnectionAborted));
    let next = attach(&node, "two").await;
    assert_ne!(next.ips(), two.ips());
}

#[tokio::test]
async fn addresses_that_no_pod_may_reach() {
    let pod = attach(&node(), "one").await;
    let network = pod.container("a");
    let denied = |reason| NetError::AccessDenied(reason);
    for (to, error) in [
        // The pod's own loopback, on which nobody listens: never the host's.
        ("127.0.0.1:22", NetError::ConnectionRefused),
        ("127.8.8.8:22", NetError::ConnectionRefused),
        ("0.0.0.0:22", NetError::ConnectionRefused),
        ("[::1]:22", NetError::ConnectionRefused),
        ("[::]:22", NetError::ConnectionRefused),
        ("169.254.169.254:80", denied(DenyReason::LinkLocal)),
        ("[fe80::1]:80", denied(DenyReason::LinkLocal)),
        ("224.0.0.1:80", denied(DenyReason::Broadcast)),
        ("255.255.255.255:80", denied(DenyReason::Broadcast)),
        ("[ff02::1]:80", denied(DenyReason::Broadcast)),
        ("[64:ff9b::7f00:1]:80", denied(DenyReason::HostLoopback)),
        ("[64:ff9b::a9fe:a9fe]:80", denied(DenyReason::LinkLocal)),
        ("[::7f00:1]:80", NetError::RemoteUnreachable),
        ("0.1.2.3:80", NetError::RemoteUnreachable),
        // There is no IPv6 address to come from.
        ("[2001:db8::1]:80", NetError::RemoteUnreachable),
    ] {
        let to: SocketAddr = to.parse().unwrap();
        assert_eq!(network.connect(to).await.err(), Some(error.clone()), "{to}");
        let mut udp = network.udp_socket(Family::of(to.ip())).unwrap();
        let sent = udp.try_send(Bytes::from_static(b"x"), Some(to));
        match error {
            // An unconnected datagram for nobody is lost.
            NetError::ConnectionRefused => assert_eq!(sent, Ok(true), "{to}"),
            error => {
                assert_eq!(sent, Err(error.clone()), "{to}");
                assert_eq!(udp.connect(Some(to)), Err(error), "{to}");
            }
        }
        assert!(network.service_at(to).is_ok_and(|found| found.is_none()) || network.service_at(to).is_err());
    }
    // IPv4 inside IPv6: a socket that takes it finds the pod's own loopback too.
    for mapped in ["[::ffff:127.0.0.1]:22", "[::ffff:169.254.169.254]:80"] {
        let mapped: SocketAddr = mapped.parse().unwrap();
        assert_eq!(network.connect(mapped).await.err(), Some(NetError::InvalidArgument));
        let mut dual = network.tcp_socket(Family::V6).unwrap();
        dual.set_options(nacelle_infra::network::TcpOptions { v6_only: false, ..dual.options() }).unwrap();
        let expected = if mapped.port() == 22 { NetError::ConnectionRefused } else { denied(DenyReason::LinkLocal) };
        assert_eq!(dual.connect(mapped).await, Err(expected));
    }
}

#[tokio::test]
async fn without_a_network_nothing_is_reached() {
    let none = ContainerNetwork::none();
    let denied = NetError::AccessDenied(DenyReason::NoNetwork);
    assert_eq!(none.tcp_socket(Family::V4).err(), Some(denied.clone()));
    assert_eq!(none.udp_socket(Family::V4).err(), Some(denied.clone()));
    assert_eq!(none.connect(at(V4, 80)).await.err(), Some(denied.clone()));
    assert_eq!(none.service_at(at(V4, 80)).err(), Some(denied));
    none.close();
}

fn selecting(app: &str) -> Selector {
    let operator = RequirementOperator::In(BTreeSet::from([app.to_owned()]));
    Selector(vec![Requirement { key: "app".into(), operator }])
}

#[tokio::test]
async fn policies_apply_to_streams_datagrams_and_services() {
    let node = node();
    let (web, friend, foe) = (attach(&node, "web").await, attach(&node, "friend").await, attach(&node, "foe").await);
    let server = web.container("server");
    let mut listener = server.tcp_socket(Family::V4).unwrap();
    listener.bind(at(ANY, 80)).unwrap();
    listener.listen_with(Arc::new("service")).unwrap();
    let mut udp = server.udp_socket(Family::V4).unwrap();
    udp.bind(at(ANY, 80)).unwrap();
    let from_friend = PolicyRule {
        peers: vec![PolicyPeer::Pods { namespaces: NamespacePeers::Own, pods: selecting("friend") }],
        ports: vec![PolicyPort { protocol: Protocol::Tcp, port: PolicyPortNumber::Range { first: 80, last: 80 } }],
    };
    node.set_policies(vec![
        NetworkPolicy {
            namespace: "default".into(),
            name: "web".into(),
            pods: selecting("web"),
            ingress: Some(vec![from_friend]),
            egress: None,
        },
        NetworkPolicy {
            namespace: "default".into(),
            name: "caged".into(),
            pods: selecting("caged"),
            ingress: None,
            egress: Some(Vec::new()),
        },
    ]);
    let to = SocketAddr::new(web.ips()[0], 80);
    let (friend_net, foe_net) = (friend.container("a"), foe.container("a"));
    friend_net.connect(to).await.unwrap();
    let denied = Some(NetError::AccessDenied(DenyReason::IngressPolicy));
    assert_eq!(foe_net.connect(to).await.err(), denied);
    assert!(friend_net.service_at(to).unwrap().is_some());
    assert_eq!(foe_net.service_at(to).err(), denied);
    let datagram = |network: &Arc<ContainerNetwork>| {
        network.udp_socket(Family::V4).unwrap().try_send(Bytes::from_static(b"x"), Some(to)).err()
    };
    assert_eq!((datagram(&friend_net), datagram(&foe_net)), (denied.clone(), denied.clone()));
    // The pod itself, and the node, are always let in; clients of host ports are not.
    web.container("other").connect(to).await.unwrap();
    web.dial(to, DialSource::Node).await.unwrap();
    let client = DialSource::Client("192.0.2.7:5555".parse().unwrap());
    assert_eq!(web.dial(to, client).await.err(), denied);
    // Labels that change count from then on.
    let mut identity = config("friend").identity;
    identity.labels.insert("app".into(), "caged".into());
    friend.set_identity(identity);
    assert_eq!(friend_net.connect(to).await.err(), Some(NetError::AccessDenied(DenyReason::EgressPolicy)));
    let outside: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert_eq!(friend_net.connect(outside).await.err(), Some(NetError::AccessDenied(DenyReason::EgressPolicy)));
}

#[tokio::test]
async fn a_service_is_found_where_it_listens() {
    let pod = attach(&node(), "one").await;
    let (server, client) = (pod.container("server"), pod.container("client"));
    let mut listener = server.tcp_socket(Family::V4).unwrap();
    listener.bind(at(V4, 8080)).unwrap();
    let service: Arc<dyn Any + Send + Sync> = Arc::new(42_u32);
    listener.listen_with(Arc::clone(&service)).unwrap();
    let found = client.service_at(at(V4, 8080)).unwrap().unwrap();
    assert!(Arc::ptr_eq(&found.handle, &service));
    assert_eq!((found.remote, found.local.ip()), (at(V4, 8080), V4));
    assert!(client.service_at(at(V4, 8081)).unwrap().is_none());
    assert!(client.service_at(SocketAddr::new(pod.ips()[0], 8080)).unwrap().is_none());
    // It listens like any other, too.
    client.connect(at(V4, 8080)).await.unwrap();
    assert!(listener.try_accept().unwrap().is_some());
    server.close();
    assert!(client.service_at(at(V4, 8080)).unwrap().is_none());
}
