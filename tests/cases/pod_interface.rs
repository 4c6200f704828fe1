//! What guests ask of their pod, through the real binary: the request to stop, in each language of the samples.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};
use nacelle_tests::{Nacelle, Pod, Records, Running};

fn start(nacelle: &Nacelle, pod: &Pod) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    nacelle.spawn(["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

/// More than any case waits for: who ends before has ended by itself.
const AN_HOUR: &str = "terminationGracePeriodSeconds: 3600";

#[test]
fn a_guest_in_each_language_ends_by_itself_when_it_is_asked_to() -> Result<()> {
    let samples: [(&str, &[&str], &str); 7] = [
        ("pod-worker", &[], ""),
        ("p3-pod-worker", &[], ""),
        ("c-hello", &["wait"], "stdin: true"),
        ("python-worker", &["wait"], ""),
        ("js-hello", &["wait"], ""),
        ("counter", &["/count", "0", "3600"], ""),
        ("tcp-echo-server", &[], ""),
    ];
    let nacelle = Nacelle::new()?;
    let mut pod = Pod::new("languages").spec(AN_HOUR);
    for (sample, args, more) in samples {
        pod = pod.container(sample, sample, args, more);
    }
    let mut running = start(&nacelle, &pod)?;
    for _ in samples {
        // Each has written a line once it waits.
        running.wait_for_line("\"type\":\"log\"")?;
    }
    running.signal("TERM")?;
    let finished = running.finish()?;
    assert_eq!(finished.code, 143, "{}", finished.stderr);
    let records = Records::parse(&finished.stdout)?;
    for (sample, ..) in samples {
        let end = &records.container_status(sample)?["state"]["terminated"];
        assert_eq!((&end["exitCode"], &end["reason"]), (&0.into(), &"Completed".into()), "{sample}: {end}");
    }
    Ok(())
}

/// Probes and hooks that the guest exports.
const EXPORTS: &str = "\
readinessProbe: {periodSeconds: 1, exec: {command: ['nacelle:pod/health.readiness']}}
lifecycle:
  postStart: {exec: {command: ['nacelle:pod/hooks.post-start']}}
  preStop: {exec: {command: ['nacelle:pod/hooks.pre-stop']}}";

#[test]
fn a_guest_answers_its_own_probes_and_carries_out_its_own_hooks() -> Result<()> {
    for (sample, last) in [("pod-worker", "at most 3600 s left"), ("p3-pod-worker", "was probed")] {
        let nacelle = Nacelle::new()?;
        let pod = Pod::new("p").spec(AN_HOUR).container("c", sample, &[], EXPORTS);
        let mut running = start(&nacelle, &pod)?;
        running.wait_for_line("\"ready\":true")?;
        running.signal("TERM")?;
        let finished = running.finish()?;
        let records = Records::parse(&finished.stdout)?;
        let end = &records.container_status("c")?["state"]["terminated"];
        assert_eq!(end["exitCode"], 0, "{sample}: {end} {}", finished.stderr);
        // What pre-stop took back is gone: neither guest says that it is still ready, or that its file is still there.
        let line = records.of_type("log").last().and_then(|record| record["line"].as_str());
        assert!(line.is_some_and(|line| line.ends_with(last)), "{sample}: {line:?}");
    }
    Ok(())
}

#[test]
fn a_probe_that_the_guest_does_not_export_fails_by_that_name() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let probe =
        "livenessProbe: {periodSeconds: 1, failureThreshold: 1, exec: {command: ['nacelle:pod/health.liveness']}}";
    let pod = Pod::new("p").container("c", "hello", &["sleep", "3600"], probe);
    let mut running = start(&nacelle, &pod)?;
    let line = running.wait_for_line("Unhealthy")?;
    assert!(line.contains("does not export the interface nacelle:pod/health"), "{line}");
    running.signal("INT")?;
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

#[test]
fn a_stop_signal_that_no_guest_asks_for_is_warned_about() -> Result<()> {
    let signal = "lifecycle: {stopSignal: SIGUSR1}";
    let run = |sample: &str, args: &[&str]| {
        let nacelle = Nacelle::new()?;
        let pod = Pod::new("p").spec("os: {name: linux}").container("c", sample, args, signal);
        start(&nacelle, &pod)?.finish()
    };
    let finished = run("hello", &["x"])?;
    assert!(finished.stderr.contains("lifecycle.stopSignal has no effect"), "{}", finished.stderr);
    let status = Records::parse(&finished.stdout)?;
    assert_eq!(status.container_status("c")?["stopSignal"], "SIGUSR1");
    let finished = run("pod-worker", &["info"])?;
    assert!(!finished.stderr.contains("stopSignal"), "{}", finished.stderr);
    Ok(())
}

/// Servers of the case below, and the requests of each: fewer than one handles at a time, so that all are under way.
const SERVERS: usize = 16;
const REQUESTS: usize = 63;

/// Ports that nobody listens on now.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[test]
fn a_thousand_requests_under_way_all_finish_during_a_stop() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let ports = free_ports(SERVERS)?;
    let mut pod = Pod::new("p").spec(AN_HOUR);
    for (number, port) in ports.iter().enumerate() {
        let own = 8080 + number;
        let ports = format!("ports: [{{name: http, containerPort: {own}, hostPort: {port}}}]");
        pod = pod.container(&format!("s{number}"), "http-proxy", &[], &ports);
    }
    let mut running = start(&nacelle, &pod)?;
    running.wait_for_line("\"phase\":\"Running\"")?;
    let mut clients = Vec::new();
    for port in ports.iter().flat_map(|port| [*port; REQUESTS]) {
        let mut client = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
        client.write_all(b"GET /until-stop HTTP/1.1\r\nhost: test\r\n\r\n").context("ask")?;
        clients.push(client);
    }
    // Each handler says so, and answers only after the stop has begun.
    for _ in &clients {
        running.wait_for_line("\"line\":\"waiting\"")?;
    }
    running.signal("TERM")?;
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut answer = String::new();
        client.read_to_string(&mut answer).with_context(|| format!("request {number}"))?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "request {number}: {answer:?}");
        assert!(answer.contains("connection: close\r\n") && answer.contains("stopping\n"), "{number}: {answer:?}");
    }
    let finished = running.finish()?;
    assert_eq!(finished.code, 143, "{}", finished.stderr);
    let records = Records::parse(&finished.stdout)?;
    for number in 0..SERVERS {
        let status = records.container_status(&format!("s{number}"))?;
        assert_eq!(status["state"]["terminated"]["exitCode"], 0, "{status}");
    }
    Ok(())
}
