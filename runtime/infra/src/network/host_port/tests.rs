//! Host ports against real sockets of the host's loopback, with a pod that is a stand-in.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::*;

/// Hands every connection and datagram to the test.
struct FakePod {
    connections: mpsc::UnboundedSender<(u16, SocketAddr, DuplexStream)>,
    datagrams: mpsc::UnboundedSender<(u16, SocketAddr, Bytes)>,
    refuses: Option<NetError>,
}

impl Target for FakePod {
    const CONNECTIONS_GO_ON: bool = false;

    type Stream = DuplexStream;

    async fn dial(&self, port: u16, client: SocketAddr) -> Result<DuplexStream, NetError> {
        if let Some(error) = &self.refuses {
            return Err(error.clone());
        }
        let (outside, inside) = tokio::io::duplex(1024);
        self.connections.send((port, client, inside)).unwrap();
        Ok(outside)
    }

    fn deliver(&self, port: u16, client: SocketAddr, bytes: Bytes) {
        self.datagrams.send((port, client, bytes)).unwrap();
    }
}

struct Fixture {
    host: Arc<HostPorts>,
    pod: Arc<FakePod>,
    connections: mpsc::UnboundedReceiver<(u16, SocketAddr, DuplexStream)>,
    datagrams: mpsc::UnboundedReceiver<(u16, SocketAddr, Bytes)>,
}

impl Fixture {
    fn new(refuses: Option<NetError>) -> Self {
        let (connections, connections_here) = mpsc::unbounded_channel();
        let (datagrams, datagrams_here) = mpsc::unbounded_channel();
        Self {
            host: Arc::new(HostPorts::default()),
            pod: Arc::new(FakePod { connections, datagrams, refuses }),
            connections: connections_here,
            datagrams: datagrams_here,
        }
    }

    /// A port of 127.0.0.1 that leads to the pod's port 8080.
    fn serve(&self, protocol: Protocol) -> (OpenPorts, SocketAddr) {
        let mut open = OpenPorts::open(&self.host, "default/pod", &[config(protocol)]).unwrap();
        open.serve(&Arc::downgrade(&self.pod), &Handle::current());
        let address = open.addresses().next().unwrap();
        (open, address)
    }
}

fn config(protocol: Protocol) -> HostPortConfig {
    HostPortConfig { host_ip: Some(Ipv4Addr::LOCALHOST.into()), host_port: 0, container_port: 8080, protocol }
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    let mut fixture = Fixture::new(None);
    let (_open, address) = fixture.serve(Protocol::Tcp);
    let mut client = TcpStream::connect(address).await.unwrap();
    let (port, seen, mut inside) = fixture.connections.recv().await.unwrap();
    assert_eq!((port, seen), (8080, client.local_addr().unwrap()));

    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    let mut request = String::new();
    inside.read_to_string(&mut request).await.unwrap();
    assert_eq!(request, "request");
    // The other way is still open.
    inside.write_all(b"response").await.unwrap();
    drop(inside);
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    assert_eq!(response, "response");
}

#[tokio::test]
async fn a_refusal_inside_is_a_reset_outside() {
    for refusal in [NetError::ConnectionRefused, NetError::LimitReached("connections")] {
        let fixture = Fixture::new(Some(refusal));
        let (_open, address) = fixture.serve(Protocol::Tcp);
        let mut client = TcpStream::connect(address).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn without_an_address_both_families_are_served() {
    let mut fixture = Fixture::new(None);
    let config = HostPortConfig { host_ip: None, ..config(Protocol::Tcp) };
    let mut open = OpenPorts::open(&fixture.host, "default/pod", &[config]).unwrap();
    open.serve(&Arc::downgrade(&fixture.pod), &Handle::current());
    let address = open.addresses().next().unwrap();
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await.unwrap();
    let (_, seen, _inside) = fixture.connections.recv().await.unwrap();
    // Not ::ffff:127.0.0.1.
    assert_eq!(seen, client.local_addr().unwrap());
    if address.is_ipv6() {
        let client = TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).await.unwrap();
        let (_, seen, _inside) = fixture.connections.recv().await.unwrap();
        assert_eq!(seen, client.local_addr().unwrap());
    }
}

#[tokio::test]
async fn a_port_is_free_at_once_after_its_pod_and_connections_end() {
    let mut fixture = Fixture::new(None);
    let (open, address) = fixture.serve(Protocol::Tcp);
    let mut client = TcpStream::connect(address).await.unwrap();
    let (_, _, _inside) = fixture.connections.recv().await.unwrap();
    drop(open);
    // No task has run since.
    let same = HostPortConfig { host_port: address.port(), ..config(Protocol::Tcp) };
    let _next = OpenPorts::open(&fixture.host, "default/next", &[same]).unwrap();
    // An end or a reset.
    assert!(client.read_u8().await.is_err());

    let (open, address) = fixture.serve(Protocol::Udp);
    drop(open);
    let same = HostPortConfig { host_port: address.port(), ..config(Protocol::Udp) };
    let _next = OpenPorts::open(&fixture.host, "default/next", &[same]).unwrap();
}

#[tokio::test]
async fn a_pod_that_cannot_have_all_its_ports_keeps_none() {
    let fixture = Fixture::new(None);
    let (_open, taken) = fixture.serve(Protocol::Tcp);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let with_port = |host_port| HostPortConfig { host_port, ..config(Protocol::Tcp) };
    let error = OpenPorts::open(&fixture.host, "default/other", &[with_port(free), with_port(taken.port())]);
    // Port 0 was claimed, so it is the kernel that knows: another process would look the same.
    let Err(AttachError::HostPort { source, .. }) = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), ErrorKind::AddrInUse);
    let open = OpenPorts::open(&fixture.host, "default/third", &[with_port(free)]).unwrap();
    let error = OpenPorts::open(&fixture.host, "default/fourth", &[with_port(free)]).unwrap_err();
    assert_eq!(error.to_string(), format!("host port {free}/TCP is taken by pod default/third"));
    drop(open);
}

#[tokio::test]
async fn datagrams_find_their_way_back_and_only_to_clients() {
    let mut fixture = Fixture::new(None);
    let (open, address) = fixture.serve(Protocol::Udp);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"question", address).await.unwrap();
    let (port, seen, bytes) = fixture.datagrams.recv().await.unwrap();
    assert_eq!((port, seen, &bytes[..]), (8080, client.local_addr().unwrap(), &b"question"[..]));

    assert_eq!(open.reply(8080, seen, b"answer"), Reply::Sent);
    let mut buffer = [0; 16];
    let (length, from) = client.recv_from(&mut buffer).await.unwrap();
    assert_eq!((&buffer[..length], from), (&b"answer"[..], address));

    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(open.reply(8080, stranger, b"answer"), Reply::NotAClient);
    assert_eq!(open.reply(8081, seen, b"answer"), Reply::NotAClient);
}

#[tokio::test]
async fn an_ipv4_client_of_a_port_for_both_families_is_answered() {
    let mut fixture = Fixture::new(None);
    let config = HostPortConfig { host_ip: None, ..config(Protocol::Udp) };
    let mut open = OpenPorts::open(&fixture.host, "default/pod", &[config]).unwrap();
    open.serve(&Arc::downgrade(&fixture.pod), &Handle::current());
    let port = open.addresses().next().unwrap().port();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    client.send(b"question").await.unwrap();
    let (_, seen, _) = fixture.datagrams.recv().await.unwrap();
    assert_eq!(open.reply(8080, seen, b"answer"), Reply::Sent);
    let mut buffer = [0; 16];
    assert_eq!(client.recv(&mut buffer).await.unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_flow_ends_when_it_is_idle() {
    let client = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let mut flows = udp::Flows::default();
    let start = tokio::time::Instant::now();
    flows.seen(client(1), client(1), start);
    tokio::time::advance(udp::IDLE / 2).await;
    // Answers keep it alive, too.
    assert_eq!(flows.used(client(1), tokio::time::Instant::now()), Some(client(1)));
    tokio::time::advance(udp::IDLE - std::time::Duration::from_millis(1)).await;
    assert_eq!(flows.used(client(1), tokio::time::Instant::now()), Some(client(1)));
    tokio::time::advance(udp::IDLE).await;
    assert_eq!(flows.used(client(1), tokio::time::Instant::now()), None);
}

#[tokio::test(start_paused = true)]
async fn flows_are_bounded_and_the_one_idle_longest_goes_first() {
    let client = |port: usize| SocketAddr::from(([192, 0, 2, 1], u16::try_from(port).unwrap()));
    let mut flows = udp::Flows::default();
    for port in 0..udp::FLOWS {
        flows.seen(client(port), client(port), tokio::time::Instant::now());
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
    }
    let now = tokio::time::Instant::now();
    flows.seen(client(0), client(0), now);
    flows.seen(client(60_000), client(60_000), now);
    assert_eq!(flows.used(client(1), now), None);
    assert!(flows.used(client(0), now).is_some() && flows.used(client(2), now).is_some());
}

#[tokio::test]
async fn connections_of_a_port_are_bounded() {
    connections_are_bounded(3, 100).await;
}

#[tokio::test]
async fn connections_of_all_ports_are_bounded() {
    connections_are_bounded(100, 3).await;
}

async fn connections_are_bounded(of_port: usize, of_node: usize) {
    let mut fixture = Fixture::new(None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = Arc::downgrade(&fixture.pod);
    let room = tcp::Room { port: Arc::new(Semaphore::new(of_port)), node: Arc::new(Semaphore::new(of_node)) };
    tokio::spawn(tcp::serve(Arc::new(Closable::new(listener)), target, 8080, room));
    let mut clients = Vec::new();
    let mut inside = Vec::new();
    for _ in 0..of_port.min(of_node) {
        clients.push(TcpStream::connect(address).await.unwrap());
        inside.push(fixture.connections.recv().await.unwrap());
    }
    // The kernel completes it, but nobody takes it …
    let mut late = TcpStream::connect(address).await.unwrap();
    tokio::task::yield_now().await;
    assert!(fixture.connections.try_recv().is_err());
    // … until another one ends.
    clients.pop();
    inside.pop();
    let (_, seen, mut last) = fixture.connections.recv().await.unwrap();
    assert_eq!(seen, late.local_addr().unwrap());
    last.write_all(b"!").await.unwrap();
    assert_eq!(late.read_u8().await.unwrap(), b'!');
}

#[tokio::test(start_paused = true)]
async fn without_descriptors_it_is_tried_again_ever_later_and_others_go_on_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut fixture = Fixture::new(None);
    let room = tcp::Room { port: Arc::new(Semaphore::new(9)), node: Arc::new(Semaphore::new(9)) };
    let full = || std::io::Error::from(rustix::io::Errno::MFILE);
    let aborted = || std::io::Error::from(rustix::io::Errno::CONNABORTED);
    let waits = [1, 2, 4, 8, 16, 32, 64, 128].map(|times| tcp::FIRST_WAIT * times);
    // More failures than it takes for the longest wait, one of a single connection, a connection, and one more.
    let mut outcomes: std::collections::VecDeque<_> =
        waits.iter().map(|_| Some(Err(full()))).chain([Some(Err(aborted())), None, Some(Err(full()))]).collect();
    let (asked, mut times) = mpsc::unbounded_channel();
    let accept = move |cx: &mut std::task::Context<'_>| match outcomes.front() {
        Some(None) => listener.poll_accept(cx).map(|accepted| {
            outcomes.pop_front();
            Some(accepted)
        }),
        Some(Some(_)) => {
            asked.send(tokio::time::Instant::now()).unwrap();
            std::task::Poll::Ready(outcomes.pop_front().flatten())
        }
        None => std::task::Poll::Pending,
    };
    let _client = TcpStream::connect(address).await.unwrap();
    tokio::spawn(tcp::serve_each(accept, Arc::downgrade(&fixture.pod), 8080, room));
    let mut asked = Vec::new();
    while asked.len() < waits.len() + 2 {
        asked.push(times.recv().await.unwrap());
    }
    let passed: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let longest = |wait: &std::time::Duration| (*wait).min(tcp::LONGEST_WAIT);
    // A connection that failed by itself is no reason to wait, and one that came resets the wait.
    let expected: Vec<_> = waits.iter().map(longest).chain([std::time::Duration::ZERO]).collect();
    assert_eq!(passed, expected);
    assert!(fixture.connections.recv().await.is_some());
}

#[test]
fn a_port_that_needs_a_privilege_says_what_to_do() {
    let error = AttachError::HostPort {
        address: Ipv6Addr::UNSPECIFIED.into(),
        port: 80,
        protocol: Protocol::Tcp,
        source: ErrorKind::PermissionDenied.into(),
    };
    let words = error.to_string();
    assert!(words.contains("[::]:80/TCP") && words.contains("CAP_NET_BIND_SERVICE"), "{words}");
}
