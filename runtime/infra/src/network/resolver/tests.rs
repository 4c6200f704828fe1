//! Whole lookups, against name servers that answer, fail and keep silent.

use hickory_resolver::proto::op::ResponseCode;

use super::server::{Reply, TestServer};
use super::*;
use crate::network::HostAlias;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addresses(ips: &[&str]) -> Reply {
    Reply::Addresses(ips.iter().map(|text| ip(text)).collect())
}

/// What a pod may ask by the host's sockets; it has no others.
struct Allows(&'static [Protocol]);

impl Reach for Allows {
    fn way(&self, protocol: Protocol, _server: SocketAddr) -> Result<Way, DenyReason> {
        if self.0.contains(&protocol) { Ok(Way::Host) } else { Err(DenyReason::EgressPolicy) }
    }

    fn udp_socket(&self, _family: Family) -> Result<UdpSocket, NetError> {
        Err(NetError::NotSupported)
    }

    fn tcp_socket(&self, _family: Family) -> Result<TcpSocket, NetError> {
        Err(NetError::NotSupported)
    }
}

const ALL: &[Protocol] = &[Protocol::Udp, Protocol::Tcp];

/// A pod whose name servers are these.
struct Pod(PodResolver);

impl Pod {
    fn new(resolv_conf: &str, servers: &[&TestServer]) -> Self {
        let names = NamesConfig {
            hostname: "web".to_owned(),
            fqdn: Some("web.front.shop.svc.cluster.local".to_owned()),
            aliases: vec![HostAlias { ip: ip("10.1.2.3"), hostnames: vec!["aliased.example".to_owned()] }],
            dns: DnsConfig::parse(resolv_conf),
        };
        let ips = [ip("10.87.0.2"), ip("fd88::2")];
        let clients = Arc::new(DnsClients::default());
        let mut resolver = PodResolver::new(&names, &names.files(&ips), &ips, clients, Handle::current());
        resolver.nameservers = servers.iter().map(|server| server.address).collect();
        Self(resolver)
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.0.resolve(name, Arc::new(Allows(ALL))).await
    }

    async fn found(&self, name: &str) -> Vec<String> {
        self.resolve(name).await.unwrap().iter().map(IpAddr::to_string).collect()
    }
}

#[tokio::test]
async fn what_the_files_say_needs_no_name_server() {
    let pod = Pod::new("", &[]);
    let table: [(&str, &[&str]); 9] = [
        ("10.0.0.1", &["10.0.0.1"]),
        ("[::1]", &["::1"]),
        ("localhost", &["127.0.0.1", "::1"]),
        ("LocalHost.", &["127.0.0.1", "::1"]),
        ("app.localhost", &["127.0.0.1", "::1"]),
        ("web", &["10.87.0.2", "fd88::2"]),
        ("web.front.shop.svc.cluster.local", &["10.87.0.2", "fd88::2"]),
        ("aliased.example", &["10.1.2.3"]),
        ("ip6-allnodes", &["fe00::1"]),
    ];
    for (name, expected) in table {
        assert_eq!(pod.found(name).await, expected, "{name}");
    }
    assert_eq!(pod.resolve("a b").await, Err(ResolveError::InvalidName));
    assert!(matches!(pod.resolve("a").await, Err(ResolveError::Temporary(_))));
}

#[tokio::test]
async fn on_the_hosts_network_the_own_name_is_found_without_a_line_in_the_file() {
    let names = NamesConfig { hostname: "Machine".to_owned(), ..NamesConfig::default() };
    let ips = [ip("192.0.2.1"), ip("2001:db8::1")];
    let clients = Arc::new(DnsClients::default());
    let resolver = PodResolver::new(&names, &names.files_on_host(""), &ips, clients, Handle::current());
    assert_eq!(resolver.resolve("machine", Arc::new(Allows(&[]))).await.unwrap(), ips);
}

#[tokio::test]
async fn the_search_list_is_gone_through() {
    let server = TestServer::start(&[
        ("db.svc.cluster.local.", addresses(&["10.96.0.5"])),
        ("example.com.", addresses(&["2001:db8::5", "192.0.2.5"])),
    ])
    .await;
    let pod = Pod::new("search shop.svc.cluster.local svc.cluster.local\noptions ndots:5", &[&server]);
    assert_eq!(pod.found("db").await, ["10.96.0.5"]);
    // IPv4 first, as the pod's own address is.
    assert_eq!(pod.found("example.com").await, ["192.0.2.5", "2001:db8::5"]);
    let mut asked: Vec<_> = server.asked().into_iter().filter(|one| one.contains(" A by")).collect();
    asked.dedup();
    assert_eq!(
        asked,
        [
            "db.shop.svc.cluster.local. A by UDP",
            "db.svc.cluster.local. A by UDP",
            "example.com.shop.svc.cluster.local. A by UDP",
            "example.com.svc.cluster.local. A by UDP",
            "example.com. A by UDP",
        ]
    );
}

#[tokio::test]
async fn ipv6_is_only_asked_for_where_the_pod_has_it() {
    let server = TestServer::start(&[("a.", addresses(&["10.96.0.5", "2001:db8::5"]))]).await;
    let mut pod = Pod::new("", &[&server]);
    pod.0.ips = vec![ip("10.87.0.2")];
    assert_eq!(pod.found("a.").await, ["10.96.0.5"]);
    assert_eq!(server.asked(), ["a. A by UDP"]);
    pod.0.ips = vec![ip("fd88::2")];
    assert_eq!(pod.found("a.").await, ["2001:db8::5", "10.96.0.5"]);
}

#[tokio::test]
async fn each_failure_is_told_apart() {
    let server = TestServer::start(&[
        ("empty.", Reply::Addresses(Vec::new())),
        ("failing.", Reply::Code(ResponseCode::ServFail)),
        ("refused.", Reply::Code(ResponseCode::Refused)),
    ])
    .await;
    let pod = Pod::new("", &[&server]);
    assert_eq!(pod.resolve("missing.").await, Err(ResolveError::Unknown));
    assert_eq!(pod.resolve("empty.").await, Err(ResolveError::Unknown));
    assert!(matches!(pod.resolve("failing.").await, Err(ResolveError::Temporary(why)) if why.contains("127.0.0.1")));
    assert!(matches!(pod.resolve("refused.").await, Err(ResolveError::Permanent(_))));
}

/// Time stands still but for what waits for it: 2 attempts with 3 seconds each pass at once.
#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_its_timeout_for_each_attempt() {
    let server = TestServer::start(&[("slow.", Reply::Silence)]).await;
    let pod = Pod::new("options timeout:3 attempts:2", &[&server]);
    let start = tokio::time::Instant::now();
    assert!(matches!(pod.resolve("slow.").await, Err(ResolveError::Temporary(_))));
    assert_eq!(start.elapsed().as_secs(), 6);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails() {
    let failing = TestServer::start(&[("a.", Reply::Code(ResponseCode::ServFail))]).await;
    let good = TestServer::start(&[("a.", addresses(&["10.96.0.5"]))]).await;
    let pod = Pod::new("", &[&failing, &good]);
    assert_eq!(pod.found("a.").await, ["10.96.0.5"]);
    // That there is no such name is an answer: the other one is not asked.
    assert_eq!(pod.resolve("b.").await, Err(ResolveError::Unknown));
    assert!(!good.asked().iter().any(|one| one.starts_with("b.")));
}

#[tokio::test]
async fn rotate_begins_with_another_server_each_time() {
    let one = TestServer::start(&[]).await;
    let other = TestServer::start(&[]).await;
    let pod = Pod::new("options rotate", &[&one, &other]);
    for name in ["a.", "b.", "c.", "d."] {
        assert_eq!(pod.resolve(name).await, Err(ResolveError::Unknown));
    }
    for (server, name) in [(&one, "a"), (&other, "b"), (&one, "c"), (&other, "d")] {
        assert_eq!(server.asked().iter().find(|asked| asked.starts_with(name)), Some(&format!("{name}. A by UDP")));
    }
    let first_asked = |server: &TestServer, name: &str| server.asked().iter().position(|asked| asked.starts_with(name));
    assert_eq!((first_asked(&one, "b"), first_asked(&other, "a")), (None, None));
}

#[tokio::test]
async fn that_a_name_is_missing_is_not_remembered_but_its_address_is() {
    let server = TestServer::start(&[("a.", addresses(&["10.96.0.5"]))]).await;
    let pod = Pod::new("", &[&server]);
    for _ in 0..2 {
        pod.found("a.").await;
        pod.resolve("b.").await.unwrap_err();
    }
    let count = |question: &str| server.asked().iter().filter(|asked| *asked == question).count();
    assert_eq!(count("a. A by UDP"), 1);
    assert_eq!(count("b. A by UDP"), 2);
}

#[tokio::test]
async fn a_server_that_policy_forbids_is_not_asked() {
    let server = TestServer::start(&[("a.", addresses(&["10.96.0.5"]))]).await;
    let pod = Pod::new("", &[&server]);
    let denied = pod.0.resolve("a.", Arc::new(Allows(&[]))).await;
    assert_eq!(denied, Err(ResolveError::Denied(DenyReason::EgressPolicy)));
    assert!(server.asked().is_empty());
    // Names of the files need no server.
    assert!(pod.0.resolve("localhost", Arc::new(Allows(&[]))).await.is_ok());
}

#[tokio::test]
async fn where_policy_forbids_tcp_what_does_not_fit_into_a_datagram_is_a_failure() {
    let many = (0..100_u8).map(|last| IpAddr::from([10, 1, 0, last])).collect();
    let server = TestServer::start(&[("a.", Reply::Addresses(many)), ("b.", addresses(&["10.96.0.5"]))]).await;
    let pod = Pod::new("", &[&server]);
    let resolve = |name: &'static str| pod.0.resolve(name, Arc::new(Allows(&[Protocol::Udp])));
    assert!(matches!(resolve("a.").await, Err(ResolveError::Temporary(_))));
    assert!(resolve("b.").await.is_ok());
    assert!(!server.asked().iter().any(|asked| asked.ends_with("TCP")));
    let udp_only = pod.0.resolve("b.", Arc::new(Allows(&[Protocol::Tcp]))).await;
    assert_eq!(udp_only, Err(ResolveError::Denied(DenyReason::EgressPolicy)));
}

#[tokio::test]
async fn what_a_datagram_does_not_hold_is_asked_for_by_tcp_up_to_a_bound() {
    let many = (0..1000_u32).map(|n| IpAddr::from(Ipv4Addr::from_bits(n))).collect();
    let server = TestServer::start(&[("a.", Reply::Addresses(many))]).await;
    let pod = Pod::new("", &[&server]);
    assert_eq!(pod.found("a.").await.len(), MAX_ADDRESSES);
    assert!(server.asked().contains(&"a. A by UDP".to_owned()) && server.asked().contains(&"a. A by TCP".to_owned()));
    let tcp_only = Pod::new("options use-vc", &[&server]);
    assert_eq!(tcp_only.resolve("b.").await, Err(ResolveError::Unknown));
    assert!(!server.asked().contains(&"b. A by UDP".to_owned()));
}

/// However many a guest asks for: those under way are bounded, the others wait, and past that they fail at once.
#[tokio::test(start_paused = true)]
async fn lookups_under_way_are_bounded() {
    let server = TestServer::start(&[("slow.", Reply::Silence)]).await;
    let pod = Pod::new("options timeout:1 attempts:1", &[&server]);
    let mut lookups = futures::stream::FuturesUnordered::new();
    for _ in 0..WAITING + 10 {
        lookups.push(pod.resolve("slow."));
    }
    let mut refused = 0;
    while let Some(result) = futures::StreamExt::next(&mut lookups).await {
        let Err(ResolveError::Temporary(why)) = result else { panic!("{result:?}") };
        refused += usize::from(why.contains("under way"));
    }
    assert_eq!(refused, 10);
    assert_eq!(pod.0.asking.available_permits(), LOOKUPS);
    assert_eq!(pod.0.waiting.available_permits(), WAITING);
}
