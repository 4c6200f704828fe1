//! Pods on the node's network. Connections between pods need no socket of the host; host ports do, and use the real
//! clock.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use nacelle_container::ContainerInfra;
use nacelle_infra::network::{DenyReason, Family, NetError, TcpSocket};
use nacelle_node::{HostPort, PodHandle, Protocol};
use nacelle_spec::{Source, load};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake::read;
use crate::world::{ROOMY, World, becomes, parse, words};

fn pod(name: &str, metadata: &str, spec: &str, container: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, {metadata}}}, spec: {{terminationGracePeriodSeconds: 0, \
         {spec} containers: [{{name: {name}, image: 'file:app.wasm', command: [app, wait], {container}}}]}}}}"
    )
}

fn ip(pod: &PodHandle) -> IpAddr {
    pod.status().pod_ip.as_deref().unwrap().parse().unwrap()
}

fn listen(infra: &ContainerInfra, port: u16) -> TcpSocket {
    let mut socket = infra.network.tcp_socket(Family::V4).unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    socket.listen().unwrap();
    socket
}

#[tokio::test(start_paused = true)]
async fn a_pod_knows_its_address() {
    let world = World::new();
    let env = "env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, {name: NODE, valueFrom: {fieldRef: \
               {fieldPath: status.hostIP}}}]";
    let (web, _queue) = world.running(&pod("web", "", "subdomain: sub, ", env)).await;
    let status = web.status();
    let address = ip(&web);
    assert!(matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [10, 87]), "{address}");
    assert_eq!(status.pod_ips.as_ref().unwrap()[0].ip, address.to_string());
    let config = &world.backend.configs()[0];
    let value = |key: &str| config.env.iter().find(|(name, _)| name == key).unwrap().1.clone();
    assert_eq!((value("IP"), Some(value("NODE"))), (address.to_string(), status.host_ip.clone()));
    assert_eq!((config.hostname.as_str(), value("HOSTNAME").as_str()), ("web", "web"));
    let hosts = read(&world.backend.infra("web"), "/etc/hosts");
    assert!(hosts.contains(&format!("{address}\tweb.sub.default.svc.cluster.local\tweb")), "{hosts}");
    web.delete(None);
    web.finished().await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn on_the_hosts_network_the_names_and_addresses_are_the_hosts() {
    let world = World::new();
    let (web, _queue) = world.running(&pod("web", "", "hostNetwork: true, ", "")).await;
    let status = web.status();
    assert_eq!(status.pod_ip, status.host_ip);
    assert_eq!(world.backend.configs()[0].hostname, "here");
    web.delete(None);
    web.finished().await;
}

const POLICY: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: guard}, spec: {podSelector: \
                      {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {role: client}}}]}]}}";

#[tokio::test(start_paused = true)]
async fn policies_look_at_labels_as_they_are_now() {
    let world = World::new();
    let policies = load(&[Source { name: "policy.yaml".into(), bytes: POLICY.into() }]).objects;
    let (db, _db_queue) = world.running(&pod("db", "labels: {app: db}", "", "")).await;
    let stranger = pod("other", "labels: {role: stranger}", "", "");
    let (other, _other_queue) = world.running(&stranger).await;
    let (server, client) = (world.backend.infra("db"), world.backend.infra("other"));
    let _listener = listen(&server, 5432);
    let to = SocketAddr::new(ip(&db), 5432);

    assert!(client.network.connect(to).await.is_ok());
    world.node.set_network_policies(policies.network_policies());
    let denied = NetError::AccessDenied(DenyReason::IngressPolicy);
    assert_eq!(client.network.connect(to).await.err(), Some(denied.clone()));

    let (new, objects) = parse(&stranger.replace("role: stranger", "role: client"));
    other.update(&new, Arc::new(objects));
    let mut answer = Some(denied.clone());
    for _ in 0..1000 {
        answer = client.network.connect(to).await.err();
        if answer != Some(denied.clone()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(answer, None);
    for pod in [db, other] {
        pod.delete(None);
        pod.finished().await;
    }
    world.assert_clean();
}

/// A port of the host that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_published_port_leads_into_the_pod() {
    let world = World::new();
    let port = free_port();
    let published = HostPort {
        host_ip: Some(Ipv4Addr::LOCALHOST.into()),
        host_port: port,
        container_port: 80,
        protocol: Protocol::Tcp,
    };
    let (web, _queue) = world.start_published(&pod("web", "", "", ""), ROOMY, &[published]);
    becomes(&web, |status| status.phase.as_deref() == Some("Running")).await;
    let mut listener = listen(&world.backend.infra("web"), 80);
    let mut client = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    let mut stream = accepted.stream().unwrap();
    client.write_all(b"ping").await.unwrap();
    let mut received = [0; 4];
    stream.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"ping");
    web.delete(None);
    web.finished().await;
    assert!(tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err());
}

#[tokio::test]
async fn a_host_port_that_a_pod_holds_is_named_with_the_pod() {
    let world = World::new();
    let port = format!("ports: [{{containerPort: 80, hostPort: {}, hostIP: 127.0.0.1}}]", free_port());
    let (first, _first_queue) = world.running(&pod("first", "namespace: shop", "", &port)).await;
    let (second, mut queue) = world.start(&pod("second", "", "", &port), ROOMY);
    let message = loop {
        let notice = queue.recv().await.unwrap();
        if let (true, nacelle_node::Notice::Event { event, .. }) =
            (words(&notice) == "event FailedCreatePodSandBox pod", &notice)
        {
            break event.message.clone();
        }
    };
    assert!(message.contains("is taken by pod shop/first"), "{message}");
    for pod in [second, first] {
        pod.delete(None);
        pod.finished().await;
    }
    world.assert_clean();
}
