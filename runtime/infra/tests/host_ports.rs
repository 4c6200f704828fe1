//! Ports of the host that lead into pods, from the host's side.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    AttachError, ContainerNetwork, DialSource, Family, HostPortConfig, NetworkPolicy, NodeNetwork, NodeNetworkConfig,
    PodIdentity, PodNetwork, PodNetworkConfig, Protocol, Selector,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

fn node() -> Arc<NodeNetwork> {
    NodeNetwork::new(NodeNetworkConfig::default()).unwrap()
}

fn port(protocol: Protocol, host_port: u16) -> HostPortConfig {
    HostPortConfig { host_ip: Some(Ipv4Addr::LOCALHOST.into()), host_port, container_port: 7, protocol }
}

async fn attach(node: &Arc<NodeNetwork>, name: &str, ports: &[HostPortConfig]) -> Result<Arc<PodNetwork>, AttachError> {
    let identity = PodIdentity { namespace: "default".to_owned(), name: name.to_owned(), ..PodIdentity::default() };
    let config =
        PodNetworkConfig { uid: name.to_owned(), identity, host_ports: ports.to_vec(), ..PodNetworkConfig::default() };
    node.attach(config, Budget::unlimited()).await
}

/// Sends everything back, and tells where connections came from.
fn echo_tcp(network: &Arc<ContainerNetwork>) -> tokio::sync::mpsc::UnboundedReceiver<SocketAddr> {
    let mut listener = network.tcp_socket(Family::V4).unwrap();
    listener.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    listener.listen().unwrap();
    let (seen, seen_here) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(connection) = listener.accept().await {
            let _ = seen.send(connection.remote_address().unwrap());
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(connection.stream().unwrap());
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    });
    seen_here
}

fn echo_udp(network: &Arc<ContainerNetwork>) {
    let mut socket = network.udp_socket(Family::V4).unwrap();
    socket.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    tokio::spawn(async move {
        loop {
            poll_fn(|cx| socket.poll_receivable(cx)).await;
            while let Ok(Some(datagram)) = socket.try_receive() {
                socket.try_send(datagram.bytes, Some(datagram.remote)).unwrap();
            }
        }
    });
}

#[tokio::test]
async fn a_mebibyte_goes_in_and_comes_back() {
    let node = node();
    let pod = attach(&node, "pod", &[port(Protocol::Tcp, 0)]).await.unwrap();
    let mut seen = echo_tcp(&pod.container("echo"));
    let client = TcpStream::connect(pod.host_port_addresses()[0]).await.unwrap();
    let sent: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let (mut read, mut write) = client.into_split();
    let to_send = sent.clone();
    tokio::spawn(async move {
        write.write_all(&to_send).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    assert!(received == sent);
    // The host's loopback means nothing in a pod: such a client appears as the node.
    assert_eq!(seen.recv().await.unwrap().ip(), "10.87.0.1".parse::<IpAddr>().unwrap());
}

#[tokio::test]
async fn without_a_listener_the_client_is_reset_and_with_one_it_is_served() {
    let node = node();
    let pod = attach(&node, "pod", &[port(Protocol::Tcp, 0)]).await.unwrap();
    let address = pod.host_port_addresses()[0];
    let mut client = TcpStream::connect(address).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    // Whoever listens later is found, and a container that restarts.
    for _ in 0..2 {
        let container = pod.container("echo");
        let _seen = echo_tcp(&container);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"?").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'?');
        container.close();
        // The server is gone: the client hears of it.
        assert!(client.read_u8().await.is_err());
    }
}

/// A listener for both families, as servers are, with options that its connections begin with.
#[tokio::test]
async fn a_client_is_accepted_as_the_listener_sees_the_pod() {
    let node = node();
    let pod = attach(&node, "pod", &[port(Protocol::Tcp, 0)]).await.unwrap();
    let container = pod.container("server");
    let mut listener = container.tcp_socket(Family::V6).unwrap();
    let mut options = listener.options();
    (options.v6_only, options.keep_alive, options.hop_limit) = (false, true, 33);
    listener.set_options(options).unwrap();
    listener.bind("[::]:7".parse().unwrap()).unwrap();
    listener.listen().unwrap();
    let mut client = TcpStream::connect(pod.host_port_addresses()[0]).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    let mapped = |address: IpAddr| match address {
        IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    };
    assert_eq!(accepted.local_address().unwrap(), SocketAddr::new(mapped(pod.ips()[0]), 7));
    let remote = accepted.remote_address().unwrap();
    assert_eq!(remote.ip(), mapped("10.87.0.1".parse().unwrap()));
    assert_eq!(remote.port(), client.local_addr().unwrap().port());
    assert_eq!(accepted.options(), options);
    // The listener's end is not its connections'.
    drop(listener);
    let mut server = accepted.stream().unwrap();
    client.write_all(b"to").await.unwrap();
    client.shutdown().await.unwrap();
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"to");
    server.write_all(b"fro").await.unwrap();
    AsyncWriteExt::shutdown(&mut server).await.unwrap();
    received.clear();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"fro");
    let counted = pod.stats().interface.unwrap();
    assert_eq!((counted.received.bytes, counted.transmitted.bytes), (2, 3));
}

/// Those for whom a full backlog has no room wait; those whom nobody has accepted when the listener ends are reset.
#[tokio::test]
async fn clients_wait_to_be_accepted_and_are_reset_if_nobody_does() {
    let node = node();
    let pod = attach(&node, "pod", &[port(Protocol::Tcp, 0)]).await.unwrap();
    let container = pod.container("server");
    let mut listener = container.tcp_socket(Family::V4).unwrap();
    listener.set_backlog(1).unwrap();
    listener.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    listener.listen().unwrap();
    let mut clients = Vec::new();
    for number in 0..9_u8 {
        let mut client = TcpStream::connect(pod.host_port_addresses()[0]).await.unwrap();
        client.write_all(&[number]).await.unwrap();
        clients.push(client);
    }
    let mut accepted = Vec::new();
    for number in 0..6_u8 {
        let mut stream = listener.accept().await.unwrap().stream().unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), number);
        stream.write_all(&[number]).await.unwrap();
        accepted.push(stream);
    }
    for (number, client) in (0..6_u8).zip(&mut clients) {
        assert_eq!(client.read_u8().await.unwrap(), number);
    }
    poll_fn(|cx| listener.poll_acceptable(cx)).await;
    drop(listener);
    for client in &mut clients[6..] {
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

/// What clients hold is not the pod's share of the host's sockets, which it needs for connections of its own.
#[tokio::test]
async fn clients_take_no_sockets_from_the_pod() {
    let mut config = NodeNetworkConfig::default();
    config.limits.host_sockets_per_pod = 1;
    let node = NodeNetwork::new(config).unwrap();
    let pod = attach(&node, "pod", &[port(Protocol::Tcp, 0)]).await.unwrap();
    let _seen = echo_tcp(&pod.container("echo"));
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = TcpStream::connect(pod.host_port_addresses()[0]).await.unwrap();
        client.write_all(b"?").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'?');
        clients.push(client);
    }
    // Each is one end of a connection; the other one is the client's own.
    assert_eq!(pod.stats().connections, 5);
    pod.close();
    for client in &mut clients {
        assert!(client.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn each_client_gets_its_own_datagrams_back() {
    let node = node();
    let pod = attach(&node, "pod", &[port(Protocol::Udp, 0)]).await.unwrap();
    echo_udp(&pod.container("echo"));
    let mut clients = Vec::new();
    for number in 0..20_u8 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(pod.host_port_addresses()[0]).await.unwrap();
        client.send(&[number]).await.unwrap();
        clients.push((number, client));
    }
    for (number, client) in clients {
        let mut buffer = [0; 16];
        assert_eq!(client.recv(&mut buffer).await.unwrap(), 1);
        assert_eq!(buffer[0], number);
    }
}

#[tokio::test]
async fn a_port_belongs_to_one_pod_until_that_is_closed() {
    let node = node();
    let first = attach(&node, "first", &[port(Protocol::Tcp, 0), port(Protocol::Udp, 0)]).await.unwrap();
    let [tcp, udp] = first.host_port_addresses()[..] else { panic!("two ports") };
    drop(first);
    let ports = [port(Protocol::Tcp, tcp.port()), port(Protocol::Udp, udp.port())];
    let second = attach(&node, "second", &ports).await.unwrap();
    let error = attach(&node, "third", &ports).await.unwrap_err();
    assert_eq!(error.to_string(), format!("host port {}/TCP is taken by pod default/second", tcp.port()));
    second.close();
    // The failed attempt has left nothing behind, neither its uid nor its address.
    attach(&node, "third", &ports).await.unwrap();
}

#[tokio::test]
async fn a_port_that_another_process_has_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _other = std::net::TcpListener::bind(taken).unwrap();
    let error = attach(&node(), "pod", &[port(Protocol::Tcp, taken.port())]).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on host port {taken}/TCP: ")), "{error}");
}

/// What comes from the host's loopback comes from the node, and is always let in; another client is not.
#[tokio::test]
async fn policies_hold_for_clients_and_not_for_the_node() {
    let node = node();
    let pod = attach(&node, "pod", &[port(Protocol::Tcp, 0)]).await.unwrap();
    let _seen = echo_tcp(&pod.container("echo"));
    let nobody = NetworkPolicy {
        namespace: "default".to_owned(),
        name: "nobody".to_owned(),
        pods: Selector::default(),
        ingress: Some(Vec::new()),
        egress: None,
    };
    node.set_policies(vec![nobody]);
    let mut client = TcpStream::connect(pod.host_port_addresses()[0]).await.unwrap();
    client.write_all(b"?").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'?');
    let to = SocketAddr::new(pod.ips()[0], 7);
    let stranger = DialSource::Client("192.0.2.1:4000".parse().unwrap());
    assert!(pod.dial(to, stranger).await.is_err());
    assert!(pod.dial(to, DialSource::Node).await.is_ok());
}
