//! Probes of real guests, through the real binary. Manifests of the Kubernetes documentation's page "Configure Liveness,
//! Readiness and Startup Probes" are as they stand there, but for their images; the one with an exec probe is in `exec`.

use anyhow::Result;
use nacelle_tests::{Nacelle, Pod, Records, Running, guest};

/// Starts a manifest whose image is the sample `http-server`.
fn start(nacelle: &Nacelle, manifest: &str) -> Result<Running> {
    let image = format!("file:{}", guest("http-server").display());
    let manifest = nacelle.write("pod.yaml", &manifest.replace("IMAGE", &image))?;
    nacelle.spawn(["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

/// Stops the pod; what it has told by then.
fn stop(running: Running) -> Result<Records> {
    running.signal("TERM")?;
    Records::parse(&running.finish()?.stdout)
}

#[test]
fn an_http_component_gets_ready_and_is_restarted_when_its_liveness_probe_fails() -> Result<()> {
    let fields = "\
ports: [{name: http, containerPort: 8080}]
readinessProbe: {httpGet: {port: http}, periodSeconds: 1}
livenessProbe: {httpGet: {port: http, path: /status/500}, initialDelaySeconds: 2, periodSeconds: 1, failureThreshold: 1}";
    let pod = Pod::with_policy("p", "Always").container("server", "http-server", &[], fields);
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let mut running =
        nacelle.spawn(["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    running.wait_for_line("\"ready\":true")?;
    running.wait_for_line("Liveness probe failed: HTTP probe failed with statuscode: 500")?;
    running.wait_for_line("Container server failed liveness probe, will be restarted")?;
    running.wait_for_line("\"restartCount\":1")?;
    running.signal("TERM")?;
    let records = Records::parse(&running.finish()?.stdout)?;
    assert!(records.container_status("server")?["restartCount"].as_i64() >= Some(1));
    Ok(())
}

/// The server answers with 200 for ten seconds, then with 500.
const HTTP_LIVENESS: &str = r#"---
{
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    labels: {
      test: "liveness",
    },
    name: "liveness-http",
  },
  spec: {
    containers: [{
      name: "liveness",
      image: "IMAGE",
      args: [
        "liveness",
      ],
      livenessProbe: {
        httpGet: {
          path: "/healthz",
          port: 8080,
          httpHeaders: [{
            name: "Custom-Header",
            value: "Awesome",
          }],
        },
        initialDelaySeconds: 3,
        periodSeconds: 3,
      },
    }],
  },
}
"#;

#[test]
fn a_server_that_is_well_for_ten_seconds_is_started_anew() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, HTTP_LIVENESS)?;
    for _ in 0..3 {
        running.wait_for_line("Liveness probe failed: HTTP probe failed with statuscode: 500")?;
    }
    running.wait_for_line("Container liveness failed liveness probe, will be restarted")?;
    running.wait_for_line("\"restartCount\":1")?;
    // The server was drained.
    let records = stop(running)?;
    assert_eq!(records.container_status("liveness")?["lastState"]["terminated"]["exitCode"], 0);
    Ok(())
}

const TCP_LIVENESS_READINESS: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: goproxy
  labels:
    app: goproxy
spec:
  containers:
  - name: goproxy
    image: IMAGE
    ports:
    - containerPort: 8080
    readinessProbe:
      tcpSocket:
        port: 8080
      initialDelaySeconds: 15
      periodSeconds: 10
    livenessProbe:
      tcpSocket:
        port: 8080
      initialDelaySeconds: 15
      periodSeconds: 10
";

#[test]
fn a_server_that_takes_connections_is_alive_and_ready() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, TCP_LIVENESS_READINESS)?;
    running.wait_for_line("\"ready\":true")?;
    let records = stop(running)?;
    let events = records.container_events();
    assert!(!events.iter().any(|event| event.contains("Unhealthy")), "{events:?}");
    Ok(())
}

/// The server says in its log that it was asked.
const GRPC_LIVENESS: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: etcd-with-grpc
spec:
  containers:
  - name: etcd
    image: IMAGE
    command: [ "/usr/local/bin/etcd", "--data-dir",  "/var/lib/etcd", "--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", "http://127.0.0.1:2379", "--log-level", "debug"]
    ports:
    - containerPort: 2379
    livenessProbe:
      grpc:
        port: 2379
      initialDelaySeconds: 10
"#;

#[test]
fn a_server_that_says_serving_is_alive() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, GRPC_LIVENESS)?;
    running.wait_for_line("health check: SERVING")?;
    let records = stop(running)?;
    let events = records.container_events();
    assert!(!events.iter().any(|event| event.contains("Unhealthy")), "{events:?}");
    Ok(())
}

/// The page has ports and probes alone: the container around them is that of [`HTTP_LIVENESS`].
const STARTUP: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: liveness-http
spec:
  containers:
  - name: liveness
    image: IMAGE
    ports:
    - name: liveness-port
      containerPort: 8080
    livenessProbe:
      httpGet:
        path: /healthz
        port: liveness-port
      failureThreshold: 1
      periodSeconds: 10
    startupProbe:
      httpGet:
        path: /healthz
        port: liveness-port
      failureThreshold: 30
      periodSeconds: 10
";

#[test]
fn a_liveness_probe_takes_over_once_the_server_has_started() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, STARTUP)?;
    running.wait_for_line("\"started\":true")?;
    running.wait_for_line("Liveness probe failed: HTTP probe failed with statuscode: 500")?;
    running.wait_for_line("Container liveness failed liveness probe, will be restarted")?;
    let records = stop(running)?;
    let unhealthy = records.container_events().iter().filter(|event| event.contains("Unhealthy")).count();
    assert_eq!(unhealthy, 1, "one failure is enough");
    Ok(())
}
