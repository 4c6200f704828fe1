//! Pods in which containers of both kinds live together: one network, one set of volumes.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use nacelle_tests::Pod;

use crate::linux::{ground, run, shell, start};

const IMAGE: &str = "oci:busybox:1";

/// Keeps pods in that have these labels.
pub(super) const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {matchLabels: {net: closed}}, policyTypes: [Egress]}
";
pub(super) const LABELS: &str = "metadata:\n  labels: {net: closed}\n";

#[test]
fn localhost_is_one_for_both_kinds() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let ask = "until echo hello | nc 127.0.0.1 7000 2>/dev/null; do sleep 0.05; done";
    // A client that comes before its server is started again.
    let pod = Pod::with_policy("p", "OnFailure")
        .container("wasm-server", "tcp-echo-server", &["127.0.0.1:7000", "1"], "")
        .image("linux-client", IMAGE, &[ask], "")
        .image("linux-server", IMAGE, &["nc -l -p 7001 -e cat"], "")
        .container("wasm-client", "tcp-echo-client", &["127.0.0.1:7001", "hi"], "");
    let finished = run(&nacelle, &pod)?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    for line in ["p/linux-client | hello", "p/wasm-client  | hi", "p/wasm-server  | served 1 connections"] {
        assert!(finished.stdout.contains(line), "{line}: {}{}", finished.stdout, finished.stderr);
    }
    Ok(())
}

#[test]
fn a_linux_container_has_the_pods_address_and_a_way_out() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let pod = shell(
        "ip -4 -o addr show dev eth0 | grep -q \" $POD_IP/\" && ip route | grep '^default'",
        "env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]",
    );
    let finished = run(&nacelle, &pod)?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.stdout.trim(), "default via 10.87.0.1 dev eth0");
    Ok(())
}

#[test]
fn a_network_policy_holds_for_linux_containers() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    // A server of this machine, at the gateway's address.
    let server = TcpListener::bind("0.0.0.0:0")?;
    let ask = format!("nc -w 9 10.87.0.1 {} </dev/null && echo reached || echo kept in", server.local_addr()?.port());
    std::thread::spawn(move || server.incoming().for_each(drop));
    let pod = |name| Pod::new(name).image("c", IMAGE, &[&ask], "").yaml();
    let manifest = format!("{}---\n{}---\n{POLICY}", pod("open"), pod("closed").replacen("metadata:\n", LABELS, 1));
    let manifest = nacelle.write("pods.yaml", &manifest)?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    for line in ["open/c   | reached", "closed/c | kept in", "closed/c | nc: can't connect to remote host (10.87.0.1)"]
    {
        assert!(finished.stdout.contains(line) || finished.stderr.contains(line), "{line}: {finished:?}");
    }
    Ok(())
}

#[test]
fn volumes_in_memory_and_of_content_are_shared() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let mounts = "volumeMounts: [{name: memory, mountPath: /m, subPath: part}, {name: config, mountPath: /c}]";
    let pod = Pod::new("p")
        .spec("volumes: [{name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, {name: config, configMap: {name: c}}]")
        .init("write", "hello", &["write", "/m/file", "from wasm"], mounts)
        .image(
            "linux",
            IMAGE,
            &["exec 2>/dev/null; cat /m/file /c/key; echo from linux > /m/answer; echo x > /c/key || echo read-only; test -L /c/..data"],
            &format!("{mounts}\nsecurityContext: {{runAsUser: 0}}"),
        )
        .container("wasm", "hello", &["cat", "/c/key"], mounts);
    let manifest = format!(
        "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{key: \"value\\n\"}}\n",
        pod.yaml()
    );
    let manifest = nacelle.write("pod.yaml", &manifest)?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    let of_linux: Vec<_> = finished.stdout.lines().filter_map(|line| line.strip_prefix("p/linux | ")).collect();
    assert_eq!(of_linux, ["from wasm", "value", "read-only"], "{}", finished.stderr);
    assert!(finished.stdout.contains("p/wasm  | value"), "{}", finished.stdout);
    Ok(())
}

/// Interfaces of this machine, with what they are for.
fn interfaces() -> Result<String> {
    let output = Command::new("ip").args(["-details", "link"]).output().context("iproute2 is not installed")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_network_of_a_killed_run_is_removed_by_the_next_one() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let mut running = start(&nacelle, &shell("echo ready; sleep 1000", ""))?;
    running.wait_for_line("ready")?;
    let pods = nacelle.state_dir().join("pods");
    let uid = std::fs::read_dir(&pods)?.next().context("no pod")??.file_name();
    let uid = uid.to_str().context("a uid in UTF-8")?.to_owned();
    let network = Path::new("/run/nacelle/pods").join(&uid);
    assert!(network.join("net").exists() && interfaces()?.contains(&uid));
    running.signal("KILL")?;
    running.finish()?;
    assert!(network.exists(), "nobody is there to remove it");
    let finished = run(&nacelle, &shell("echo next", ""))?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(!network.exists() && !interfaces()?.contains(&uid));
    Ok(())
}
