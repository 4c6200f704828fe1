//! NetworkPolicy objects, as guests meet them: what is allowed connects, what is not is denied at once.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, DenyReason, DialSource, Family, NamedPort, NamespacePeers, NetError, NetworkPolicy, NodeNetwork,
    NodeNetworkConfig, PodIdentity, PodNetwork, PodNetworkConfig, PolicyPeer, PolicyPort, PolicyPortNumber, PolicyRule,
    Protocol, Requirement, RequirementOperator, Selector, TcpSocket, UdpSocket,
};

const INGRESS: Result<(), NetError> = Err(NetError::AccessDenied(DenyReason::IngressPolicy));
const EGRESS: Result<(), NetError> = Err(NetError::AccessDenied(DenyReason::EgressPolicy));

/// A pod with one container.
struct Pod {
    pod: Arc<PodNetwork>,
    container: Arc<ContainerNetwork>,
}

fn identity(namespace: &str, role: &str) -> PodIdentity {
    PodIdentity {
        namespace: namespace.to_owned(),
        name: role.to_owned(),
        labels: BTreeMap::from([("role".to_owned(), role.to_owned())]),
        named_ports: vec![NamedPort { name: "sql".to_owned(), protocol: Protocol::Tcp, port: 5432 }],
    }
}

impl Pod {
    async fn attach(node: &Arc<NodeNetwork>, namespace: &str, role: &str) -> Self {
        let config = PodNetworkConfig {
            uid: format!("{namespace}-{role}"),
            identity: identity(namespace, role),
            ..PodNetworkConfig::default()
        };
        let pod = node.attach(config, Budget::unlimited()).await.unwrap();
        Self { container: pod.container("app"), pod }
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pod.ips()[0], port)
    }

    fn listen(&self, port: u16) -> TcpSocket {
        let mut socket = self.container.tcp_socket(Family::V4).unwrap();
        socket.bind(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        socket.listen().unwrap();
        socket
    }

    fn receive(&self, port: u16) -> UdpSocket {
        let mut socket = self.container.udp_socket(Family::V4).unwrap();
        socket.bind(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        socket
    }

    async fn connect(&self, to: SocketAddr) -> Result<(), NetError> {
        self.container.connect(to).await.map(drop)
    }

    fn send(&self, to: SocketAddr) -> Result<(), NetError> {
        self.container.udp_socket(Family::V4)?.try_send(Bytes::from_static(b"?"), Some(to)).map(drop)
    }
}

fn role(role: &str) -> Selector {
    let operator = RequirementOperator::In([role.to_owned()].into());
    Selector(vec![Requirement { key: "role".to_owned(), operator }])
}

fn policy(pods: Selector, ingress: Option<Vec<PolicyRule>>, egress: Option<Vec<PolicyRule>>) -> NetworkPolicy {
    NetworkPolicy { namespace: "default".to_owned(), name: "test".to_owned(), pods, ingress, egress }
}

fn from_role(name: &str, ports: Vec<PolicyPort>) -> PolicyRule {
    PolicyRule { peers: vec![PolicyPeer::Pods { namespaces: NamespacePeers::Own, pods: role(name) }], ports }
}

fn sql() -> Vec<PolicyPort> {
    vec![PolicyPort { protocol: Protocol::Tcp, port: PolicyPortNumber::Named("sql".to_owned()) }]
}

#[tokio::test]
async fn only_the_selected_peers_reach_an_isolated_pod() {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let db = Pod::attach(&node, "default", "db").await;
    let front = Pod::attach(&node, "default", "front").await;
    let stranger = Pod::attach(&node, "default", "stranger").await;
    let namesake = Pod::attach(&node, "elsewhere", "front").await;
    let (_sql, _admin, _udp) = (db.listen(5432), db.listen(9000), db.receive(5432));
    node.set_policies(vec![policy(role("db"), Some(vec![from_role("front", sql())]), None)]);

    assert_eq!(front.connect(db.address(5432)).await, Ok(()));
    assert_eq!(front.connect(db.address(9000)).await, INGRESS);
    assert_eq!(front.send(db.address(5432)), INGRESS);
    assert_eq!(stranger.connect(db.address(5432)).await, INGRESS);
    assert_eq!(namesake.connect(db.address(5432)).await, INGRESS);
    // A pod reaches itself, and the node reaches every pod.
    assert_eq!(db.connect(db.address(9000)).await, Ok(()));
    assert!(db.pod.dial(db.address(9000), DialSource::Node).await.is_ok());
    // The other direction is not isolated.
    let _front = front.listen(80);
    assert_eq!(db.connect(front.address(80)).await, Ok(()));
}

#[tokio::test]
async fn an_isolated_pod_reaches_only_what_its_rules_say() {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let db = Pod::attach(&node, "default", "db").await;
    let other = Pod::attach(&node, "default", "other").await;
    let app = Pod::attach(&node, "default", "app").await;
    let (_db, _other) = (db.listen(5432), other.listen(5432));
    node.set_policies(vec![policy(role("app"), None, Some(vec![from_role("db", sql())]))]);

    assert_eq!(app.connect(db.address(5432)).await, Ok(()));
    assert_eq!(app.connect(other.address(5432)).await, EGRESS);
    // Also what would leave the node: denied before the host hears of it.
    assert_eq!(app.connect("192.0.2.1:5432".parse().unwrap()).await, EGRESS);
    assert_eq!(app.send("192.0.2.1:5432".parse().unwrap()), EGRESS);
    assert_eq!(other.connect(db.address(5432)).await, Ok(()));
}

#[tokio::test]
async fn changed_policies_and_labels_hold_from_now_on_and_connections_stay() {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let db = Pod::attach(&node, "default", "db").await;
    let app = Pod::attach(&node, "default", "app").await;
    let _db = db.listen(5432);
    let before = app.container.connect(db.address(5432)).await.unwrap();
    node.set_policies(vec![policy(Selector::default(), Some(vec![from_role("front", sql())]), None)]);
    assert_eq!(app.connect(db.address(5432)).await, INGRESS);
    assert!(before.try_write(Bytes::from_static(b"still")).unwrap() > 0);
    app.pod.set_identity(identity("default", "front"));
    assert_eq!(app.connect(db.address(5432)).await, Ok(()));
    app.pod.set_identity(identity("default", "app"));
    node.set_policies(Vec::new());
    assert_eq!(app.connect(db.address(5432)).await, Ok(()));
}
