//! Containers talk to each other: in a pod, between pods, and on the host's network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nacelle_container::ExitCause;
use nacelle_infra::network::{Family, NetError, NetworkMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::World;
use crate::support::Ran;

const OK: ExitCause = ExitCause::Exited { code: 0 };

fn assert_said(ran: &Ran, words: &str) {
    assert_eq!(ran.cause, OK, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
}

#[tokio::test]
async fn containers_of_a_pod_meet_at_localhost_and_at_the_pods_address() {
    let world = World::new();
    let pod = world.pod("pod").await;
    let server = world.serve(pod.container("server"), "tcp-echo-server", &["0.0.0.0:7000", "3"]).await;
    let by_ip = format!("{}:7000", pod.ips()[0]);
    for target in ["127.0.0.1:7000", "localhost:7000", &by_ip] {
        let ran = world.run(pod.container("client"), "tcp-echo-client", &[target, "over and back"]).await;
        assert_said(&ran, "over and back\n");
    }
    assert_said(&server.finish().await, "served 3 connections");
}

#[tokio::test]
async fn pods_meet_by_address_and_not_at_localhost() {
    let world = World::new();
    let (one, two) = (world.pod("one").await, world.pod("two").await);
    let _server = world.serve(one.container("server"), "tcp-echo-server", &["0.0.0.0:7000"]).await;
    let target = format!("{}:7000", one.ips()[0]);
    assert_said(&world.run(two.container("client"), "tcp-echo-client", &[&target, "across"]).await, "across\n");

    let mut config = world.config("tcp-echo-client", &["127.0.0.1:7000"]);
    config.env.push(("ECHO_TIMEOUT".into(), "0".into()));
    let ran = world.run_config(two.container("client"), config).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 1 });
    assert!(ran.stderr.contains("cannot connect to 127.0.0.1:7000: connection-refused"), "{}", ran.stderr);
}

#[tokio::test]
async fn both_versions_of_wasi_understand_each_other() {
    let world = World::new();
    let pod = world.pod("pod").await;
    let third = world.serve(pod.container("third"), "p3-tcp-echo", &["serve", "[::]:7003", "2"]).await;
    let second = world.serve(pod.container("second"), "tcp-echo-server", &["0.0.0.0:7002", "1"]).await;
    // More than the stream between them holds at a time.
    let long = "0123456789".repeat(5_000);
    let ran = world.run(pod.container("client"), "p3-tcp-echo", &["send", "127.0.0.1:7002", "three to two"]).await;
    assert_said(&ran, "three to two\n");
    let ran = world.run(pod.container("client"), "p3-tcp-echo", &["send", "[::1]:7003", &long]).await;
    assert_said(&ran, &long);
    let ran = world.run(pod.container("client"), "tcp-echo-client", &["[::1]:7003", &long]).await;
    assert_said(&ran, &long);
    assert_said(&second.finish().await, "served 1 connections");
    assert_said(&third.finish().await, "served 2 connections");
}

#[tokio::test]
async fn datagrams_go_to_localhost_and_to_other_pods() {
    let world = World::new();
    let (one, two) = (world.pod("one").await, world.pod("two").await);
    let server = world.serve(one.container("server"), "udp-echo", &["serve", "0.0.0.0:7000", "2"]).await;
    let ran = world.run(one.container("client"), "udp-echo", &["send", "127.0.0.1:7000", "near"]).await;
    assert_said(&ran, "near\n");
    let target = format!("{}:7000", one.ips()[0]);
    assert_said(&world.run(two.container("client"), "udp-echo", &["send", &target, "far"]).await, "far\n");
    let ran = server.finish().await;
    assert_said(&ran, &format!("3 bytes from {}:", two.ips()[0]));
}

#[tokio::test]
async fn a_server_that_is_killed_resets_its_clients_and_frees_its_port() {
    let world = World::new();
    let pod = world.pod("pod").await;
    let network = pod.container("server");
    let server = world.serve(network.clone(), "tcp-echo-server", &["0.0.0.0:7000"]).await;
    let client = pod.container("client");
    let mut stream = client.connect((Ipv4Addr::LOCALHOST, 7000).into()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.read_exact(&mut [0; 5]).await.unwrap();

    server.container().kill().await;
    assert_eq!(server.finish().await.cause, ExitCause::Stopped { graceful: false });
    network.close();
    // The end or a reset, never silence.
    assert!(!matches!(stream.read(&mut [0; 8]).await, Ok(1..)));
    // Its successor binds at once.
    let next = world.serve(pod.container("server"), "tcp-echo-server", &["0.0.0.0:7000", "1"]).await;
    let ran = world.run(client, "tcp-echo-client", &["127.0.0.1:7000", "again"]).await;
    assert_said(&ran, "again\n");
    assert_said(&next.finish().await, "served 1 connections");
}

#[tokio::test]
async fn a_guest_whose_network_is_closed_gets_errors() {
    let world = World::new();
    let pod = world.pod("pod").await;
    let network = pod.container("server");
    let second = world.serve(network.clone(), "tcp-echo-server", &["0.0.0.0:7000"]).await;
    let third = world.serve(network.clone(), "p3-tcp-echo", &["serve", "0.0.0.0:7001"]).await;
    let datagrams = world.serve(network.clone(), "udp-echo", &["serve", "0.0.0.0:7000"]).await;
    network.close();
    let ran = second.finish().await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 1 }, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot accept"), "{}", ran.stderr);
    // Its stream of connections ends.
    assert_said(&third.finish().await, "served 0 connections");
    let ran = datagrams.finish().await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 1 }, "{}", ran.stderr);
}

#[tokio::test]
async fn on_the_hosts_network_guests_meet_the_hosts_own_sockets() {
    let world = World::new();
    let pod = world.pod_in("pod", NetworkMode::Host).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let echo = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    };
    let args = [target.as_str(), "hosted"];
    let (ran, ()) = tokio::join!(world.run(pod.container("client"), "tcp-echo-client", &args), echo);
    assert_said(&ran, "hosted\n");

    // And the other way round.
    let port = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = world.serve(pod.container("server"), "p3-tcp-echo", &["serve", &address.to_string(), "1"]).await;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"from the host").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "from the host");
    assert_said(&server.finish().await, "served 1 connections");
}

#[tokio::test]
async fn the_hosts_loopback_is_not_a_pods() {
    let world = World::new();
    let pod = world.pod("pod").await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut config = world.config("tcp-echo-client", &[&listener.local_addr().unwrap().to_string()]);
    config.env.push(("ECHO_TIMEOUT".into(), "0".into()));
    let ran = world.run_config(pod.container("client"), config).await;
    assert!(ran.stderr.contains("connection-refused"), "{}", ran.stderr);
    // As the network itself has it.
    let mut socket = pod.container("other").tcp_socket(Family::V4).unwrap();
    let result =
        socket.connect(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listener.local_addr().unwrap().port()));
    assert_eq!(result.await, Err(NetError::ConnectionRefused));
}
