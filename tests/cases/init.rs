//! Init containers by the manifests of the Kubernetes documentation's pages, with WebAssembly guests in place of their
//! images, through the real binary.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use nacelle_tests::{Nacelle, Records, Running, guest};

fn start(nacelle: &Nacelle, manifests: &str, more: &[&str]) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", manifests)?;
    let mut args = vec!["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()];
    args.extend(more.iter().map(std::ffi::OsStr::new));
    nacelle.spawn(args)
}

/// Names what is not there in a run of `nacelle`: a host of the Internet, Services.
fn with_hosts(manifest: &str, hosts: &[(&str, &str)]) -> String {
    let aliases: Vec<String> = hosts.iter().map(|(ip, name)| format!("{{ip: {ip}, hostnames: [{name}]}}")).collect();
    manifest.replace("spec:\n", &format!("spec:\n  hostAliases: [{}]\n", aliases.join(", ")))
}

/// Replaces the images, in the order in which they stand there.
fn with_guests(manifest: &str, samples: &[&str]) -> String {
    let mut samples = samples.iter();
    let lines = manifest.lines().map(|line| match (line.split_once("image: "), samples.as_slice()) {
        (Some((indent, _)), [sample, ..]) => {
            samples.next();
            format!("{indent}image: 'file:{}'\n", guest(sample).display())
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// As the task "Configure Pod Initialization" has it.
const INIT_DEMO: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: init-demo
spec:
  containers:
  - name: nginx
    image: nginx
    ports:
    - containerPort: 80
    volumeMounts:
    - name: workdir
      mountPath: /usr/share/nginx/html
  # These containers are run during pod initialization
  initContainers:
  - name: install
    image: busybox:1.28
    command:
    - wget
    - "-O"
    - "/work-dir/index.html"
    - http://info.cern.ch
    volumeMounts:
    - name: workdir
      mountPath: "/work-dir"
  dnsPolicy: Default
  volumes:
  - name: workdir
    emptyDir: {}
"#;

/// A page in place of the one that the init container gets from the Internet.
const PAGE: &str = "<h1>the first page</h1>";

/// Serves [`PAGE`].
const INTERNET: &str = "
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: page
data:
  index.html: PAGE
---
apiVersion: v1
kind: Pod
metadata:
  name: internet
spec:
  containers:
  - name: server
    image: nginx
    ports:
    - containerPort: 80
    volumeMounts:
    - name: page
      mountPath: /usr/share/nginx/html
  volumes:
  - name: page
    configMap:
      name: page
";

#[test]
fn what_an_init_container_has_fetched_is_served() -> Result<()> {
    // Five addresses for two pods: whichever the server gets, the name leads there.
    let everywhere: Vec<String> = (2..=6).map(|host| format!("10.123.0.{host}")).collect();
    let hosts: Vec<_> = everywhere.iter().map(|ip| (ip.as_str(), "info.cern.ch")).collect();
    let manifests = with_hosts(INIT_DEMO, &hosts) + &INTERNET.replace("PAGE", PAGE);
    let manifests = with_guests(&manifests, &["http-server", "http-client", "http-server"]);
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let publish = format!("init-demo=127.0.0.1:{port}:80");
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &manifests, &["--pod-cidr", "10.123.0.0/29", "--publish", &publish])?;
    running.wait_for_line("Started container nginx")?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(PAGE), "{answer}");
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

/// As the page "Init Containers" has it.
const MYAPP: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: myapp-pod
  labels:
    app.kubernetes.io/name: MyApp
spec:
  containers:
  - name: myapp-container
    image: busybox:1.28
    command: ['sh', '-c', 'echo The app is running! && sleep 3600']
  initContainers:
  - name: init-myservice
    image: busybox:1.28
    command: ['sh', '-c', "until nslookup myservice.$(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace).svc.cluster.local; do echo waiting for myservice; sleep 2; done"]
  - name: init-mydb
    image: busybox:1.28
    command: ['sh', '-c', "until nslookup mydb.$(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace).svc.cluster.local; do echo waiting for mydb; sleep 2; done"]
"#;

/// What a cluster's admission adds to a container: the namespace, beside a token that nobody would take here.
const MOUNT: &str = "
    volumeMounts:
    - name: kube-api-access
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
";
const VOLUME: &str = "
  volumes:
  - name: kube-api-access
    projected:
      sources:
      - downwardAPI:
          items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
";
/// A name server of which any answer, or none, comes soon.
const NO_DNS: &str = "
  dnsPolicy: None
  dnsConfig:
    nameservers: [127.0.0.1]
    options: [{name: timeout, value: '1'}, {name: attempts, value: '1'}]
";

/// The pod in a cluster that has these Services.
fn myapp(services: &[&str]) -> String {
    let mounted = |line: &str| if line.contains("until nslookup") { MOUNT } else { "\n" };
    let manifest = with_guests(MYAPP, &["hello", "lookup", "lookup"]);
    let admitted: String = manifest.lines().map(|line| format!("{line}{}", mounted(line))).collect();
    let names: Vec<String> = services.iter().map(|name| format!("{name}.default.svc.cluster.local")).collect();
    let hosts: Vec<_> = names.iter().map(|name| ("10.96.0.10", name.as_str())).collect();
    with_hosts(&admitted, &hosts) + VOLUME + NO_DNS
}

/// Ends a run whose guests do not look at requests to stop.
fn kill(running: Running) -> Result<Records> {
    running.signal("INT")?;
    running.signal("TERM")?;
    Records::parse(&running.finish()?.stdout)
}

#[test]
fn an_app_starts_once_both_services_are_there() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &myapp(&["myservice", "mydb"]), &[])?;
    running.wait_for_line("\"line\":\"The app is running!\"")?;
    let records = kill(running)?;
    let events = records.container_events();
    let started: Vec<&str> = events.iter().filter_map(|event| event.strip_suffix(" Started")).collect();
    assert_eq!(started, ["init-myservice", "init-mydb", "myapp-container"]);
    for name in ["init-myservice", "init-mydb"] {
        assert_eq!(records.container_status(name)?["state"]["terminated"]["reason"], "Completed", "{name}");
    }
    Ok(())
}

#[test]
fn an_app_waits_while_a_service_is_missing() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &myapp(&["myservice"]), &[])?;
    // More than one round of it.
    for _ in 0..2 {
        running.wait_for_line("\"line\":\"waiting for mydb\"")?;
    }
    let records = kill(running)?;
    let waits = |status: &&serde_json::Value| status["initContainerStatuses"][1]["state"]["running"].is_object();
    let mut statuses = records.of_type("status").map(|record| &record["status"]);
    let status = statuses.find(waits).context("init-mydb never ran")?;
    assert_eq!(status["phase"], "Pending");
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert!(!records.container_events().contains(&"myapp-container Started".to_owned()));
    Ok(())
}
