//! The pod's network: one localhost, one address, ports of the host, names, policies.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nacelle_tests::{Finished, Nacelle, Pod, Records, Running};

use crate::beside::Beside;

fn run(nacelle: &Nacelle, manifests: &str, more: &[&str]) -> Result<Finished> {
    start(nacelle, manifests, more)?.finish()
}

fn start(nacelle: &Nacelle, manifests: &str, more: &[&str]) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", manifests)?;
    let mut args = vec!["run".as_ref(), "-f".as_ref(), manifest.as_os_str()];
    args.extend(more.iter().map(std::ffi::OsStr::new));
    nacelle.spawn(args)
}

/// Pods start in no particular order: whoever dials tries again while nobody listens.
const PATIENCE: &str = "env: [{name: PATIENCE, value: '2'}]";

/// A port that nobody has right now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Sends a text to an echo server on this machine and returns what comes back.
pub(crate) fn echo(address: SocketAddr, text: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn containers_of_a_pod_share_localhost() -> Result<()> {
    let pod = Pod::new("p").container("server", "tcp-echo-server", &["127.0.0.1:7000", "1"], "").container(
        "client",
        "tcp-echo-client",
        &["localhost:7000", "over the pod's loopback"],
        "",
    );
    let finished = run(&Nacelle::new()?, &pod.yaml(), &[])?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.contains("client | over the pod's loopback"), "{}", finished.stdout);
    Ok(())
}

#[test]
fn a_pod_has_an_address_that_its_status_and_its_environment_show() -> Result<()> {
    let pod = Pod::new("p").container(
        "c",
        "hello",
        &["env", "POD_IP"],
        "env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]",
    );
    let finished = run(&Nacelle::new()?, &pod.yaml(), &["--output", "json", "--pod-cidr", "10.123.0.0/24"])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let records = Records::parse(&finished.stdout)?;
    let ip = records.last_status()?["podIP"].as_str().context("no podIP")?.to_owned();
    assert!(ip.starts_with("10.123.0."), "{ip}");
    assert!(finished.stdout.contains(&format!("POD_IP={ip}")), "{}", finished.stdout);
    Ok(())
}

#[test]
fn pods_reach_each_other_by_address() -> Result<()> {
    // Four addresses for pods: one of them is the server's.
    let server = Pod::new("server").container("c", "tcp-echo-server", &["0.0.0.0:7000"], "");
    let all: Vec<String> = (2..=6).map(|host| format!("10.123.0.{host}:7000")).collect();
    let mut args = vec!["dial"];
    args.extend(all.iter().map(String::as_str));
    let client = Pod::new("client").container("c", "attacker", &args, PATIENCE);
    let nacelle = Nacelle::new()?;
    let mut running =
        start(&nacelle, &format!("{}---\n{}", server.yaml(), client.yaml()), &["--pod-cidr", "10.123.0.0/29"])?;
    // Its own address, on which nobody listens; the server's; and three that nobody has.
    let mut outcomes = Vec::new();
    for address in &all {
        let line = running.wait_for_line(&format!("dial {address}: "))?;
        outcomes.push(line.rsplit_once(": ").context("no outcome")?.1.to_owned());
    }
    outcomes.sort();
    assert_eq!(
        outcomes,
        ["connected", "connection-refused", "remote-unreachable", "remote-unreachable", "remote-unreachable"]
    );
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

#[test]
fn a_host_port_leads_into_the_pod_and_goes_with_it() -> Result<()> {
    let port = free_port()?;
    let pod = Pod::new("p").spec("terminationGracePeriodSeconds: 1").container(
        "c",
        "tcp-echo-server",
        &["0.0.0.0:7000"],
        &format!("ports: [{{containerPort: 7000, hostPort: {port}, hostIP: 127.0.0.1}}]"),
    );
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod.yaml(), &["--pod-cidr", "10.123.0.0/24"])?;
    running.wait_for_line("listening on")?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(echo(address, "from outside")?, "from outside");
    // Whoever comes from the host itself comes from the node's address to the pod.
    running.wait_for_line("accepted 10.123.0.1:")?;
    running.signal("TERM")?;
    running.finish()?;
    TcpListener::bind(address)?;
    Ok(())
}

#[test]
fn a_published_port_leads_to_what_listens_in_the_pod() -> Result<()> {
    let port = free_port()?;
    let pod =
        Pod::new("p").spec("terminationGracePeriodSeconds: 1").container("c", "tcp-echo-server", &["0.0.0.0:7000"], "");
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod.yaml(), &["--publish", &format!("127.0.0.1:{port}:7000")])?;
    running.wait_for_line("listening on")?;
    assert_eq!(echo(SocketAddr::from(([127, 0, 0, 1], port)), "published")?, "published");
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

#[test]
fn datagrams_come_in_by_host_ports_and_published_ones_and_are_answered() -> Result<()> {
    let free = || anyhow::Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?);
    let (host_port, published) = (free()?, free()?);
    // A published port takes the place of the manifest's for the same port of the pod: here each has its own.
    let ports =
        format!("ports: [{{containerPort: 7000, protocol: UDP, hostPort: {}, hostIP: 127.0.0.1}}]", host_port.port());
    let pod = Pod::new("p")
        .spec("terminationGracePeriodSeconds: 1")
        .container("one", "udp-echo", &["serve", "0.0.0.0:7000"], &ports)
        .container("two", "udp-echo", &["serve", "0.0.0.0:7001"], "");
    let more = ["--pod-cidr", "10.123.0.0/24", "--publish", &format!("{published}:7001/udp")];
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod.yaml(), &more)?;
    for _ in 0..2 {
        running.wait_for_line("listening on")?;
    }
    for address in [host_port, published] {
        // Several clients at once, each of which gets its own back.
        let clients: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        for (index, client) in clients.iter().enumerate() {
            client.set_read_timeout(Some(Duration::from_secs(30)))?;
            client.send_to(format!("{index} by {address}").as_bytes(), address)?;
        }
        for (index, client) in clients.iter().enumerate() {
            let mut buffer = [0; 100];
            let (length, from) = client.recv_from(&mut buffer)?;
            assert_eq!(
                (String::from_utf8_lossy(&buffer[..length]), from),
                (format!("{index} by {address}").into(), address)
            );
        }
        // Whoever comes from the host itself comes from the node's address to the pod.
        running.wait_for_line("bytes from 10.123.0.1:")?;
        // Nobody leads TCP there.
        assert!(TcpStream::connect(address).is_err());
    }
    running.signal("TERM")?;
    running.finish()?;
    for address in [host_port, published] {
        UdpSocket::bind(address)?;
    }
    Ok(())
}

#[test]
fn a_host_port_that_is_taken_names_the_pod_that_has_it() -> Result<()> {
    let port = free_port()?;
    let ports = format!("ports: [{{containerPort: 7000, hostPort: {port}}}]");
    let pod = |name| {
        Pod::new(name).spec("terminationGracePeriodSeconds: 0").container(
            "c",
            "tcp-echo-server",
            &["0.0.0.0:7000"],
            &ports,
        )
    };
    let manifests = format!("{}---\n{}", pod("one").yaml(), pod("two").yaml());
    let finished = run(&Nacelle::new()?, &manifests, &["--for", "3s"])?;
    let holder = ["one", "two"].iter().any(|name| finished.stderr.contains(&format!("pod default/{name}")));
    assert!(holder && finished.stderr.contains(&port.to_string()), "{}", finished.stderr);
    Ok(())
}

#[test]
fn host_network_is_the_hosts() -> Result<()> {
    let port = free_port()?;
    let pod = Pod::new("p").spec("hostNetwork: true\nterminationGracePeriodSeconds: 1").container(
        "c",
        "tcp-echo-server",
        &[&format!("127.0.0.1:{port}")],
        "",
    );
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod.yaml(), &[])?;
    running.wait_for_line("listening on")?;
    assert_eq!(echo(SocketAddr::from(([127, 0, 0, 1], port)), "no way round")?, "no way round");
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

#[test]
fn nobody_reaches_the_hosts_loopback_or_the_link() -> Result<()> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    tcp.set_nonblocking(true)?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    udp.set_nonblocking(true)?;
    let port = tcp.local_addr()?.port();
    let targets = [
        format!("127.0.0.1:{port}"),
        format!("127.8.8.8:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1]:{port}"),
        format!("localhost:{port}"),
        "169.254.169.254:80".to_owned(),
        "224.0.0.1:80".to_owned(),
        "255.255.255.255:80".to_owned(),
    ];
    let mut args = vec!["dial"];
    args.extend(targets.iter().map(String::as_str));
    let pod = Pod::new("p").container("c", "attacker", &args, "");
    let mut beside = Beside::start(&pod.yaml(), &[])?;
    beside.wait_for_line("datagram 255.255.255.255:80: ")?;
    let finished = beside.finish()?;
    let dialled: Vec<_> = finished.stdout.lines().filter(|line| line.contains("| dial ")).collect();
    assert_eq!(dialled.len(), targets.len(), "{dialled:?}");
    assert!(dialled.iter().all(|line| !line.ends_with(": connected")), "{dialled:?}");
    // There is no connecting to many at once.
    for (target, outcome) in [
        ("169.254.169.254:80", "access-denied"),
        ("224.0.0.1:80", "invalid-argument"),
        ("255.255.255.255:80", "invalid-argument"),
    ] {
        for line in [format!("dial {target}: {outcome}"), format!("datagram {target}: access-denied")] {
            assert!(finished.stdout.contains(&line), "{line}: {}", finished.stdout);
        }
    }
    assert!(tcp.accept().is_err() && udp.recv(&mut [0]).is_err());
    Ok(())
}

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-friends}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {role: friend}}}]
    ports: [{protocol: TCP, port: 7000}]
---
";

#[test]
fn a_network_policy_decides_who_may_come_in() -> Result<()> {
    let labelled =
        |pod: Pod, labels: &str| pod.yaml().replacen("metadata:\n", &format!("metadata:\n  labels: {{{labels}}}\n"), 1);
    let server = labelled(Pod::new("server").container("c", "tcp-echo-server", &["0.0.0.0:7000"], ""), "app: server");
    let all: Vec<String> = (2..=6).map(|host| format!("10.123.0.{host}:7000")).collect();
    // Twice: the second time the server has its address for certain.
    let mut args = vec!["dial"];
    args.extend(all.iter().chain(&all).map(String::as_str));
    let friend = labelled(Pod::new("friend").container("c", "attacker", &args, PATIENCE), "role: friend");
    let stranger = labelled(Pod::new("stranger").container("c", "attacker", &args, PATIENCE), "role: stranger");
    let manifests = format!("{POLICY}{server}---\n{friend}---\n{stranger}");
    let mut beside = Beside::start(&manifests, &["--pod-cidr", "10.123.0.0/29"])?;
    // The last line of each of the two.
    for _ in 0..4 {
        beside.wait_for_line(&format!("datagram {}: ", all[4]))?;
    }
    let finished = beside.finish()?;
    let outcomes = |pod: &str, what: &str, outcome: &str| -> Vec<String> {
        let lines = finished.stdout.lines().filter(|line| line.starts_with(pod) && line.ends_with(outcome));
        let mut found: Vec<_> = lines
            .filter_map(|line| line.split_once(what))
            .map(|(_, target)| target.trim_start().trim_end_matches(outcome).to_owned())
            .collect();
        found.sort();
        found.dedup();
        found
    };
    let server = outcomes("friend/", "| dial", ": connected");
    assert_eq!(server.len(), 1, "{}", finished.stdout);
    assert_eq!(outcomes("stranger/", "| dial", ": access-denied"), server, "{}", finished.stdout);
    assert_eq!(outcomes("stranger/", "| dial", ": connected"), Vec::<String>::new());
    // The port is open for TCP alone, and nobody but the server is guarded.
    for pod in ["friend/", "stranger/"] {
        assert_eq!(outcomes(pod, "| datagram", ": access-denied"), server, "{}", finished.stdout);
    }
    assert_eq!(outcomes("friend/", "| dial", ": access-denied"), Vec::<String>::new());
    Ok(())
}

#[test]
fn names_are_those_of_the_files() -> Result<()> {
    let spec = "hostname: web\nsubdomain: team\nhostAliases: [{ip: 10.9.8.7, hostnames: [db, db.local]}]\n\
                dnsPolicy: None\ndnsConfig: {nameservers: [192.0.2.1], searches: [example.test], options: [{name: ndots, value: '2'}]}";
    let pod = Pod::new("p").spec(spec).container(
        "c",
        "hello",
        &["cat", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"],
        "",
    );
    let finished = run(&Nacelle::new()?, &pod.yaml(), &["--pod-cidr", "10.123.0.0/29"])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    for line in [
        "web",
        "127.0.0.1\tlocalhost",
        "\tweb.team.default.svc.cluster.local\tweb",
        "10.9.8.7\tdb\tdb.local",
        "nameserver 192.0.2.1",
        "search example.test",
        "options ndots:2",
    ] {
        assert!(finished.stdout.contains(line), "{line}: {}", finished.stdout);
    }
    Ok(())
}

#[test]
fn an_http_component_is_served_on_its_port_to_siblings_and_outside() -> Result<()> {
    let port = free_port()?;
    let pod = Pod::new("p")
        .spec("terminationGracePeriodSeconds: 1")
        .container(
            "server",
            "http-server",
            &[],
            &format!("ports: [{{name: http, containerPort: 9000, hostPort: {port}}}]"),
        )
        .container("client", "http-client", &["http://localhost:9000/"], "");
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod.yaml(), &[])?;
    running.wait_for_line("Hello from wasi:http!")?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /headers HTTP/1.1\r\nHost: outside\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}
