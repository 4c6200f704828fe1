//! Probes of real guests, through the real binary.

use anyhow::Result;
use nacelle_tests::{Nacelle, Pod, Records};

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
