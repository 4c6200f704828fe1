//! What counts as a pod's traffic.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, DialSource, DirectionStats, Family, InterfaceStats, NetworkMode, NodeNetwork, NodeNetworkConfig,
    PodNetwork, PodNetworkConfig, TcpRead, TcpSocket, TcpStream,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stack::{V4, at};

async fn attach(node: &Arc<NodeNetwork>, uid: &str, mode: NetworkMode) -> Arc<PodNetwork> {
    let config = PodNetworkConfig { uid: uid.into(), mode, ..PodNetworkConfig::default() };
    node.attach(config, Budget::unlimited()).await.unwrap()
}

async fn two_pods() -> (Arc<PodNetwork>, Arc<PodNetwork>) {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    (attach(&node, "one", NetworkMode::Virtual).await, attach(&node, "two", NetworkMode::Virtual).await)
}

fn listen(network: &Arc<ContainerNetwork>) -> TcpSocket {
    let mut socket = network.tcp_socket(Family::V4).unwrap();
    socket.bind("0.0.0.0:80".parse().unwrap()).unwrap();
    socket.listen().unwrap();
    socket
}

/// `(bytes, packets)` received and transmitted.
fn carried(pod: &PodNetwork) -> [(u64, u64); 2] {
    let InterfaceStats { received, transmitted } = pod.stats().interface.unwrap();
    [received, transmitted].map(|direction| (direction.bytes, direction.packets))
}

async fn exchange(client: &TcpStream, listener: &mut TcpSocket) {
    let server = listener.accept().await.unwrap().stream().unwrap();
    client.try_write(Bytes::from_static(b"hello")).unwrap();
    client.try_write(Bytes::from_static(b"!")).unwrap();
    server.try_write(Bytes::from_static(b"welcome")).unwrap();
    assert_eq!(client.try_read(100), Ok(TcpRead::Bytes(Bytes::from_static(b"welcome"))));
}

#[tokio::test]
async fn what_goes_between_pods_counts_at_both() {
    let (one, two) = two_pods().await;
    let mut listener = listen(&two.container("server"));
    let stream = one.container("client").connect(SocketAddr::new(two.ips()[0], 80)).await.unwrap();
    exchange(&stream, &mut listener).await;
    assert_eq!(carried(&one), [(7, 1), (6, 2)]);
    assert_eq!(carried(&two), [(6, 2), (7, 1)]);
}

#[tokio::test]
async fn what_stays_in_a_pod_does_not_count() {
    let (one, _) = two_pods().await;
    let (server, client) = (one.container("server"), one.container("client"));
    let mut listener = listen(&server);
    for to in [at(V4, 80), SocketAddr::new(one.ips()[0], 80)] {
        exchange(&client.connect(to).await.unwrap(), &mut listener).await;
    }
    let mut receiver = server.udp_socket(Family::V4).unwrap();
    receiver.bind(at(V4, 53)).unwrap();
    client.udp_socket(Family::V4).unwrap().try_send(Bytes::from_static(b"?"), Some(at(V4, 53))).unwrap();
    assert_eq!(one.stats().interface, Some(InterfaceStats::default()));
}

#[tokio::test]
async fn what_the_node_sends_counts_unless_it_goes_to_the_loopback() {
    let (one, _) = two_pods().await;
    let mut listener = listen(&one.container("server"));
    let probe = one.dial(SocketAddr::new(one.ips()[0], 80), DialSource::Node).await.unwrap();
    exchange(&probe, &mut listener).await;
    assert_eq!(carried(&one), [(6, 2), (7, 1)]);
    let forward = one.dial(at(V4, 80), DialSource::Node).await.unwrap();
    exchange(&forward, &mut listener).await;
    assert_eq!(carried(&one), [(6, 2), (7, 1)]);
}

#[tokio::test]
async fn datagrams_without_room_are_dropped_where_they_came_to() {
    let (one, two) = two_pods().await;
    let mut receiver = two.container("b").udp_socket(Family::V4).unwrap();
    receiver.bind("0.0.0.0:53".parse().unwrap()).unwrap();
    let sender = one.container("a").udp_socket(Family::V4).unwrap();
    let to = SocketAddr::new(two.ips()[0], 53);
    let datagram = Bytes::from(vec![0; 60_000]);
    let mut sent = 0;
    while two.stats().interface.unwrap().received.dropped < 3 {
        assert_eq!(sender.try_send(datagram.clone(), Some(to)), Ok(true));
        sent += 1;
        assert!(sent < 10_000, "a queue without end");
    }
    let all = DirectionStats { bytes: sent * 60_000, packets: sent, errors: 0, dropped: 0 };
    assert_eq!(one.stats().interface.unwrap().transmitted, all);
    assert_eq!(two.stats().interface.unwrap().received, DirectionStats { dropped: 3, ..all });
    // Nobody receives there: it still came to the pod.
    sender.try_send(Bytes::from_static(b"?"), Some(SocketAddr::new(two.ips()[0], 54))).unwrap();
    assert_eq!(two.stats().interface.unwrap().received.packets, sent + 1);
}

#[tokio::test]
async fn what_leaves_the_node_counts_as_far_as_the_kernel_has_it() {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    // The host's own address: any other would leave this machine.
    let host = attach(&node, "host", NetworkMode::Host).await;
    let server = tokio::net::TcpListener::bind((host.ips()[0], 0)).await.unwrap();
    let to = server.local_addr().unwrap();
    if to.ip().is_loopback() {
        // A machine without a network has no way out of a pod.
        return;
    }
    let one = attach(&node, "one", NetworkMode::Virtual).await;
    let mut stream = one.container("a").connect(to).await.unwrap();
    let (mut peer, _) = server.accept().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut buffer = [0; 5];
    peer.read_exact(&mut buffer).await.unwrap();
    peer.write_all(b"ok").await.unwrap();
    stream.read_exact(&mut buffer[..2]).await.unwrap();
    let [received, transmitted] = carried(&one);
    assert_eq!((received.0, transmitted), (2, (5, 1)));
    assert_eq!(host.stats().interface, None, "a pod on the host's network has no interface of its own");
}

#[tokio::test]
async fn open_sockets_are_counted_while_they_are_open() {
    let (one, _) = two_pods().await;
    let (server, client) = (one.container("server"), one.container("client"));
    let counts = |pod: &PodNetwork| (pod.stats().sockets, pod.stats().connections);
    assert_eq!(counts(&one), (0, 0));
    let mut listener = listen(&server);
    let stream = client.connect(at(V4, 80)).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!(counts(&one), (3, 2));
    drop((stream, accepted));
    assert_eq!(counts(&one), (1, 0));
    server.close();
    assert_eq!(counts(&one), (0, 0));
}
