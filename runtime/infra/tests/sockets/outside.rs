//! The ways into pods, and out of them to the world.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    DialSource, Family, HostPortConfig, NetError, NetworkMode, PodNetworkConfig, Protocol, UdpOptions,
};
use rustix::net::{AddressFamily, RecvFlags, SocketType, sockopt};

use crate::pods::{ANY, attach, config, listen, node, read};
use crate::stack::{V4, V6, at};

#[tokio::test]
async fn dials_from_outside_show_who_they_are() {
    let pod = attach(&node(), "one").await;
    let server = pod.container("server");
    let mut wild = listen(&server, at(ANY, 80));
    let mut loopback = listen(&server, at(V4, 81));
    let inside = SocketAddr::new(pod.ips()[0], 80);
    let gateway: IpAddr = Ipv4Addr::new(10, 87, 0, 1).into();
    let client: SocketAddr = "192.0.2.7:5555".parse().unwrap();
    for (to, from, seen) in [
        (inside, DialSource::Node, gateway),
        (inside, DialSource::Client(client), client.ip()),
        // The host's loopback is not the pod's.
        (inside, DialSource::Client(at(V4, 5555)), gateway),
        (at(V4, 80), DialSource::Node, V4),
    ] {
        let stream = pod.dial(to, from).await.unwrap();
        let accepted = wild.accept().await.unwrap();
        assert_eq!(accepted.remote_address().unwrap().ip(), seen, "{to} {from:?}");
        assert_eq!(accepted.remote_address().unwrap(), stream.local_address());
        if matches!(from, DialSource::Client(_)) {
            assert_eq!(accepted.remote_address().unwrap().port(), 5555);
        }
    }
    pod.dial(at(V4, 81), DialSource::Node).await.unwrap();
    loopback.accept().await.unwrap();
    assert_eq!(
        pod.dial(SocketAddr::new(pod.ips()[0], 81), DialSource::Node).await.err(),
        Some(NetError::ConnectionRefused)
    );
    assert_eq!(
        pod.dial("192.0.2.1:80".parse().unwrap(), DialSource::Node).await.err(),
        Some(NetError::RemoteUnreachable)
    );
    assert_eq!(pod.dial(at(V6, 80), DialSource::Node).await.err(), Some(NetError::ConnectionRefused));
    let stream = pod.dial(inside, DialSource::Node).await.unwrap();
    pod.close();
    assert_eq!(read(&stream).await, Err(NetError::ConnectionAborted));
}

#[tokio::test]
async fn host_ports_lead_into_the_pod() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let node = node();
    let host_port = |protocol| HostPortConfig { host_ip: Some(V4), host_port: 0, container_port: 80, protocol };
    let with_ports =
        PodNetworkConfig { host_ports: vec![host_port(Protocol::Tcp), host_port(Protocol::Udp)], ..config("one") };
    let pod = node.attach(with_ports, Budget::unlimited()).await.unwrap();
    let addresses = pod.host_port_addresses();
    let server = pod.container("server");
    let mut listener = listen(&server, at(ANY, 80));
    let mut outside = tokio::net::TcpStream::connect(addresses[0]).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.remote_address().unwrap().ip(), IpAddr::from([10, 87, 0, 1]));
    let mut inside = accepted.stream().unwrap();
    inside.write_all(b"welcome").await.unwrap();
    inside.shutdown(std::net::Shutdown::Write).unwrap();
    let mut greeting = String::new();
    outside.read_to_string(&mut greeting).await.unwrap();
    assert_eq!(greeting, "welcome");

    let mut udp = server.udp_socket(Family::V4).unwrap();
    udp.bind(at(ANY, 80)).unwrap();
    let client = tokio::net::UdpSocket::bind(at(V4, 0)).await.unwrap();
    client.send_to(b"question", addresses[1]).await.unwrap();
    poll_fn(|cx| udp.poll_receivable(cx)).await;
    let question = udp.try_receive().unwrap().unwrap();
    assert_eq!(&question.bytes[..], b"question");
    assert_eq!(question.remote.ip(), IpAddr::from([10, 87, 0, 1]));
    assert_eq!(udp.try_send(Bytes::from_static(b"answer"), Some(question.remote)), Ok(true));
    let mut buffer = [0; 100];
    let (count, from) = client.recv_from(&mut buffer).await.unwrap();
    assert_eq!((&buffer[..count], from), (&b"answer"[..], addresses[1]));
    pod.close();
    assert!(tokio::net::TcpStream::connect(addresses[0]).await.is_err());
}

#[tokio::test]
async fn a_pod_on_the_hosts_network_is_dialled_there() {
    let node = node();
    let host = PodNetworkConfig { mode: NetworkMode::Host, ..config("host") };
    let pod = node.attach(host, Budget::unlimited()).await.unwrap();
    assert!(!pod.ips().is_empty());
    let network = pod.container("server");
    let mut listener = network.tcp_socket(Family::V4).unwrap();
    listener.bind(at(V4, 0)).unwrap();
    listener.listen().unwrap();
    let to = listener.local_address().unwrap();
    let dialled = pod.dial(to, DialSource::Node).await.unwrap();
    let accepted = listener.accept().await.unwrap().stream().unwrap();
    let waiting = tokio::spawn({
        let accepted = accepted.clone();
        async move { read(&accepted).await }
    });
    tokio::task::yield_now().await;
    network.close();
    assert_eq!(waiting.await.unwrap(), Err(NetError::ConnectionAborted));
    assert_eq!(read(&dialled).await, Err(NetError::ConnectionReset));
    assert_eq!(listener.accept().await.err(), Some(NetError::ConnectionAborted));
    // The port is free while the old socket is still in somebody's hands.
    listen(&pod.container("server"), to);
}

#[tokio::test]
async fn pods_reach_the_world_by_the_hosts_sockets() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    // An address of the host that is no loopback, if it has one.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if probe.connect("192.0.2.1:9").is_err() {
        return;
    }
    let world = tokio::net::TcpListener::bind(SocketAddr::new(probe.local_addr().unwrap().ip(), 0)).await.unwrap();
    let pod = attach(&node(), "one").await;
    let network = pod.container("client");
    let to = world.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(network.connect(to), world.accept());
    let (mut stream, (mut outside, _)) = (connected.unwrap(), accepted.unwrap());
    // As behind a router that translates addresses.
    assert_eq!(stream.local_address().ip(), pod.ips()[0]);
    assert_eq!(stream.remote_address(), to);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let echo = tokio::spawn(async move {
        let (mut reader, mut writer) = outside.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        outside.shutdown().await.unwrap();
    });
    let mut reading = stream.clone();
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        reading.read_to_end(&mut all).await.unwrap();
        all
    });
    stream.write_all(&sent).await.unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(reader.await.unwrap() == sent);
    echo.await.unwrap();

    let refused = network.connect(SocketAddr::new(to.ip(), 1)).await;
    assert_eq!(refused.err(), Some(NetError::ConnectionRefused));

    let world = tokio::net::UdpSocket::bind(SocketAddr::new(to.ip(), 0)).await.unwrap();
    let stranger = tokio::net::UdpSocket::bind(SocketAddr::new(to.ip(), 0)).await.unwrap();
    let udp = network.udp_socket(Family::V4).unwrap();
    assert_eq!(udp.try_send(Bytes::from_static(b"ping"), Some(world.local_addr().unwrap())), Ok(true));
    let mut buffer = [0; 100];
    let (count, from) = world.recv_from(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"ping");
    // Who was not asked does not get in.
    stranger.send_to(b"unasked", from).await.unwrap();
    world.send_to(b"pong", from).await.unwrap();
    let datagram = loop {
        poll_fn(|cx| udp.poll_receivable(cx)).await;
        if let Some(datagram) = udp.try_receive().unwrap() {
            break datagram;
        }
    };
    assert_eq!((&datagram.bytes[..], datagram.remote), (&b"pong"[..], world.local_addr().unwrap()));
}

/// The TTL of the next packet with a datagram to `port` that a raw socket gets.
fn ttl_of_packet(raw: &OwnedFd, port: u16) -> u8 {
    let mut packet = [0; 2048];
    loop {
        let (length, _) = rustix::net::recv(raw, &mut packet[..], RecvFlags::empty()).unwrap();
        // The header's length in words of 4 bytes; then the datagram's: the ports of its source and its destination.
        let header = usize::from(packet[0] & 0xf) * 4;
        if packet[..length].get(header + 2..header + 4) == Some(&port.to_be_bytes()) {
            return packet[8];
        }
    }
}

#[tokio::test]
async fn datagrams_to_the_world_have_the_hop_limit_that_the_guest_chose() {
    // An address of the host that is no loopback, if it has one; and packets as they are, for who may see them.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let raw = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(rustix::net::ipproto::UDP));
    let (Ok(()), Ok(raw)) = (probe.connect("192.0.2.1:9"), raw) else { return };
    sockopt::set_socket_timeout(&raw, sockopt::Timeout::Recv, Some(Duration::from_secs(10))).unwrap();
    let world = std::net::UdpSocket::bind(SocketAddr::new(probe.local_addr().unwrap().ip(), 0)).unwrap();
    let to = world.local_addr().unwrap();
    let mut udp = attach(&node(), "one").await.container("client").udp_socket(Family::V4).unwrap();
    let hop_limit = |hop_limit| UdpOptions { hop_limit, ..udp.options() };
    let options = [hop_limit(7), hop_limit(9)];
    // Before there is a socket of the host, and after.
    for options in options {
        udp.set_options(options).unwrap();
        assert_eq!(udp.try_send(Bytes::from_static(b"?"), Some(to)), Ok(true));
        assert_eq!(ttl_of_packet(&raw, to.port()), options.hop_limit);
    }
    udp.connect(Some(to)).unwrap();
    assert_eq!(udp.try_send(Bytes::from_static(b"?"), None), Ok(true));
    assert_eq!(ttl_of_packet(&raw, to.port()), 9);
}
