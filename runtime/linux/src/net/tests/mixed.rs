//! Pods of wasm and Linux containers, and pods of either beside each other: one port table, all ways.

use std::future::poll_fn;
use std::net::UdpSocket as KernelUdp;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, DialSource, HostPortConfig, KernelNamespace, NetError, NetworkPolicy, NodeNetwork,
    NodeNetworkConfig, PodIdentity, PodNetwork, PodNetworkConfig, PolicyRule, Selector, TcpRead, TcpSocket,
    TcpStream as Stream, UdpSocket,
};

use super::*;

/// A node whose pods get namespaces, and nothing else of this machine.
pub(super) fn node<T: Send>(work: impl AsyncFnOnce(&Path, Arc<NodeNetwork>) -> T + Send) -> T {
    apart(|dir, _| {
        let networks = Networks::new(dir.join("run"), dir.join("state"), vec!["10.87.0.0/16".parse().unwrap()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
            node.set_kernel_networks(Arc::new(networks));
            work(dir, node).await
        })
    })
}

async fn attach(node: &Arc<NodeNetwork>, name: &str) -> Arc<PodNetwork> {
    let identity = PodIdentity { namespace: "default".into(), name: name.into(), ..PodIdentity::default() };
    let config = PodNetworkConfig { uid: name.into(), identity, ..PodNetworkConfig::default() };
    node.attach(config, Budget::unlimited()).await.unwrap()
}

/// A thread in a pod's namespace, as a Linux container is.
pub(super) struct Linux(NamespaceThread);

impl Linux {
    /// The first one of the pod, or a further one.
    pub(super) fn container(pod: &Arc<PodNetwork>) -> Self {
        let KernelNamespace::Path(path) = pod.kernel_namespace().unwrap() else { panic!("no namespace") };
        Self(NamespaceThread::in_namespace(&path).unwrap())
    }

    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.0.run(work).unwrap()
    }

    /// Connects, says hello, and gives what comes back; waits aside.
    fn hello(&self, to: SocketAddr) -> tokio::task::JoinHandle<io::Result<String>> {
        let stream = self.run(move || TcpStream::connect(to));
        tokio::task::spawn_blocking(move || {
            let mut stream = stream?;
            stream.write_all(b"hello")?;
            // On a connection that has been reset meanwhile this is ENOTCONN; reading says what has become of it.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// The same at an address that has just become free: a process that another test is starting at this moment has all
    /// sockets of this one until it runs its own program.
    fn serve_now(&self, at: &str) -> io::Result<()> {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            match self.serve(at) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && std::time::Instant::now() < until => {
                    std::thread::yield_now();
                }
                served => return served,
            }
        }
    }

    /// A server that answers everybody with their address.
    pub(super) fn serve(&self, at: &str) -> io::Result<()> {
        let at: SocketAddr = at.parse().unwrap();
        let listener = self.run(move || TcpListener::bind(at))?;
        std::thread::spawn(move || {
            while let Ok((mut stream, from)) = listener.accept() {
                let _ = stream.write_all(from.ip().to_string().as_bytes());
            }
        });
        Ok(())
    }
}

fn listen(container: &Arc<ContainerNetwork>, at: &str) -> std::result::Result<TcpSocket, NetError> {
    let at: SocketAddr = at.parse().unwrap();
    let mut socket = container.tcp_socket(Family::of(at.ip()))?;
    socket.bind(at)?;
    socket.listen()?;
    Ok(socket)
}

async fn read_all(stream: &Stream) -> String {
    let mut all = Vec::new();
    loop {
        poll_fn(|cx| stream.poll_readable(cx)).await;
        match stream.try_read(1000).unwrap() {
            TcpRead::Bytes(bytes) => all.extend(bytes),
            TcpRead::Empty => {}
            TcpRead::End => return String::from_utf8(all).unwrap(),
        }
    }
}

/// Accepts one connection and answers it; who came.
async fn greet_one(listener: &mut TcpSocket) -> SocketAddr {
    let accepted = listener.accept().await.unwrap();
    let stream = accepted.stream().unwrap();
    assert_eq!(read_all(&stream).await, "hello");
    stream.try_write(Bytes::from_static(b"welcome")).unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    accepted.remote_address().unwrap()
}

fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn siblings_of_both_kinds_are_one_pod() {
    if !is_possible() {
        return;
    }
    node(async |dir, node| {
        let pod = attach(&node, "mixed").await;
        let wasm = pod.container("wasm");
        // It listens before there is any namespace.
        let mut early = listen(&wasm, "0.0.0.0:80").unwrap();
        let linux = Linux::container(&pod);
        let mut late = listen(&wasm, "127.0.0.1:81").unwrap();
        for to in [at(LOCALHOST, 80), at(pod.ips()[0], 80), at(LOCALHOST, 81)] {
            let listener = if to.port() == 80 { &mut early } else { &mut late };
            let client = linux.hello(to);
            assert_eq!(greet_one(listener).await.ip(), to.ip(), "{to}: seen as it is on Linux");
            assert_eq!(client.await.unwrap().unwrap(), "welcome");
        }
        // The other way.
        linux.serve("0.0.0.0:90").unwrap();
        for to in [at(LOCALHOST, 90), at(pod.ips()[0], 90)] {
            let stream = wasm.connect(to).await.unwrap();
            assert_eq!(read_all(&stream).await, to.ip().to_string());
        }
        // And from the node: probes, port-forward.
        let stream = pod.dial(at(pod.ips()[0], 90), DialSource::Node).await.unwrap();
        assert_eq!(read_all(&stream).await, "10.87.0.1");
        let stream = pod.dial(at(LOCALHOST, 90), DialSource::Node).await.unwrap();
        assert_eq!(read_all(&stream).await, "127.0.0.1");
        assert_eq!(wasm.connect(at(LOCALHOST, 91)).await.unwrap_err(), NetError::ConnectionRefused);

        // One port table.
        assert_eq!(linux.serve("0.0.0.0:80").unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(listen(&wasm, "0.0.0.0:90").err(), Some(NetError::AddressInUse));
        // It frees with its socket, in both places.
        drop(early);
        linux.serve_now("0.0.0.0:80").unwrap();
        assert_eq!(listen(&wasm, "0.0.0.0:80").err(), Some(NetError::AddressInUse));
        // And with the container.
        wasm.close();
        linux.serve_now("127.0.0.1:81").unwrap();

        pod.close();
        drop(linux);
        nothing_is_left(dir);
    });
}

#[test]
fn pods_of_all_kinds_reach_each_other_and_are_seen_by_their_addresses() {
    if !is_possible() {
        return;
    }
    node(async |dir, node| {
        let plain = attach(&node, "plain").await;
        let mut before = listen(&plain.container("wasm"), "0.0.0.0:80").unwrap();
        let mixed = attach(&node, "mixed").await;
        let linux = Linux::container(&mixed);
        let other = attach(&node, "other").await;
        let other_linux = Linux::container(&other);
        // A pod that comes later.
        let late = attach(&node, "late").await;
        let mut after = listen(&late.container("wasm"), "0.0.0.0:80").unwrap();
        let mut of_mixed = listen(&mixed.container("wasm"), "0.0.0.0:80").unwrap();

        // Linux to wasm.
        for (listener, to, from, from_pod) in [
            (&mut before, &plain, &linux, &mixed),
            (&mut after, &late, &linux, &mixed),
            (&mut of_mixed, &mixed, &other_linux, &other),
        ] {
            let client = from.hello(at(to.ips()[0], 80));
            assert_eq!(greet_one(listener).await.ip(), from_pod.ips()[0]);
            assert_eq!(client.await.unwrap().unwrap(), "welcome");
        }
        // Wasm to Linux.
        linux.serve("0.0.0.0:90").unwrap();
        for from in [&plain, &late, &other, &mixed] {
            let stream = from.container("client").connect(at(mixed.ips()[0], 90)).await.unwrap();
            assert_eq!(read_all(&stream).await, from.ips()[0].to_string());
        }
        // Linux to Linux.
        let to = at(mixed.ips()[0], 90);
        let answer = other_linux.run(move || TcpStream::connect(to)).map(read).unwrap();
        assert_eq!(answer, other.ips()[0].to_string());

        // The switch goes with the last Linux container, and nothing else does.
        drop((linux, other_linux));
        mixed.close();
        other.close();
        nothing_is_left(dir);
        let again = late.container("client").connect(at(plain.ips()[0], 80)).await;
        again.unwrap();
        // It can come again.
        let linux = Linux::container(&late);
        let client = linux.hello(at(plain.ips()[0], 80));
        before.accept().await.unwrap();
        assert_eq!(greet_one(&mut before).await.ip(), late.ips()[0]);
        client.await.unwrap().unwrap();
        late.close();
        plain.close();
        drop(linux);
        nothing_is_left(dir);
    });
}

fn udp(pod: &Arc<PodNetwork>, at: &str) -> UdpSocket {
    let mut socket = pod.container("wasm").udp_socket(Family::V4).unwrap();
    socket.bind(at.parse().unwrap()).unwrap();
    socket
}

async fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    loop {
        if let Some(datagram) = socket.try_receive().unwrap() {
            return (String::from_utf8(datagram.bytes.to_vec()).unwrap(), datagram.remote);
        }
        poll_fn(|cx| socket.poll_receivable(cx)).await;
    }
}

#[test]
fn datagrams_go_all_ways_and_back() {
    if !is_possible() {
        return;
    }
    node(async |dir, node| {
        let mixed = attach(&node, "mixed").await;
        let plain = attach(&node, "plain").await;
        let sibling = udp(&mixed, "0.0.0.0:53");
        let linux = Linux::container(&mixed);
        let distant = udp(&plain, "0.0.0.0:53");
        let kernel = Arc::new(linux.run(|| KernelUdp::bind("0.0.0.0:54")).unwrap());
        for (wasm, to, seen) in [
            (&sibling, at(LOCALHOST, 53), LOCALHOST),
            (&sibling, at(mixed.ips()[0], 53), mixed.ips()[0]),
            (&distant, at(plain.ips()[0], 53), mixed.ips()[0]),
        ] {
            kernel.send_to(b"question", to).unwrap();
            let (text, from) = receive(wasm).await;
            assert_eq!((text.as_str(), from), ("question", at(seen, 54)));
            assert!(wasm.try_send(Bytes::from_static(b"answer"), Some(from)).unwrap());
            let waiting = Arc::clone(&kernel);
            let answer = tokio::task::spawn_blocking(move || {
                let mut buffer = [0; 100];
                let (count, from) = waiting.recv_from(&mut buffer)?;
                io::Result::Ok((String::from_utf8_lossy(&buffer[..count]).into_owned(), from))
            });
            assert_eq!(answer.await.unwrap().unwrap(), ("answer".to_owned(), to));
        }
        let taken = linux.run(|| KernelUdp::bind("0.0.0.0:53")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(kernel);
        plain.close();
        mixed.close();
        drop(linux);
        nothing_is_left(dir);
    });
}

#[test]
fn host_ports_lead_to_linux_containers() {
    if !is_possible() {
        return;
    }
    node(async |dir, node| {
        let port = |protocol| HostPortConfig { host_ip: None, host_port: 8080, container_port: 80, protocol };
        let config = PodNetworkConfig {
            uid: "published".into(),
            host_ports: vec![port(Protocol::Tcp), port(Protocol::Udp)],
            ..PodNetworkConfig::default()
        };
        // The loopback of this place, which clients come by.
        let lo = std::thread::scope(|scope| scope.spawn(loopback).join().unwrap());
        lo.unwrap();
        let pod = node.attach(config, Budget::unlimited()).await.unwrap();
        let linux = Linux::container(&pod);
        linux.serve("0.0.0.0:80").unwrap();
        let server = linux.run(|| KernelUdp::bind("0.0.0.0:80")).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((count, from)) = server.recv_from(&mut buffer) {
                let _ = server.send_to(&buffer[..count], from);
            }
        });
        let clients = tokio::task::spawn_blocking(|| {
            let tcp = read(TcpStream::connect("127.0.0.1:8080").unwrap());
            let udp = KernelUdp::bind("127.0.0.1:0").unwrap();
            // A loss fails the test instead of holding it up.
            udp.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
            let mut answers = Vec::new();
            for text in ["one", "two"] {
                udp.send_to(text.as_bytes(), "127.0.0.1:8080").unwrap();
                let mut buffer = [0; 100];
                let (count, _) = udp.recv_from(&mut buffer).unwrap();
                answers.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
            }
            (tcp, answers)
        });
        let (tcp, udp) = clients.await.unwrap();
        assert_eq!((tcp.as_str(), udp), ("10.87.0.1", vec!["one".to_owned(), "two".to_owned()]));
        pod.close();
        drop(linux);
        nothing_is_left(dir);
    });
}

#[test]
fn policies_hold_for_linux_containers_that_speak_to_wasm() {
    if !is_possible() {
        return;
    }
    node(async |_, node| {
        let mixed = attach(&node, "mixed").await;
        let plain = attach(&node, "plain").await;
        let _listener = listen(&plain.container("wasm"), "0.0.0.0:80").unwrap();
        let linux = Linux::container(&mixed);
        // Nobody comes in anywhere.
        let closed = NetworkPolicy {
            namespace: "default".into(),
            name: "closed".into(),
            pods: Selector::default(),
            ingress: Some(Vec::<PolicyRule>::new()),
            egress: None,
        };
        node.set_policies(vec![closed]);
        let refused = linux.hello(at(plain.ips()[0], 80)).await.unwrap().unwrap_err();
        assert!(matches!(refused.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{refused}");
        // A pod always reaches itself.
        let mut own = listen(&mixed.container("wasm"), "0.0.0.0:81").unwrap();
        let client = linux.hello(at(mixed.ips()[0], 81));
        greet_one(&mut own).await;
        client.await.unwrap().unwrap();
    });
}
