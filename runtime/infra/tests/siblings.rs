//! Between the containers of a pod bytes move in memory: the kernel has no part in it. In a process of its own, whose
//! descriptors and calls are all this test's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, Family, NodeNetwork, NodeNetworkConfig, PodNetworkConfig, TcpRead, TcpSocket, TcpStream,
    UdpSocket,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// What the kernel has done for this thread and has open for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kernel {
    descriptors: usize,
    reads: u64,
    writes: u64,
}

impl Kernel {
    fn now() -> Self {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        // With one read, however long the text is.
        let mut text = [0; 1024];
        let length = std::fs::File::open("/proc/thread-self/io").unwrap().read(&mut text).unwrap();
        let text = std::str::from_utf8(&text[..length]).unwrap();
        let count = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap();
        Self { descriptors, reads: count("syscr:"), writes: count("syscw:") }
    }

    /// What came on top while `work` was done: descriptors that it kept open, and reads and writes.
    fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
        // Looking is reading, too: as much of it each time.
        let (first, before) = (Self::now(), Self::now());
        let done = work();
        let after = Self::now();
        let cost = before.reads - first.reads;
        let reads = after.reads - before.reads - cost;
        let more =
            Self { descriptors: after.descriptors - before.descriptors, reads, writes: after.writes - before.writes };
        (done, more)
    }
}

const NOTHING: Kernel = Kernel { descriptors: 0, reads: 0, writes: 0 };

/// Both ends of a connection over the pod's loopback.
fn connection(listener: &mut TcpSocket, client: &Arc<ContainerNetwork>) -> (TcpStream, TcpStream) {
    let mut socket = client.tcp_socket(Family::V4).unwrap();
    socket.start_connect(listener.local_address().unwrap()).unwrap();
    let accepted = listener.try_accept().unwrap().unwrap();
    assert!(socket.poll_connect(&mut Context::from_waker(Waker::noop())).is_ready());
    (socket.stream().unwrap(), accepted.stream().unwrap())
}

fn pass(from: &TcpStream, to: &TcpStream, bytes: &Bytes) {
    assert_eq!(from.try_write(bytes.clone()), Ok(bytes.len()));
    let Ok(TcpRead::Bytes(read)) = to.try_read(bytes.len()) else { panic!("nothing arrived") };
    assert_eq!(read.len(), bytes.len());
}

fn pass_datagram(from: &UdpSocket, to: &UdpSocket, bytes: &Bytes) {
    assert_eq!(from.try_send(bytes.clone(), Some(to.local_address().unwrap())), Ok(true));
    assert_eq!(to.try_receive().unwrap().unwrap().bytes.len(), bytes.len());
}

fn bound_udp(network: &Arc<ContainerNetwork>) -> UdpSocket {
    let mut socket = network.udp_socket(Family::V4).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket
}

#[test]
fn connections_open_no_descriptor_and_traffic_makes_no_call() {
    // In the same test: descriptors are the process's, and another test's would be counted.
    sockets_of_the_kernel_cost_what_is_counted();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let config = PodNetworkConfig { uid: "one".into(), ..PodNetworkConfig::default() };
    let pod = runtime.block_on(node.attach(config, Budget::unlimited())).unwrap();
    let (server, client) = (pod.container("server"), pod.container("client"));
    let _runtime = runtime.enter();
    let bytes = Bytes::from(vec![1; 1000]);

    let (connections, made) = Kernel::during(|| {
        let mut listener = server.tcp_socket(Family::V4).unwrap();
        listener.bind(SocketAddr::from(([127, 0, 0, 1], 7))).unwrap();
        listener.listen().unwrap();
        let connections: Vec<_> = (0..100).map(|_| connection(&mut listener, &client)).collect();
        (listener, connections)
    });
    assert_eq!(made, NOTHING);
    let (sockets, made) = Kernel::during(|| (bound_udp(&server), bound_udp(&client)));
    assert_eq!(made, NOTHING);

    let round_trips = |count: usize| {
        for (one, other) in connections.1.iter().cycle().take(count) {
            pass(one, other, &bytes);
            pass(other, one, &bytes);
            pass_datagram(&sockets.0, &sockets.1, &bytes);
            pass_datagram(&sockets.1, &sockets.0, &bytes);
        }
    };
    for count in [1, 10, 10_000] {
        let ((), made) = Kernel::during(|| round_trips(count));
        assert_eq!(made, NOTHING, "{count} round trips");
    }
    // The same for tasks that wait for each other.
    let (one, other) = &connections.1[0];
    let ((), made) = Kernel::during(|| {
        let mut tasks = std::pin::pin!(wait_for_each_other(one, other, &bytes));
        // Polled by hand: a runtime looks after its timers and sockets in between.
        while tasks.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
    });
    assert_eq!(made, NOTHING);
}

async fn wait_for_each_other(one: &TcpStream, other: &TcpStream, bytes: &Bytes) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut one, mut other) = (one.clone(), other.clone());
    let (sent, count) = (bytes.clone(), 1000);
    let echo = async move {
        let mut buffer = vec![0; 1000];
        for _ in 0..count {
            other.read_exact(&mut buffer).await.unwrap();
            other.write_all(&buffer).await.unwrap();
        }
    };
    let ask = async move {
        let mut buffer = vec![0; 1000];
        for _ in 0..count {
            one.write_all(&sent).await.unwrap();
            one.read_exact(&mut buffer).await.unwrap();
        }
    };
    tokio::join!(echo, ask);
}

/// What is counted is what sockets of the kernel cost.
fn sockets_of_the_kernel_cost_what_is_counted() {
    let (pair, made) =
        Kernel::during(|| socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap());
    assert_eq!(made, Kernel { descriptors: 2, ..NOTHING });
    let ((), made) = Kernel::during(|| {
        for _ in 0..100 {
            rustix::io::write(&pair.0, &[1; 1000]).unwrap();
            let mut buffer = [0; 1000];
            assert_eq!(rustix::io::read(&pair.1, &mut buffer).unwrap(), 1000);
        }
    });
    assert_eq!(made, Kernel { descriptors: 0, reads: 100, writes: 100 });
}
