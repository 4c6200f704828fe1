//! What pods use, as programs see it from outside.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};
use nacelle_tests::{Nacelle, Pod};

/// What a path answers, head included.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn metrics_are_served_as_the_kubelet_serves_them() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let limited = "resources: {limits: {memory: 64Mi, cpu: 500m}}";
    let pod = Pod::new("counted").spec("terminationGracePeriodSeconds: 1");
    let pod = pod.container("c", "counter", &["/tmp/n"], limited);
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut running = nacelle.spawn(["run", "--metrics", &address, "-f", &manifest.to_string_lossy()])?;
    running.wait_for_line("1")?;

    let metrics = get(port, "/metrics")?;
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
    let limit = metrics
        .lines()
        .find(|line| line.starts_with("container_spec_memory_limit_bytes{") && line.contains(r#"container="c""#));
    assert!(limit.with_context(|| metrics.clone())?.contains("} 67108864"), "{metrics}");
    assert!(get(port, "/metrics/resource")?.contains("\npod_memory_working_set_bytes{"));

    let summary = get(port, "/stats/summary")?;
    let (head, body) = summary.split_once("\r\n\r\n").context("no body")?;
    assert!(head.contains("application/json"), "{head}");
    let summary: serde_json::Value = serde_json::from_str(body)?;
    assert_eq!(summary["pods"][0]["podRef"]["name"], "counted");
    assert_eq!(summary["pods"][0]["containers"][0]["name"], "c");
    assert!(get(port, "/pods")?.starts_with("HTTP/1.1 404 "));

    running.signal("TERM")?;
    let finished = running.finish()?;
    assert!(finished.stderr.contains(&format!("metrics at http://{address}/metrics")), "{}", finished.stderr);
    assert_eq!(finished.code, 143);
    Ok(())
}

#[test]
fn an_address_that_is_taken_stops_the_run_before_it_begins() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &Pod::new("never").container("c", "hello", &[], "").yaml())?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let finished = nacelle.run(["run", "--metrics", &address, "-f", &manifest.to_string_lossy()])?;
    assert_eq!((finished.code, finished.stdout.as_str()), (125, ""));
    assert!(finished.stderr.contains(&format!("cannot serve metrics at {address}: ")), "{}", finished.stderr);
    Ok(())
}

#[test]
fn what_was_used_in_all_is_told_when_the_pods_have_gone() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let limited = "resources: {limits: {memory: 64Mi, nacelle.dev/fuel: 500M}}";
    let pod = Pod::new("told").container("c", "hello", &["world"], limited);
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let finished = nacelle.run(["run", "--stats", "-f", &manifest.to_string_lossy()])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let lines: Vec<_> = finished.stderr.lines().collect();
    let [.., headings, row] = lines.as_slice() else { anyhow::bail!("no table: {}", finished.stderr) };
    assert!(headings.contains("CPU TIME") && headings.contains("MEM PEAK / LIMIT"), "{}", finished.stderr);
    assert!(row.contains("/ 67.1 MB") && row.contains("/ 500M"), "{}", finished.stderr);
    // Standard error is no terminal here: nothing was drawn on it meanwhile.
    assert!(!finished.stderr.contains("CPU %") && !finished.stderr.contains('\x1b'), "{}", finished.stderr);
    Ok(())
}
