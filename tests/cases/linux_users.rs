//! Pods with ids of their own: `hostUsers: false`.

use std::path::Path;

use anyhow::{Context as _, Result};
use nacelle_tests::Pod;

use crate::linux::{ground, run, start};

const IMAGE: &str = "oci:busybox:1";

/// A pod with ids of its own.
fn pod(name: &str) -> Pod {
    Pod::with_policy(name, "Never").spec("hostUsers: false")
}

#[test]
fn containers_of_both_kinds_share_network_and_volumes() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let mounts =
        "volumeMounts: [{name: data, mountPath: /d}, {name: memory, mountPath: /m}, {name: config, mountPath: /c}]";
    let server = "echo from root > /d/root && cat /c/key /d/wasm && stat -c '%u %g' /d/root /d/wasm /c/key /m && \
                  cat /proc/self/uid_map && until test -e /m/probed; do sleep 0.05; done; exec nc -l -p 7001 -e cat";
    let probe =
        "startupProbe: {exec: {command: [sh, -c, 'test \"$(id -u)\" = 0 && echo x > /m/probed']}, periodSeconds: 1}";
    let pod = pod("p")
        .spec("volumes: [{name: data, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}, {name: config, configMap: {name: c}}]")
        .spec("securityContext: {fsGroup: 2000}")
        .init("write", "hello", &["write", "/d/wasm", "from wasm"], mounts)
        .image("linux", IMAGE, &[server], &format!("{mounts}\nsecurityContext: {{runAsUser: 0}}\n{probe}"))
        .image("other", IMAGE, &["until test -e /m/probed; do sleep 0.05; done; id -G; cat /d/root"], mounts)
        .container("wasm", "tcp-echo-client", &["127.0.0.1:7001", "hi"], mounts);
    let manifest = format!(
        "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{key: \"value\\n\"}}\n",
        pod.yaml().replace("restartPolicy: Never", "restartPolicy: OnFailure")
    );
    let manifest = nacelle.write("pod.yaml", &manifest)?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    let of = |name: &str| -> Vec<String> {
        let prefix = format!("p/{name} ");
        let lines = finished.stdout.lines().filter(|line| line.starts_with(&prefix));
        lines.filter_map(|line| Some(line.split_once("| ")?.1.to_owned())).collect()
    };
    let linux = of("linux");
    assert_eq!(linux[..6], ["value", "from wasm", "0 2000", "0 2000", "0 2000", "0 2000"], "{}", finished.stderr);
    let map: Vec<u64> = linux[6].split_whitespace().filter_map(|field| field.parse().ok()).collect();
    assert!(matches!(map[..], [0, first, 65_536] if first >= 65_536 && first.is_multiple_of(65_536)), "{map:?}");
    assert_eq!(of("other").last().map(String::as_str), Some("from root"), "{}", finished.stderr);
    assert!(of("other")[0].split(' ').any(|group| group == "2000"), "{:?}", of("other"));
    assert_eq!(of("wasm"), ["hi"], "{}", finished.stderr);
    Ok(())
}

#[test]
fn pods_that_live_at_a_time_have_different_ids_and_a_kill_leaves_none() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let Some(other) = ground()? else { return Ok(()) };
    let living = pod("a").image("c", IMAGE, &["cat /proc/self/uid_map; echo ready; sleep 1000"], "");
    let mut running = start(&nacelle, &living)?;
    let first = running.wait_for_line(" 65536")?;
    running.wait_for_line("ready")?;
    let short = pod("b").image("c", IMAGE, &["cat /proc/self/uid_map"], "");
    let second = run(&other, &short)?;
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_ne!(first.trim(), second.stdout.trim());
    let uid = std::fs::read_dir(nacelle.state_dir().join("pods"))?.next().context("no pod")??.file_name();
    let network = Path::new("/run/nacelle/pods").join(uid);
    assert!(network.join("ids").exists());
    running.signal("KILL")?;
    running.finish()?;
    // Its process lives on: nobody else gets its ids before it has gone.
    let third = run(&other, &short)?;
    assert_ne!(first.trim(), third.stdout.trim(), "{}", third.stderr);
    let finished = run(&nacelle, &short)?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(!network.exists());
    Ok(())
}

#[test]
fn what_does_not_go_with_it_is_refused_before_anything_runs() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let finished = run(&nacelle, &pod("p").spec("hostPID: true").image("c", IMAGE, &["true"], ""))?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("spec.hostPID: Forbidden: when `pod.Spec.HostUsers` is false"),
        "{}",
        finished.stderr
    );
    let wrong = "securityContext: {runAsUser: 70000}";
    let finished = run(&nacelle, &pod("p").image("c", IMAGE, &["true"], wrong))?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stderr.contains("spec.hostUsers: false gives a pod the ids 0 to 65535"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_volume_that_cannot_have_them_is_named() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let pod = pod("p").spec("volumes: [{name: v, hostPath: {path: /sys/kernel}}]").image(
        "c",
        IMAGE,
        &["true"],
        "volumeMounts: [{name: v, mountPath: /v}]",
    );
    let finished = run(&nacelle, &pod)?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stderr.contains("volumeMounts[].mountPath: /v: "), "{}", finished.stderr);
    assert!(finished.stderr.contains("cannot translate ids"), "{}", finished.stderr);
    Ok(())
}
