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
