//! Pods with ids of their own: `hostUsers: false`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nacelle_container::{
    CreateError, ExecError, ExecRequest, HostMount, ProcessNamespace, Propagation, SecurityProfile, Terminal,
    TerminalSize, output,
};

use crate::support::{UNTIL_TOLD, World, backend, change_program, drain, exited, tell};

fn volume(source: std::path::PathBuf, target: &str) -> HostMount {
    HostMount {
        source,
        target: target.to_owned(),
        sub_path: None,
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
    }
}

#[tokio::test]
async fn root_inside_is_nobody_outside_and_files_keep_their_ids() {
    let Some(world) = World::with_users().await else { return };
    let data = world.path("volume");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("of-host"), "").unwrap();
    std::os::unix::fs::chown(data.join("of-host"), Some(1000), Some(1001)).unwrap();
    let script = "cat /proc/self/uid_map; stat -c '%u %g' /bin/busybox /data/of-host /etc/passwd; touch /data/made /made; \
                  chown 5:6 /data/made; stat -c %u /made; echo again > /dev/stdout; sleep 1000";
    let config = change_program(world.sh(script), |program| program.files.mounts = vec![volume(data.clone(), "/data")]);
    let mut made = world.start(config).await;
    let mut said = String::new();
    while !said.ends_with("again\n") {
        said.push_str(&made.chunk().await);
    }
    let (map, rest) = said.split_once('\n').unwrap();
    let map: Vec<u32> = map.split_whitespace().map(|field| field.parse().unwrap()).collect();
    let [0, first, 65_536] = map[..] else { panic!("{map:?}") };
    assert!(first >= 65_536 && first.is_multiple_of(65_536), "{first}");
    assert_eq!(rest, "0 0\n1000 1001\n0 0\n0\nagain\n");
    // To the host it is a user that nobody is; what it wrote to the volume is whose it says.
    let outside = fs::metadata(data.join("made")).unwrap();
    assert_eq!((outside.uid(), outside.gid()), (5, 6));
    let ps = made
        .exec(&["sh", "-c", "id -u; cat /proc/self/uid_map; echo x > /data/by-exec; ls -ld /proc/1/root/bin"])
        .await;
    assert_eq!(ps.cause, exited(0), "{}", ps.stderr);
    let lines: Vec<_> = ps.stdout.lines().collect();
    assert_eq!(lines[0], "0");
    assert!(lines[1].split_whitespace().eq(["0", &first.to_string(), "65536"]), "{lines:?}");
    assert_eq!(fs::metadata(data.join("by-exec")).unwrap().uid(), 0);
    let sleeping = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        fs::read(path.join("cmdline"))
            .is_ok_and(|line| line == b"sleep\x001000\x00")
            .then(|| fs::metadata(path).unwrap().uid())
    });
    assert!(sleeping.into_iter().any(|uid| uid == first));
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn all_capabilities_are_of_inside_only() {
    let Some(world) = World::with_users().await else { return };
    let script = "grep CapEff /proc/self/status; hostname other && hostname; ip link add dummy type dummy 2>&1; \
                  echo 1 > /proc/sys/kernel/printk; mknod /tmp/sda b 8 0; mount -t tmpfs x /tmp && echo mounted; \
                  cat /dev/null; echo x > /dev/null && ls /dev";
    let ran = world.run(world.secured(script, |security| security.privileged = true)).await;
    assert_eq!(ran.cause, exited(0), "{} {}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("other\n") && ran.stdout.contains("mounted\n"), "{} {}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("printk: Permission denied") || ran.stderr.contains("can't create"), "{}", ran.stderr);
    assert!(ran.stderr.contains("mknod") && ran.stderr.contains("not permitted"), "{}", ran.stderr);
    world.remove().await;
}

#[tokio::test]
async fn users_groups_filters_and_read_only_are_as_elsewhere() {
    let Some(world) = World::with_users().await else { return };
    let data = world.path("volume");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, None, Some(2000)).unwrap();
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o2775)).unwrap();
    let script = "id -u; id -G; grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status; touch /data/x; stat -c '%u %g' /data/x; \
                  touch /ro/x 2>&1; touch /x 2>&1; echo out > /dev/stdout; unshare -r true 2>&1; true";
    let config = world.secured(script, |security| {
        security.run_as_user = Some(1000);
        security.run_as_group = Some(1001);
        security.fs_group = Some(2000);
        security.allow_privilege_escalation = false;
        security.drop_capabilities = vec!["ALL".into()];
        security.seccomp = SecurityProfile::RuntimeDefault;
    });
    let config = change_program(config, |program| {
        program.files.read_only_root = true;
        let read_only = HostMount { read_only: true, ..volume(data.clone(), "/ro") };
        program.files.mounts = vec![volume(data.clone(), "/data"), read_only];
    });
    let ran = world.run(config).await;
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[..2], ["1000", "1001 50 2000"], "{} {}", ran.stdout, ran.stderr);
    for expected in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "1000 2000", "out"] {
        assert!(lines.contains(&expected), "{expected}: {} {}", ran.stdout, ran.stderr);
    }
    assert!(ran.stdout.contains("/ro/x: Read-only") && ran.stdout.contains("touch: /x: Read-only"), "{}", ran.stdout);
    // A filter for one that may gain privileges.
    let config = world.secured("grep -E 'Seccomp:|NoNewPrivs|CapEff' /proc/self/status", |security| {
        security.seccomp = SecurityProfile::RuntimeDefault;
    });
    let ran = world.run(config).await;
    assert!(
        ran.stdout.contains("NoNewPrivs:\t0") && ran.stdout.contains("Seccomp:\t2"),
        "{} {}",
        ran.stdout,
        ran.stderr
    );
    world.remove().await;
}

#[tokio::test]
async fn ids_that_the_pod_does_not_have_are_refused() {
    let Some(world) = World::with_users().await else { return };
    let error = world.refused(world.secured("true", |security| security.run_as_user = Some(70_000))).await;
    let CreateError::Config(words) = &error else { panic!("{error}") };
    assert!(words.starts_with("spec.hostUsers: false gives a pod the ids 0 to 65535"), "{words}");
    world.remove().await;
}

#[tokio::test]
async fn a_terminal_is_its_users() {
    let Some(world) = World::with_users().await else { return };
    let config = change_program(world.sh("tty; stty size > /dev/null; echo again > $(tty); sleep 1000"), |program| {
        program.options.terminal = true;
    });
    let mut made = world.start(config).await;
    let mut seen = String::new();
    while !seen.contains("again") {
        seen.push_str(&made.chunk().await);
    }
    assert!(seen.starts_with("/dev/pts/0") || seen.starts_with("/dev/console"), "{seen}");
    let (sender, mut receiver) = output::channel();
    let (_sizes, size) = tokio::sync::watch::channel(TerminalSize { columns: 80, rows: 24 });
    let mut request = ExecRequest::new(vec!["sh".into(), "-c".into(), "tty; sleep 0.2; echo again > $(tty)".into()]);
    request.terminal = Some(Terminal { size });
    let (cause, (stdout, _)) = tokio::join!(made.container.exec(request, sender), drain(&mut receiver));
    assert_eq!(cause.unwrap(), exited(0), "{stdout}");
    assert!(stdout.contains("/dev/pts/1") && stdout.contains("again"), "{stdout}");
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn shared_processes_are_of_the_pods_users() {
    let Some(mut world) = World::with_users().await else { return };
    world.options.processes = ProcessNamespace::Pod;
    world.options.sysctls =
        vec![("kernel.shm_rmid_forced".into(), "1".into()), ("net.ipv4.ping_group_range".into(), "0 1000".into())];
    let mut first = world.start(world.sh("echo ready; sleep 1000")).await;
    first.line().await;
    let script = "ps -o pid,args; cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ping_group_range; \
                  ls /proc/1/root/ 2>&1; echo $?";
    let config = world.secured(script, |security| security.add_capabilities = vec!["SYS_PTRACE".into()]);
    let ran = world.run(config).await;
    assert!(
        ran.stdout.contains("sleep 1000") && ran.stdout.contains("\n1\n0\t1000\n"),
        "{} {}",
        ran.stdout,
        ran.stderr
    );
    // Process 1 is of the runtime, whose root is the host's.
    assert!(ran.stdout.contains("Permission denied") && ran.stdout.ends_with("\n1\n"), "{}", ran.stdout);
    assert_eq!(first.exec(&["kill", "-0", "1"]).await.cause, exited(0));
    first.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn a_target_shares_its_processes() {
    let Some(world) = World::with_users().await else { return };
    let mut first = world.start(world.sh("echo ready; sleep 1000")).await;
    first.line().await;
    let config = change_program(world.sh("ps -o args; cat /proc/1/root/etc/group | head -1"), |program| {
        program.options.target = Some("app".into());
        program.options.security.add_capabilities = vec!["SYS_PTRACE".into()];
    });
    let ran = world.run(config).await;
    assert!(ran.stdout.contains("sleep 1000") && ran.stdout.contains("root:x:0:"), "{} {}", ran.stdout, ran.stderr);
    first.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let Some(world) = World::with_users().await else { return };
    let made = world.start(world.config(&["sleep", "1000"])).await;
    let (sender, _receiver) = output::channel();
    let missing = made.container.exec(ExecRequest::new(vec!["nothing".into()]), sender).await;
    assert!(matches!(missing, Err(ExecError::NotFound { program, .. }) if program == "nothing"));
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn the_next_program_takes_over() {
    let Some(world) = World::with_users().await else { return };
    let config = world.sh(&format!("{UNTIL_TOLD}; exit 5"));
    let id = config.id.clone();
    let made = world.start(config).await;
    let heir = backend(&world.path("profiles"));
    let (sender, _receiver) = output::channel();
    let container = heir.adopt(&id, &world.dir(), None, sender).await.unwrap();
    let (sender, _output) = output::channel();
    assert_eq!(container.exec(tell(), sender).await.unwrap(), exited(0));
    assert_eq!(container.wait().await, exited(5));
    assert_eq!(made.finish().await.cause, exited(5));
    world.remove().await;
}

#[tokio::test]
async fn what_is_left_when_the_monitor_is_killed_is_removed() {
    let Some(world) = World::with_users().await else { return };
    let mut made = world.start(world.sh("echo ready; sleep 1000 & sleep 1000")).await;
    made.line().await;
    let monitor: i32 = fs::read_to_string(world.dir().join("monitor.lock")).unwrap().parse().unwrap();
    let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    made.container.wait().await;
    // The pod goes on with a new one, and with the ids that it has.
    let ran = world.run(world.sh("id -u; cat /proc/self/uid_map")).await;
    assert!(ran.stdout.starts_with("0\n") && ran.stdout.contains(" 65536\n"), "{} {}", ran.stdout, ran.stderr);
    world.remove().await;
}

#[tokio::test]
async fn a_node_without_networks_has_no_user_namespaces() {
    let Some(mut world) = World::new().await else { return };
    world.options.users = nacelle_container::UserNamespace::Pod;
    let error = world.refused(world.sh("true")).await;
    let CreateError::Config(words) = &error else { panic!("{error}") };
    assert!(words.starts_with("spec.hostUsers: false needs a network namespace of the pod's own"), "{words}");
    world.remove().await;
}
