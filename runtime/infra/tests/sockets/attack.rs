//! What guests choose is bounded: sockets, connections, bytes, memory.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    Family, NetError, NetworkLimits, NodeNetwork, NodeNetworkConfig, PodNetwork, PodNetworkConfig, TcpOptions, TcpRead,
    TcpSocket, TcpStream, UdpOptions,
};

use crate::stack::{V4, at};

async fn pod(limits: NetworkLimits, memory: &Arc<Budget>) -> Arc<PodNetwork> {
    let node = NodeNetwork::new(NodeNetworkConfig { limits, ..NodeNetworkConfig::default() }).unwrap();
    let config = PodNetworkConfig { uid: "one".into(), ..PodNetworkConfig::default() };
    node.attach(config, Arc::clone(memory)).await.unwrap()
}

fn listen(pod: &Arc<PodNetwork>, port: u16) -> TcpSocket {
    let mut socket = pod.container("server").tcp_socket(Family::V4).unwrap();
    socket.bind(at(V4, port)).unwrap();
    socket.listen().unwrap();
    socket
}

#[tokio::test]
async fn a_container_has_so_many_sockets_and_gets_them_back() {
    let limits = NetworkLimits { sockets_per_container: 10, ..NetworkLimits::default() };
    let pod = pod(limits, &Budget::unlimited()).await;
    let mut listener = listen(&pod, 80);
    let network = pod.container("client");
    let mut sockets: Vec<_> = (0..10).map(|_| network.tcp_socket(Family::V4).unwrap()).collect();
    let full = Some(NetError::LimitReached("sockets of a container"));
    assert_eq!(network.tcp_socket(Family::V4).err(), full);
    assert_eq!(network.udp_socket(Family::V4).err(), full);
    let mut connected = sockets.pop().unwrap();
    connected.start_connect(at(V4, 80)).unwrap();
    let stream = connected.stream().unwrap();
    drop(connected);
    assert_eq!(network.tcp_socket(Family::V4).err(), full, "its connection lives by the stream");
    drop(stream);
    network.tcp_socket(Family::V4).unwrap();
    // Another container has its own.
    pod.container("other").tcp_socket(Family::V4).unwrap();
    // A listener without a place for the connection leaves it in the backlog.
    let crowded = pod.container("crowded");
    let mut own = crowded.tcp_socket(Family::V4).unwrap();
    own.bind(at(V4, 81)).unwrap();
    own.listen().unwrap();
    let mut others: Vec<_> = (0..9).map(|_| crowded.udp_socket(Family::V4).unwrap()).collect();
    let _client = pod.container("other").connect(at(V4, 81)).await.unwrap();
    assert_eq!(own.try_accept().err(), full);
    others.pop();
    assert!(own.try_accept().unwrap().is_some());
    assert!(listener.try_accept().unwrap().is_some());
}

#[tokio::test]
async fn a_pod_has_so_many_connections() {
    let limits = NetworkLimits { connections_per_pod: 8, ..NetworkLimits::default() };
    let pod = pod(limits, &Budget::unlimited()).await;
    let mut listener = listen(&pod, 80);
    let network = pod.container("client");
    let mut streams = Vec::new();
    let error = loop {
        match network.connect(at(V4, 80)).await {
            Ok(stream) => streams.push(stream),
            Err(error) => break error,
        }
    };
    // Each end counts.
    assert_eq!((streams.len(), error), (4, NetError::LimitReached("connections of a pod")));
    streams.pop();
    while listener.try_accept().unwrap().is_some() {}
    network.connect(at(V4, 80)).await.unwrap();
}

#[tokio::test]
async fn connects_that_wait_are_bounded() {
    let limits = NetworkLimits { pending_per_listener: 3, ..NetworkLimits::default() };
    let pod = pod(limits, &Budget::unlimited()).await;
    let mut listener = listen(&pod, 80);
    listener.set_backlog(1).unwrap();
    let network = pod.container("client");
    let mut sockets = Vec::new();
    let outcomes: Vec<_> = (0..7)
        .map(|_| {
            let mut socket = network.tcp_socket(Family::V4).unwrap();
            let outcome = socket.start_connect(at(V4, 80));
            sockets.push(socket);
            outcome
        })
        .collect();
    let refused = Err(NetError::ConnectionRefused);
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), refused.clone(), refused]);
}

#[tokio::test]
async fn every_port_can_be_taken_and_then_there_is_an_error() {
    let limits = NetworkLimits { sockets_per_container: 40_000, ..NetworkLimits::default() };
    let pod = pod(limits, &Budget::unlimited()).await;
    let network = pod.container("greedy");
    let mut sockets = Vec::new();
    let error = loop {
        let mut socket = network.udp_socket(Family::V4).unwrap();
        match socket.bind(at(V4, 0)) {
            Ok(()) => sockets.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!((sockets.len(), error), (60_999 - 32_768 + 1, NetError::OutOfPorts));
    network.close();
    pod.container("next").udp_socket(Family::V4).unwrap().bind(at(V4, 0)).unwrap();
}

fn fill(stream: &TcpStream, chunk: usize) -> usize {
    let mut written = 0;
    loop {
        match stream.try_write(Bytes::from(vec![1; chunk])).unwrap() {
            0 => return written,
            taken => written += taken,
        }
    }
}

fn drain(stream: &TcpStream) -> usize {
    let mut read = 0;
    while let Ok(TcpRead::Bytes(bytes)) = stream.try_read(usize::MAX) {
        read += bytes.len();
    }
    read
}

#[tokio::test]
async fn streams_are_bounded_whatever_the_guest_asks_for() {
    let memory = Budget::unlimited();
    let pod = pod(NetworkLimits::default(), &memory).await;
    let mut listener = listen(&pod, 80);
    let network = pod.container("client");
    for (asked, most) in [(u64::MAX, 1024 * 1024), (1, 8 * 1024)] {
        let options = |socket: &TcpSocket| TcpOptions { receive_buffer: asked, send_buffer: asked, ..socket.options() };
        let mut client = network.tcp_socket(Family::V4).unwrap();
        client.set_options(options(&client)).unwrap();
        client.start_connect(at(V4, 80)).unwrap();
        let mut server = listener.try_accept().unwrap().unwrap();
        server.set_options(options(&server)).unwrap();
        let (client, server) = (client.stream().unwrap(), server.stream().unwrap());
        for chunk in [1, 100, 5000, 200_000] {
            assert_eq!(fill(&client, chunk), most, "in chunks of {chunk}");
            let cost = usize::try_from(memory.used()).unwrap();
            assert!(cost < most * 2 + 64 * 1024, "{cost} bytes for {most} in chunks of {chunk}");
            assert_eq!(drain(&server), most);
        }
    }
    drop((network, listener));
    pod.close();
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn a_pod_without_memory_gets_on_slowly_and_is_never_stuck() {
    let memory = Budget::new(Some(64 * 1024), None);
    let pod = pod(NetworkLimits::default(), &memory).await;
    let mut listener = listen(&pod, 80);
    let network = pod.container("client");
    let client = network.connect(at(V4, 80)).await.unwrap();
    let server = listener.try_accept().unwrap().unwrap().stream().unwrap();
    let all = fill(&client, 10_000);
    assert!(all > 30_000 && all < 64 * 1024, "{all}");
    assert!(memory.used() <= 64 * 1024);
    assert_eq!(drain(&server), all);
    // Something else takes all that is left.
    let rest = memory.available();
    memory.charge(rest).unwrap();
    for _ in 0..10 {
        let room = client.writable().unwrap();
        assert!(room > 3000, "{room}");
        let taken = fill(&client, 10_000);
        assert!(taken > 3000 && taken < 40_000, "{taken}");
        assert_eq!(client.writable(), Ok(0));
        assert_eq!(drain(&server), taken);
    }
    let refused = network.connect(at(V4, 80)).await;
    assert_eq!(refused.err(), Some(NetError::LimitReached("memory of the container or its pod")));
    drop((client, server, listener));
    memory.release(rest);
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn datagrams_that_nobody_reads_are_bounded() {
    let memory = Budget::unlimited();
    let pod = pod(NetworkLimits::default(), &memory).await;
    let network = pod.container("server");
    let mut receiver = network.udp_socket(Family::V4).unwrap();
    receiver.bind(at(V4, 53)).unwrap();
    let sender = network.udp_socket(Family::V4).unwrap();
    let flood = |size: usize| {
        for _ in 0..20_000 {
            assert_eq!(sender.try_send(Bytes::from(vec![0; size]), Some(at(V4, 53))), Ok(true));
        }
        memory.used()
    };
    for size in [0, 1, 1000, 60_000] {
        let used = flood(size);
        assert!(used <= 300 * 1024, "{used} bytes for datagrams of {size}");
    }
    receiver.set_options(UdpOptions { receive_buffer: u64::MAX, ..receiver.options() }).unwrap();
    assert!(flood(1000) <= 1100 * 1024);
    while receiver.try_receive().unwrap().is_some() {}
    drop((receiver, sender));
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn sockets_come_and_go_and_nothing_is_left() {
    let memory = Budget::unlimited();
    let pod = pod(NetworkLimits::default(), &memory).await;
    let mut listener = listen(&pod, 80);
    let network = pod.container("client");
    for round in 0..3000_u32 {
        let stream = network.connect(at(V4, 80)).await.unwrap();
        stream.try_write(Bytes::from_static(b"hello")).unwrap();
        if round % 3 != 0 {
            drop(listener.try_accept().unwrap().unwrap());
        } else {
            let accepted = listener.try_accept().unwrap().unwrap().stream().unwrap();
            assert!(matches!(accepted.try_read(9), Ok(TcpRead::Bytes(_))));
        }
    }
    assert_eq!(memory.used(), 0);
    // All are free again: as many as ever can be had.
    let to: SocketAddr = at(V4, 80);
    listener.set_backlog(4096).unwrap();
    let streams: Vec<_> = connect_all(&network, to, 2000).await;
    assert_eq!(streams.len(), 2000);
}

#[tokio::test]
async fn sockets_of_the_host_are_bounded_by_pod() {
    let limits = NetworkLimits { host_sockets_per_pod: 3, ..NetworkLimits::default() };
    let pod = pod(limits, &Budget::unlimited()).await;
    let network = pod.container("client");
    let outside: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let send = || {
        let socket = network.udp_socket(Family::V4).unwrap();
        let _ = socket.try_send(Bytes::from_static(b"x"), Some(outside))?;
        Ok(socket)
    };
    let mut sockets: Vec<_> = (0..3).map(|_| send()).collect();
    // Whether there is a way to the outside is the host's affair; a way was opened all the same.
    if sockets.iter().all(Result::is_ok) {
        let full = NetError::LimitReached("host sockets of a pod");
        assert_eq!(send().err(), Some(full.clone()));
        assert_eq!(network.connect(outside).await.err(), Some(full));
        sockets.pop();
        send().unwrap();
    }
}

async fn connect_all(
    network: &Arc<nacelle_infra::network::ContainerNetwork>,
    to: SocketAddr,
    count: usize,
) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(network.connect(to).await.unwrap());
    }
    streams
}
