//! What the containers of a pod share, and what they do not.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nacelle_container::{Backend as _, CreateError, NetworkNamespace, ProcessNamespace};

use crate::support::{World, exited};

#[tokio::test]
async fn containers_share_name_memory_and_network_but_not_processes() {
    let Some(world) = World::new().await else { return };
    let ids = "for ns in uts ipc net pid mnt; do readlink /proc/self/ns/$ns; done; hostname";
    // Both live: the numbers of namespaces that are gone are used again.
    let mut first = world.start(world.sh(&format!("{ids}; echo; sleep 1000"))).await;
    let mut one = String::new();
    while !one.ends_with("\n\n") {
        one.push_str(&first.chunk().await);
    }
    let two = world.run(world.sh(ids)).await.stdout;
    first.container.remove().await;
    let (one, two): (Vec<&str>, Vec<&str>) = (one.lines().collect(), two.lines().collect());
    assert_eq!(one[..3], two[..3]);
    assert_ne!(one[3], two[3]);
    assert_ne!(one[4], two[4]);
    assert_eq!((one[5], two[5]), ("pod-name", "pod-name"));
    for (name, own) in ["uts", "ipc", "net", "pid", "mnt"].iter().zip(&one) {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(host.to_str().unwrap(), *own, "{name}");
    }
    assert_eq!(world.run(world.sh("echo word > /dev/shm/x")).await.cause, exited(0));
    assert_eq!(world.run(world.sh("cat /dev/shm/x")).await.stdout, "word\n");
    world.remove().await;
}

#[tokio::test]
async fn a_shared_process_namespace_has_a_first_process_that_reaps() {
    let Some(mut world) = World::new().await else { return };
    world.options.processes = ProcessNamespace::Pod;
    let mut first = world.start(world.sh("echo ready; sleep 1000")).await;
    first.line().await;
    // An orphan of a container that has ended does not hold it up, and does not outlive it.
    let ran = world.run(world.sh("(sleep 999 &); echo $$; ps -o pid,args")).await;
    assert_eq!(ran.cause, exited(0), "{}", ran.stderr);
    assert!(!ran.stdout.starts_with("1\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("sleep 1000"), "{}", ran.stdout);
    let seen = first.exec(&["ps", "-o", "pid,stat,args"]).await.stdout;
    let is_zombie = |line: &str| line.split_whitespace().nth(1).is_some_and(|state| state.starts_with('Z'));
    assert!(!seen.contains("sleep 999") && !seen.lines().any(is_zombie), "{seen}");
    first.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn the_hosts_namespaces_where_the_manifest_says_so() {
    let Some(mut world) = World::new().await else { return };
    world.options.processes = ProcessNamespace::Host;
    world.options.host_ipc = true;
    world.network = NetworkNamespace::Host;
    let ran = world.run(world.sh("for ns in uts ipc net pid; do readlink /proc/self/ns/$ns; done")).await;
    for (name, own) in ["uts", "ipc", "net", "pid"].iter().zip(ran.stdout.lines()) {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_eq!(host.to_str().unwrap(), own, "{name}");
    }
    world.remove().await;
}

#[tokio::test]
async fn an_isolated_network_has_a_loopback() {
    let Some(world) = World::new().await else { return };
    let ran = world.run(world.sh("ls /sys/class/net; cat /sys/class/net/lo/flags")).await;
    assert_eq!(ran.stdout, "lo\n0x9\n", "{}", ran.stderr);
    world.remove().await;
}

#[tokio::test]
async fn safe_parameters_are_set_and_others_refused() {
    let Some(mut world) = World::new().await else { return };
    world.options.sysctls = vec![("net.ipv4.ip_unprivileged_port_start".into(), "80".into())];
    let ran = world.run(world.sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start")).await;
    assert_eq!(ran.stdout, "80\n", "{}", ran.stderr);
    world.remove().await;
    let Some(mut world) = World::new().await else { return };
    world.options.sysctls = vec![("vm.swappiness".into(), "1".into())];
    match world.refused(world.sh("true")).await {
        CreateError::Config(message) => {
            assert!(message.starts_with("spec.securityContext.sysctls: vm.swappiness is not"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    world.remove().await;
}

#[tokio::test]
async fn a_monitor_that_is_expected_is_the_one_that_serves() {
    let Some(world) = World::new().await else { return };
    let dir = world.dir();
    world.backend.expect(&world.pod, &dir).await;
    world.backend.expect(&world.pod, &dir).await;
    assert_eq!(world.run(world.sh("exit 4")).await.cause, exited(4));
    // One that was started for nothing would wait.
    let monitor = monitors(&dir);
    assert_eq!(monitor.len(), 1, "{monitor:?}");
    world.backend.expect(&world.pod, &dir).await;
    assert_eq!(monitors(&dir), monitor);
    world.remove().await;
}

#[tokio::test]
async fn a_monitor_that_is_expected_in_vain_ends() {
    let Some(world) = World::new().await else { return };
    world.backend.expect(&world.pod, &world.dir()).await;
    world.remove().await;
}

/// The processes that this one has started in a pod's directory; not those that they have forked.
fn monitors(dir: &Path) -> Vec<String> {
    let own = format!("\nPPid:\t{}\n", std::process::id());
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap()) {
        let read = |file: &str| std::fs::read(process.path().join(file)).unwrap_or_default();
        let is_own = String::from_utf8_lossy(&read("status")).contains(&own);
        if is_own && read("cmdline").strip_suffix(b"\0").is_some_and(|args| args.ends_with(dir.as_os_str().as_bytes()))
        {
            found.push(process.file_name().into_string().unwrap());
        }
    }
    found
}
