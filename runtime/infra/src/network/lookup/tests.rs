//! Name servers that run in pods.

use std::net::IpAddr;

use super::*;
use crate::budget::Budget;
use crate::network::resolver::server::{Reply, Table, serve_connection};
use crate::network::{
    ContainerNetwork, DnsConfig, NamesConfig, NetworkPolicy, NodeNetwork, NodeNetworkConfig, PodNetworkConfig,
    ResolveError, Selector,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn attach(node: &Arc<NodeNetwork>, name: &str, resolv_conf: &str) -> Arc<PodNetwork> {
    let config = PodNetworkConfig {
        uid: name.to_owned(),
        identity: crate::network::PodIdentity {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            ..Default::default()
        },
        names: NamesConfig { dns: DnsConfig::parse(resolv_conf), ..NamesConfig::default() },
        ..PodNetworkConfig::default()
    };
    node.attach(config, Budget::unlimited()).await.unwrap()
}

fn table() -> Arc<Table> {
    Arc::new(Table::new(&[("db.example.", Reply::Addresses(vec![ip("10.96.0.5")]))]))
}

/// A name server of a container: TCP only.
async fn serve_tcp(network: Arc<ContainerNetwork>, table: Arc<Table>) {
    let mut listener = network.tcp_socket(Family::V4).unwrap();
    listener.bind("0.0.0.0:53".parse().unwrap()).unwrap();
    listener.listen().unwrap();
    tokio::spawn(async move {
        while let Ok(connection) = listener.accept().await {
            tokio::spawn(serve_connection(connection.stream().unwrap(), Arc::clone(&table)));
        }
    });
}

#[tokio::test]
async fn a_server_on_the_pods_own_loopback_is_asked_there() {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let pod = attach(&node, "pod", "nameserver 127.0.0.2\noptions use-vc timeout:1 attempts:1\n").await;
    // Nothing listens: as if nobody answered.
    let client = pod.container("client");
    assert!(matches!(client.resolve("db.example").await, Err(ResolveError::Temporary(_))));
    serve_tcp(pod.container("dns"), table()).await;
    assert_eq!(client.resolve("db.example").await.unwrap(), [ip("10.96.0.5")]);
    assert_eq!(client.resolve("no.example").await, Err(ResolveError::Unknown));
}

/// A name server of a container: UDP, and what it does not hold is left to TCP.
async fn serve_udp(network: Arc<ContainerNetwork>, table: Arc<Table>) {
    let mut socket = network.udp_socket(Family::V4).unwrap();
    socket.bind("0.0.0.0:53".parse().unwrap()).unwrap();
    tokio::spawn(async move {
        loop {
            std::future::poll_fn(|cx| socket.poll_receivable(cx)).await;
            while let Ok(Some(query)) = socket.try_receive() {
                if let Some(reply) = table.datagram(&query.bytes) {
                    socket.try_send(reply.into(), Some(query.remote)).unwrap();
                }
            }
        }
    });
}

#[tokio::test]
async fn datagrams_and_what_does_not_fit_into_them_reach_a_server_inside() {
    let many: Vec<_> = (0..100_u8).map(|last| IpAddr::from([10, 1, 0, last])).collect();
    let table = Arc::new(Table::new(&[
        ("db.example.", Reply::Addresses(vec![ip("10.96.0.5")])),
        ("many.example.", Reply::Addresses(many)),
    ]));
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let pod = attach(&node, "pod", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").await;
    serve_udp(pod.container("dns"), Arc::clone(&table)).await;
    let client = pod.container("client");
    assert_eq!(client.resolve("db.example").await.unwrap(), [ip("10.96.0.5")]);
    assert_eq!(client.resolve("no.example").await, Err(ResolveError::Unknown));
    // Nobody takes the connection.
    assert!(matches!(client.resolve("many.example").await, Err(ResolveError::Temporary(_))));
    serve_tcp(pod.container("dns-tcp"), table).await;
    assert_eq!(client.resolve("many.example").await.unwrap().len(), 100);
}

/// Sockets of lookups are the container's: when it has as many as it may have, it looks nothing up inside.
#[tokio::test]
async fn lookups_inside_count_as_sockets_of_the_container() {
    let mut config = NodeNetworkConfig::default();
    config.limits.sockets_per_container = 1;
    let node = NodeNetwork::new(config).unwrap();
    let pod = attach(&node, "pod", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").await;
    serve_udp(pod.container("dns"), table()).await;
    let client = pod.container("client");
    assert!(client.resolve("db.example").await.is_ok());
    let socket = client.udp_socket(Family::V4).unwrap();
    assert!(matches!(client.resolve("db.example").await, Err(ResolveError::Temporary(_))));
    drop(socket);
    assert!(client.resolve("db.example").await.is_ok());
    client.close();
    assert!(matches!(client.resolve("db.example").await, Err(ResolveError::Temporary(_))));
}

#[tokio::test]
async fn a_server_in_another_pod_is_asked_there_as_policy_allows() {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let server = attach(&node, "server", "").await;
    serve_tcp(server.container("dns"), table()).await;
    let resolv_conf = format!("nameserver {}\noptions use-vc timeout:1 attempts:1\n", server.ips()[0]);
    let client = attach(&node, "client", &resolv_conf).await.container("client");
    assert_eq!(client.resolve("db.example").await.unwrap(), [ip("10.96.0.5")]);

    let isolated = NetworkPolicy {
        namespace: "default".to_owned(),
        name: "none".to_owned(),
        pods: Selector::default(),
        ingress: Some(Vec::new()),
        egress: None,
    };
    node.set_policies(vec![isolated]);
    assert_eq!(client.resolve("db.example").await, Err(ResolveError::Denied(DenyReason::IngressPolicy)));
    node.set_policies(Vec::new());
    server.close();
    assert!(matches!(client.resolve("db.example").await, Err(ResolveError::Temporary(_))));
}

#[tokio::test]
async fn a_container_without_network_asks_nobody() {
    let none = ContainerNetwork::none();
    assert_eq!(none.resolve("localhost").await, Err(ResolveError::Denied(DenyReason::NoNetwork)));
}
