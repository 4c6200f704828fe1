use super::*;

fn pod(spec: &str) -> CheckedPod {
    let yaml = format!("{{metadata: {{name: web, namespace: shop}}, spec: {{{spec}}}}}");
    let pod = serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    CheckedPod::check(pod).unwrap_or_else(|found| panic!("{yaml}: {found:?}")).0
}

const APP: &str = "containers: [{name: app, image: \"a:1\"}]";

#[test]
fn names_of_a_pod() {
    for (fields, short, whole, kernel) in [
        ("", "web", None, "web"),
        ("hostname: db, ", "db", None, "db"),
        ("subdomain: sub, ", "web", Some("web.sub.shop.svc.cluster.local"), "web"),
        ("setHostnameAsFQDN: true, ", "web", None, "web"),
        (
            "hostname: db, subdomain: sub, setHostnameAsFQDN: true, ",
            "db",
            Some("db.sub.shop.svc.cluster.local"),
            "db.sub.shop.svc.cluster.local",
        ),
    ] {
        let pod = pod(&format!("{fields}{APP}"));
        assert_eq!(
            (pod.hostname(), pod.fqdn().as_deref(), &*pod.kernel_hostname()),
            (short, whole, kernel),
            "{fields}"
        );
    }
}

#[test]
fn dns_and_aliases() {
    let pod = pod(&format!(
        "dnsPolicy: None, dnsConfig: {{nameservers: [192.0.2.1, '2001:db8::1'], searches: [a.b], options: [{{name: \
         ndots, value: '2'}}, {{name: edns0}}]}}, hostAliases: [{{ip: 192.0.2.7, hostnames: [x, y.z]}}], {APP}"
    ));
    assert_eq!(pod.dns_policy(), DnsPolicy::None);
    let config = pod.dns_config();
    assert_eq!(config.nameservers.len(), 2);
    assert_eq!(config.options, [("ndots".to_owned(), Some("2".to_owned())), ("edns0".to_owned(), None)]);
    let aliases: Vec<_> = pod.host_aliases().map(|alias| (alias.ip.to_string(), alias.hostnames.join(" "))).collect();
    assert_eq!(aliases, [("192.0.2.7".to_owned(), "x y.z".to_owned())]);
}

#[test]
fn ports_of_what_runs_beside_others() {
    let pod = pod("initContainers: [{name: once, image: \"a:1\", ports: [{containerPort: 1, hostPort: 1}]}, \
                   {name: proxy, image: \"a:1\", restartPolicy: Always, ports: [{containerPort: 2, protocol: UDP}]}], \
                   containers: [{name: app, image: \"a:1\", ports: [{name: web, containerPort: 3, hostPort: 4, \
                   hostIP: 127.0.0.1}]}]");
    let ports: Vec<_> = pod.ports().collect();
    assert_eq!(ports.len(), 2);
    assert_eq!((ports[0].container, ports[0].protocol, ports[0].number), ("proxy", Protocol::Udp, 2));
    let expected = Port {
        container: "app",
        name: Some("web"),
        protocol: Protocol::Tcp,
        number: 3,
        host_port: Some(4),
        host_ip: Some(IpAddr::from([127, 0, 0, 1])),
    };
    assert_eq!(ports[1], expected);
}

#[test]
fn on_the_hosts_network_a_port_is_the_hosts() {
    let pod = pod("hostNetwork: true, containers: [{name: app, image: \"a:1\", ports: [{containerPort: 80}]}]");
    assert_eq!(pod.ports().next().and_then(|port| port.host_port), Some(80));
}

#[test]
fn http_is_served_on_the_port_of_that_name_then_the_first_then_8080() {
    for (ports, served) in [
        ("", 8080),
        ("{containerPort: 53, protocol: UDP}", 8080),
        ("{containerPort: 53, protocol: UDP}, {containerPort: 81}, {containerPort: 82}", 81),
        ("{containerPort: 81}, {name: http, containerPort: 82}", 82),
    ] {
        let pod = pod(&format!("containers: [{{name: app, image: \"a:1\", ports: [{ports}]}}]"));
        assert_eq!(pod.container("app").map(PodContainer::http_port), Some(served), "{ports}");
    }
}
