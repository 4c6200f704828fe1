//! Host sockets: what is not there is not ready, and what is there is told.
//!
//! The reactor runs in the background; a test yields to it so often that it has seen whatever there is to see, and asks
//! again. Real events are awaited; nothing sleeps.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, Family, NetError, NetworkMode, NodeNetwork, NodeNetworkConfig, PodNetwork, PodNetworkConfig,
    TcpRead, TcpSocket, UdpSocket,
};

use crate::stack::{V4, at};

/// More than enough turns for the reactor.
const TURNS: usize = 200;

async fn host() -> (Arc<PodNetwork>, Arc<ContainerNetwork>) {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let config = PodNetworkConfig { uid: "one".into(), mode: NetworkMode::Host, ..PodNetworkConfig::default() };
    let pod = node.attach(config, Budget::unlimited()).await.unwrap();
    let network = pod.container("c");
    (pod, network)
}

fn udp(network: &Arc<ContainerNetwork>) -> UdpSocket {
    let mut socket = network.udp_socket(Family::V4).unwrap();
    socket.bind(at(V4, 0)).unwrap();
    socket
}

fn listener(network: &Arc<ContainerNetwork>) -> TcpSocket {
    let mut socket = network.tcp_socket(Family::V4).unwrap();
    socket.bind(at(V4, 0)).unwrap();
    socket.listen().unwrap();
    socket
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Nothing is ready, and stays so when the reactor has run.
async fn assert_rests(mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    for turn in 0..TURNS {
        assert_eq!(poll(&mut noop()), Poll::Pending, "turn {turn}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_datagram_that_was_taken_is_not_receivable() {
    let (_pod, network) = host().await;
    let (receiver, sender) = (udp(&network), udp(&network));
    let to = receiver.local_address().unwrap();
    for _ in 0..3 {
        assert_eq!(receiver.poll_receivable(&mut noop()), Poll::Pending);
        assert_eq!(sender.try_send(Bytes::from_static(b"x"), Some(to)), Ok(true));
        poll_fn(|cx| receiver.poll_receivable(cx)).await;
        assert!(receiver.try_receive().unwrap().is_some());
        // Without another attempt, too.
        assert_rests(|cx| receiver.poll_receivable(cx)).await;
        assert_eq!(receiver.try_receive().unwrap().map(|datagram| datagram.bytes), None);
        assert_rests(|cx| receiver.poll_receivable(cx)).await;
    }
}

#[tokio::test]
async fn a_datagram_that_was_taken_before_the_reactor_ran_is_not_receivable() {
    let (_pod, network) = host().await;
    let (receiver, sender) = (udp(&network), udp(&network));
    assert_eq!(receiver.poll_receivable(&mut noop()), Poll::Pending);
    sender.try_send(Bytes::from_static(b"x"), Some(receiver.local_address().unwrap())).unwrap();
    assert!(receiver.try_receive().unwrap().is_some());
    assert_rests(|cx| receiver.poll_receivable(cx)).await;
}

#[tokio::test]
async fn a_refusal_that_was_taken_is_not_receivable() {
    let (_pod, network) = host().await;
    let gone = udp(&network);
    let nobody = gone.local_address().unwrap();
    drop(gone);
    let mut client = udp(&network);
    client.connect(Some(nobody)).unwrap();
    for _ in 0..3 {
        assert_eq!(client.try_send(Bytes::from_static(b"x"), None), Ok(true));
        poll_fn(|cx| client.poll_receivable(cx)).await;
        assert_eq!(client.try_receive().err(), Some(NetError::ConnectionRefused));
        assert_rests(|cx| client.poll_receivable(cx)).await;
        assert_eq!(client.try_receive().unwrap().map(|datagram| datagram.bytes), None);
        assert_rests(|cx| client.poll_receivable(cx)).await;
        // There is room all the time.
        poll_fn(|cx| client.poll_sendable(cx)).await;
    }
    // Taken by a send instead.
    client.try_send(Bytes::from_static(b"x"), None).unwrap();
    poll_fn(|cx| client.poll_receivable(cx)).await;
    assert_eq!(client.try_send(Bytes::from_static(b"x"), None), Err(NetError::ConnectionRefused));
    assert_rests(|cx| client.poll_receivable(cx)).await;
}

#[tokio::test]
async fn a_connection_that_was_accepted_is_not_acceptable() {
    let (_pod, network) = host().await;
    let mut listener = listener(&network);
    let to = listener.local_address().unwrap();
    for _ in 0..3 {
        assert_rests(|cx| listener.poll_acceptable(cx)).await;
        let _client = network.connect(to).await.unwrap();
        poll_fn(|cx| listener.poll_acceptable(cx)).await;
        assert!(listener.try_accept().unwrap().is_some());
        assert!(listener.try_accept().unwrap().is_none());
        assert_rests(|cx| listener.poll_acceptable(cx)).await;
    }
}

/// As on Linux, where accept(2) gives the connection and the first read tells.
#[tokio::test]
async fn a_connection_that_was_reset_before_it_was_accepted_is_accepted() {
    let (_pod, network) = host().await;
    let mut listener = listener(&network);
    let client = std::net::TcpStream::connect(listener.local_address().unwrap()).unwrap();
    let address = client.local_addr().unwrap();
    rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    let server = listener.accept().await.unwrap();
    assert_eq!(server.remote_address(), Ok(address));
    let stream = server.stream().unwrap();
    let outcome = loop {
        match stream.try_read(1) {
            Ok(TcpRead::Empty) => poll_fn(|cx| stream.poll_readable(cx)).await,
            outcome => break outcome,
        }
    };
    assert_eq!(outcome, Err(NetError::ConnectionReset));
}

#[tokio::test]
async fn bytes_that_were_read_are_not_readable() {
    let (_pod, network) = host().await;
    let mut listener = listener(&network);
    let client = network.connect(listener.local_address().unwrap()).await.unwrap();
    let server = listener.accept().await.unwrap().stream().unwrap();
    for _ in 0..3 {
        assert_eq!(client.try_write(Bytes::from_static(b"x")), Ok(1));
        let read = poll_fn(|cx| match server.try_read(10) {
            Ok(TcpRead::Empty) => server.poll_readable(cx).map(|()| {
                cx.waker().wake_by_ref();
                None
            }),
            outcome => Poll::Ready(Some(outcome)),
        });
        let outcome = match read.await {
            Some(outcome) => outcome,
            None => server.try_read(10),
        };
        assert_eq!(outcome, Ok(TcpRead::Bytes(Bytes::from_static(b"x"))));
        assert_eq!(server.try_read(10), Ok(TcpRead::Empty));
        assert_rests(|cx| server.poll_readable(cx)).await;
    }
}

#[tokio::test]
async fn what_the_kernel_does_not_take_is_not_writable() {
    let (_pod, network) = host().await;
    let mut listener = listener(&network);
    let client = network.connect(listener.local_address().unwrap()).await.unwrap();
    let _server = listener.accept().await.unwrap();
    // Nobody reads: at some time the kernel takes no more.
    let mut sent = 0_usize;
    loop {
        match client.try_write(Bytes::from(vec![0; 65_536])).unwrap() {
            0 => break,
            count => sent += count,
        }
        assert!(sent < 1 << 30, "the kernel has no end");
    }
    // What is in flight gets there first.
    let mut pending = 0;
    while pending < TURNS {
        pending = if client.poll_writable(&mut noop()).is_pending() { pending + 1 } else { 0 };
        let _ = client.try_write(Bytes::from(vec![0; 65_536])).unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(client.writable(), Ok(0));
}

/// A guest's sockets need nobody but the threads that run guests.
#[test]
fn a_socket_is_watched_by_the_runtime_of_whoever_makes_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (node, guests) = (runtime(), runtime());
    let (_pod, network) = node.block_on(host());
    // From here on nobody looks at the events of the node's own.
    guests.block_on(async {
        let mut listener = listener(&network);
        let address = listener.local_address().unwrap();
        let mut client = network.tcp_socket(Family::V4).unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), client.connect(address));
        connected.unwrap();
        let (server, client) = (accepted.unwrap().stream().unwrap(), client.stream().unwrap());
        poll_fn(|cx| client.poll_writable(cx)).await;
        client.try_write(Bytes::from_static(b"x")).unwrap();
        poll_fn(|cx| server.poll_readable(cx)).await;
        assert_eq!(server.try_read(9), Ok(TcpRead::Bytes(Bytes::from_static(b"x"))));
        let (receiver, sender) = (udp(&network), udp(&network));
        sender.try_send(Bytes::from_static(b"x"), Some(receiver.local_address().unwrap())).unwrap();
        poll_fn(|cx| receiver.poll_receivable(cx)).await;
        assert!(receiver.try_receive().unwrap().is_some());
    });
}

/// All that waits for a runtime that has ended ends with an error.
#[test]
fn without_a_runtime_there_is_an_error_and_no_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (pod, network) = runtime.block_on(host());
    let datagrams = udp(&network);
    let mut listening = listener(&network);
    let to: SocketAddr = listening.local_address().unwrap();
    let (_client, server, full, _peer) = runtime.block_on(async {
        let client = network.connect(to).await.unwrap();
        let server = listening.accept().await.unwrap().stream().unwrap();
        let full = network.connect(to).await.unwrap();
        let peer = listening.accept().await.unwrap();
        (client, server, full, peer)
    });
    while full.try_write(Bytes::from(vec![0; 65_536])).is_ok_and(|count| count > 0) {}
    let mut connecting = network.tcp_socket(Family::V4).unwrap();
    connecting.start_connect(to).unwrap();
    drop(runtime);

    let gone = Some(NetError::Host(std::io::ErrorKind::Other));
    assert_eq!(datagrams.poll_receivable(&mut noop()), Poll::Ready(()));
    assert_eq!(datagrams.try_receive().err(), gone);
    assert_eq!(server.try_read(1).ok(), Some(TcpRead::Empty));
    assert_eq!(server.poll_readable(&mut noop()), Poll::Ready(()));
    assert_eq!(server.try_read(1).err(), gone);
    assert_eq!(full.poll_writable(&mut noop()), Poll::Ready(()));
    assert!(full.try_write(Bytes::from_static(b"x")).is_err());
    assert_eq!(listening.poll_acceptable(&mut noop()), Poll::Ready(()));
    assert!(listening.try_accept().is_err());
    assert!(matches!(connecting.poll_connect(&mut noop()), Poll::Ready(Err(_))));
    drop(pod);
}
