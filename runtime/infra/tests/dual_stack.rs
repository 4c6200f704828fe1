//! Pods that have an address of each family: all that leads to a pod leads to its IPv6 address, too.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, Datagram, DenyReason, DialSource, Family, HostPortConfig, NetError, NetworkPolicy, NodeNetwork,
    NodeNetworkConfig, PodIdentity, PodNetwork, PodNetworkConfig, PolicyPeer, PolicyRule, Protocol, Selector,
    TcpSocket, TcpStream, UdpSocket,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const INGRESS: NetError = NetError::AccessDenied(DenyReason::IngressPolicy);
const EGRESS: NetError = NetError::AccessDenied(DenyReason::EgressPolicy);
const ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
/// Port of the pods' servers.
const PORT: u16 = 7;

fn node() -> Arc<NodeNetwork> {
    let pod_cidrs = ["10.87.0.0/16", "fd87::/64"].map(|cidr| cidr.parse().unwrap()).to_vec();
    NodeNetwork::new(NodeNetworkConfig { pod_cidrs, ..NodeNetworkConfig::default() }).unwrap()
}

/// A pod with one container.
struct Pod {
    pod: Arc<PodNetwork>,
    container: Arc<ContainerNetwork>,
}

impl Pod {
    async fn attach(node: &Arc<NodeNetwork>, name: &str, host_ports: Vec<HostPortConfig>) -> Self {
        let identity = PodIdentity { namespace: "default".into(), name: name.into(), ..PodIdentity::default() };
        let config = PodNetworkConfig { uid: name.into(), identity, host_ports, ..PodNetworkConfig::default() };
        let pod = node.attach(config, Budget::unlimited()).await.unwrap();
        Self { container: pod.container("app"), pod }
    }

    fn address(&self) -> IpAddr {
        *self.pod.ips().iter().find(|ip| ip.is_ipv6()).unwrap()
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::new(self.address(), PORT)
    }

    fn listen(&self, ip: IpAddr) -> TcpSocket {
        let mut socket = self.container.tcp_socket(Family::V6).unwrap();
        socket.bind(SocketAddr::new(ip, PORT)).unwrap();
        socket.listen().unwrap();
        socket
    }

    fn udp(&self, port: u16) -> UdpSocket {
        let mut socket = self.container.udp_socket(Family::V6).unwrap();
        socket.bind(SocketAddr::new(ANY, port)).unwrap();
        socket
    }

    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, NetError> {
        self.container.connect(to).await
    }
}

async fn receive(socket: &UdpSocket) -> Datagram {
    loop {
        poll_fn(|cx| socket.poll_receivable(cx)).await;
        if let Some(datagram) = socket.try_receive().unwrap() {
            return datagram;
        }
    }
}

/// Sends a line each way, and ends the connection.
async fn talk(mut one: TcpStream, mut other: TcpStream) {
    one.write_all(b"question").await.unwrap();
    one.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    other.read_to_string(&mut text).await.unwrap();
    other.write_all(b"answer").await.unwrap();
    other.shutdown(std::net::Shutdown::Write).unwrap();
    one.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "questionanswer");
}

#[tokio::test]
async fn a_pod_has_an_address_of_each_family() {
    let node = node();
    let pod = Pod::attach(&node, "pod", Vec::new()).await;
    let families: Vec<_> = pod.pod.ips().iter().map(|ip| Family::of(*ip)).collect();
    assert_eq!(families, [Family::V4, Family::V6]);
    assert!("fd87::/64".parse::<ipnet::IpNet>().unwrap().contains(&pod.address()));
}

#[tokio::test]
async fn streams_pass_between_pods() {
    let node = node();
    let (server, client) =
        (Pod::attach(&node, "server", Vec::new()).await, Pod::attach(&node, "client", Vec::new()).await);
    for bound in [ANY, server.address()] {
        let mut listener = server.listen(bound);
        let stream = client.connect(server.server()).await.unwrap();
        let accepted = listener.accept().await.unwrap().stream().unwrap();
        assert_eq!((stream.local_address().ip(), stream.remote_address()), (client.address(), server.server()));
        assert_eq!((accepted.remote_address(), accepted.local_address()), (stream.local_address(), server.server()));
        talk(stream, accepted).await;
    }
    // Nobody listens any more; nobody has that address; it is not the client's to bind.
    assert_eq!(client.connect(server.server()).await.err(), Some(NetError::ConnectionRefused));
    let nobody = "[fd87::ffff]:7".parse().unwrap();
    assert_eq!(client.connect(nobody).await.err(), Some(NetError::RemoteUnreachable));
    let mut socket = client.container.tcp_socket(Family::V6).unwrap();
    assert_eq!(socket.bind(server.server()), Err(NetError::AddressNotBindable));
}

#[tokio::test]
async fn datagrams_pass_between_pods() {
    let node = node();
    let (server, client) =
        (Pod::attach(&node, "server", Vec::new()).await, Pod::attach(&node, "client", Vec::new()).await);
    let (receiver, mut sender) = (server.udp(PORT), client.udp(0));
    assert_eq!(sender.try_send(Bytes::from_static(b"question"), Some(server.server())), Ok(true));
    let question = receive(&receiver).await;
    assert_eq!((&question.bytes[..], question.remote.ip()), (&b"question"[..], client.address()));
    assert_eq!(receiver.try_send(Bytes::from_static(b"answer"), Some(question.remote)), Ok(true));
    let answer = receive(&sender).await;
    assert_eq!((&answer.bytes[..], answer.remote), (&b"answer"[..], server.server()));
    // A connected socket has the pod's address, and hears of a port that nobody has.
    sender.connect(Some(SocketAddr::new(server.address(), 8))).unwrap();
    assert_eq!(sender.local_address().unwrap().ip(), client.address());
    assert_eq!(sender.try_send(Bytes::from_static(b"?"), None), Ok(true));
    assert_eq!(sender.try_receive().err(), Some(NetError::ConnectionRefused));
}

fn policy(ingress: Option<Vec<PolicyRule>>, egress: Option<Vec<PolicyRule>>) -> NetworkPolicy {
    NetworkPolicy { namespace: "default".into(), name: "guard".into(), pods: Selector::default(), ingress, egress }
}

/// A rule for all of a block but one address.
fn block(cidr: &str, except: Option<IpAddr>) -> PolicyRule {
    let except = except.into_iter().map(Into::into).collect();
    PolicyRule { peers: vec![PolicyPeer::Block { cidr: cidr.parse().unwrap(), except }], ports: Vec::new() }
}

#[tokio::test]
async fn policies_hold_for_addresses_of_both_families() {
    let node = node();
    let server = Pod::attach(&node, "server", Vec::new()).await;
    let (friend, stranger) =
        (Pod::attach(&node, "friend", Vec::new()).await, Pod::attach(&node, "other", Vec::new()).await);
    let (_tcp, udp) = (server.listen(ANY), server.udp(PORT));
    let datagram = |from: &Pod| from.udp(0).try_send(Bytes::from_static(b"?"), Some(server.server()));

    node.set_policies(vec![policy(Some(vec![block("fd87::/64", Some(stranger.address()))]), None)]);
    assert!(friend.connect(server.server()).await.is_ok());
    assert_eq!(datagram(&friend), Ok(true));
    assert_eq!(receive(&udp).await.remote.ip(), friend.address());
    assert_eq!(stranger.connect(server.server()).await.err(), Some(INGRESS));
    assert_eq!(datagram(&stranger), Err(INGRESS));
    assert_eq!(udp.try_receive(), Ok(None));
    // A rule for IPv4 says nothing of IPv6.
    node.set_policies(vec![policy(Some(vec![block("0.0.0.0/0", None)]), None)]);
    assert_eq!(friend.connect(server.server()).await.err(), Some(INGRESS));
    node.set_policies(vec![policy(None, Some(vec![block("0.0.0.0/0", None)]))]);
    assert_eq!(friend.connect(server.server()).await.err(), Some(EGRESS));
    assert_eq!(friend.connect("[2001:db8::1]:7".parse().unwrap()).await.err(), Some(EGRESS));
    // The node is always let in, and a pod reaches itself.
    assert!(server.pod.dial(server.server(), DialSource::Node).await.is_ok());
    assert!(server.connect(server.server()).await.is_ok());
}

#[tokio::test]
async fn the_node_dials_and_is_seen_at_its_address_of_the_family() {
    let node = node();
    let server = Pod::attach(&node, "server", Vec::new()).await;
    let mut listener = server.listen(ANY);
    let dialled = server.pod.dial(server.server(), DialSource::Node).await.unwrap();
    let accepted = listener.accept().await.unwrap().stream().unwrap();
    assert_eq!(accepted.remote_address().ip(), "fd87::1".parse::<IpAddr>().unwrap());
    talk(dialled, accepted).await;
    let client = "[2001:db8::5]:4000".parse().unwrap();
    let dialled = server.pod.dial(server.server(), DialSource::Client(client)).await.unwrap();
    let accepted = listener.accept().await.unwrap().stream().unwrap();
    assert_eq!(accepted.remote_address(), client);
    talk(dialled, accepted).await;
}

#[tokio::test]
async fn host_ports_lead_to_the_address_of_the_clients_family() {
    let node = node();
    let port = |protocol| HostPortConfig {
        host_ip: Some(Ipv6Addr::LOCALHOST.into()),
        host_port: 0,
        container_port: PORT,
        protocol,
    };
    let server = Pod::attach(&node, "server", vec![port(Protocol::Tcp), port(Protocol::Udp)]).await;
    let addresses = server.pod.host_port_addresses();
    let (mut listener, udp) = (server.listen(server.address()), server.udp(PORT));
    let gateway: IpAddr = "fd87::1".parse().unwrap();

    let mut client = tokio::net::TcpStream::connect(addresses[0]).await.unwrap();
    let mut accepted = listener.accept().await.unwrap().stream().unwrap();
    assert_eq!((accepted.remote_address().ip(), accepted.local_address()), (gateway, server.server()));
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = String::new();
    accepted.read_to_string(&mut text).await.unwrap();
    accepted.write_all(b"answer").await.unwrap();
    accepted.shutdown(std::net::Shutdown::Write).unwrap();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "questionanswer");

    let client = tokio::net::UdpSocket::bind("[::1]:0").await.unwrap();
    client.send_to(b"question", addresses[1]).await.unwrap();
    let question = receive(&udp).await;
    assert_eq!((&question.bytes[..], question.remote.ip()), (&b"question"[..], gateway));
    assert_eq!(udp.try_send(Bytes::from_static(b"answer"), Some(question.remote)), Ok(true));
    let mut buffer = [0; 100];
    let (count, from) = client.recv_from(&mut buffer).await.unwrap();
    assert_eq!((&buffer[..count], from), (&b"answer"[..], addresses[1]));
}
