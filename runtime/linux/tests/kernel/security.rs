//! What a security context really does.

use nacelle_container::{CreateError, HostMount, Propagation, Security, SecurityProfile};

use crate::support::{World, change_program, exited};

#[tokio::test]
async fn users_and_groups_are_those_of_manifest_and_image() {
    let Some(world) = World::new().await else { return };
    let ran = world.run(world.sh("id -u; id -g; id -G")).await;
    assert_eq!(ran.stdout, "0\n0\n0\n", "{}", ran.stderr);
    let config = change_program(world.sh("id -u; id -g; id -G"), |program| program.options.image_user = "app".into());
    assert_eq!(world.run(config).await.stdout, "1000\n1001\n1001 50\n");
    let config = world.secured("id -u; id -g; id -G", |security| {
        security.run_as_user = Some(2000);
        security.run_as_group = Some(3000);
        security.supplemental_groups = vec![4000];
        security.fs_group = Some(5000);
    });
    assert_eq!(world.run(config).await.stdout, "2000\n3000\n3000 4000 5000\n");
    world.remove().await;
}

#[tokio::test]
async fn root_is_refused_where_it_must_not_be() {
    let Some(world) = World::new().await else { return };
    let config = world.secured("true", |security| security.run_as_non_root = true);
    match world.refused(config).await {
        CreateError::Config(message) => {
            assert!(message.starts_with("securityContext.runAsNonRoot: "), "{message}");
        }
        other => panic!("{other:?}"),
    }
    world.remove().await;
}

#[tokio::test]
async fn capabilities_are_what_is_left() {
    let Some(world) = World::new().await else { return };
    let script = "chown 5 /tmp && echo chown; mknod /tmp/dev c 1 3 && echo mknod; hostname x && echo admin";
    let ran = world.run(world.sh(script)).await;
    assert_eq!(ran.stdout, "chown\nmknod\n", "{}", ran.stderr);
    let ran = world.run(world.secured(script, |security| security.drop_capabilities = vec!["ALL".into()])).await;
    assert_eq!(ran.stdout, "", "{}", ran.stderr);
    let config = world.secured(script, |security| {
        security.drop_capabilities = vec!["ALL".into()];
        security.add_capabilities = vec!["CHOWN".into(), "SYS_ADMIN".into()];
    });
    assert_eq!(world.run(config).await.stdout, "chown\nadmin\n");
    world.remove().await;
}

#[tokio::test]
async fn devices_of_the_machine_are_not_opened() {
    let Some(world) = World::new().await else { return };
    // Whoever may make device files makes these: of memory, and of a disk.
    let script = "mknod /tmp/mem c 1 1; mknod /tmp/disk b 259 0; for file in /tmp/mem /tmp/disk; do
            head -c 1 $file 2>&1; done; echo > /dev/null && head -c 3 /dev/zero | wc -c; ls /dev/pts > /dev/null && echo pts";
    let ran = world.run(world.sh(script)).await;
    let refused = |file: &str| format!("head: /tmp/{file}: Operation not permitted\n");
    assert_eq!(ran.stdout, format!("{}{}3\npts\n", refused("mem"), refused("disk")), "{}", ran.stderr);
    // Nor by who has no other capability.
    let config = world.secured(script, |security| {
        security.drop_capabilities = vec!["ALL".into()];
        security.add_capabilities = vec!["MKNOD".into()];
    });
    let ran = world.run(config).await;
    assert!(ran.stdout.starts_with(&refused("mem")), "{ran:?}");
    world.remove().await;
}

/// What a process may do, as the kernel shows it.
async fn status(world: &World, change: impl FnOnce(&mut Security)) -> (u64, u64, String) {
    let script = "grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status";
    let ran = world.run(world.secured(script, change)).await;
    assert_eq!(ran.cause, exited(0), "{ran:?}");
    let field = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let number = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
    (number("CapBnd"), number("CapEff"), format!("{} {}", field("NoNewPrivs"), field("Seccomp")))
}

#[tokio::test]
async fn a_filter_leaves_no_privilege_behind() {
    let Some(world) = World::new().await else { return };
    let (plain_bounding, plain_effective, flags) = status(&world, |_| {}).await;
    assert_eq!(flags, "0 0");
    let default = SecurityProfile::RuntimeDefault;
    let (bounding, effective, flags) = status(&world, |security| security.seccomp = default.clone()).await;
    assert_eq!((bounding, effective, flags.as_str()), (plain_bounding, plain_effective, "0 2"));
    let drop_all = |security: &mut Security| {
        security.seccomp = SecurityProfile::RuntimeDefault;
        security.drop_capabilities = vec!["ALL".into()];
    };
    assert_eq!(status(&world, drop_all).await, (0, 0, "0 2".to_owned()));
    let restricted = |security: &mut Security| {
        drop_all(security);
        security.allow_privilege_escalation = false;
        security.run_as_user = Some(1000);
    };
    assert_eq!(status(&world, restricted).await, (0, 0, "1 2".to_owned()));
    world.remove().await;
}

#[tokio::test]
async fn the_default_filter_filters() {
    let Some(world) = World::new().await else { return };
    // With all capabilities but SYS_ADMIN nothing but the filter could refuse a new user namespace.
    let script = "unshare -U true && echo unshared; echo done";
    let ran = world.run(world.sh(script)).await;
    assert_eq!(ran.stdout, "unshared\ndone\n", "{}", ran.stderr);
    let filtered = |security: &mut Security| security.seccomp = SecurityProfile::RuntimeDefault;
    let ran = world.run(world.secured(script, filtered)).await;
    assert_eq!(ran.stdout, "done\n");
    assert!(ran.stderr.contains("Operation not permitted"), "{}", ran.stderr);
    // Processes, threads, files and time are what programs are made of.
    let ran = world.run(world.secured("(echo a; date) | grep -c . ; ls / | head -1", filtered)).await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (exited(0), "2\nbin\n"), "{}", ran.stderr);
    world.remove().await;
}

#[tokio::test]
async fn a_profile_of_the_node_filters_too() {
    let Some(world) = World::new().await else { return };
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}]}"#;
    std::fs::write(world.path("profiles/no-mkdir.json"), profile).unwrap();
    let local = |security: &mut Security| {
        security.seccomp = SecurityProfile::Localhost { name: "no-mkdir.json".into() };
    };
    let ran = world.run(world.secured("mkdir /tmp/x || echo refused", local)).await;
    assert_eq!(ran.stdout, "refused\n");
    assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
    let config = world.secured("true", |security| {
        security.seccomp = SecurityProfile::Localhost { name: "none.json".into() };
    });
    assert!(matches!(world.refused(config).await, CreateError::Config(message) if message.contains("none.json")));
    world.remove().await;
}

#[tokio::test]
async fn paths_of_the_kernel_are_hidden_or_read_only() {
    let Some(world) = World::new().await else { return };
    let script = "cat /proc/kcore | head -c 1; echo 1 > /proc/sys/kernel/sysrq && echo written; \
                  touch /sys/x && echo sys; echo done";
    let ran = world.run(world.sh(script)).await;
    assert_eq!(ran.stdout, "done\n", "{ran:?}");
    world.remove().await;
}

#[tokio::test]
async fn a_privileged_container_sees_devices_and_can_mount() {
    let Some(world) = World::new().await else { return };
    let script = "mount -t tmpfs none /tmp && echo mounted; grep CapEff /proc/self/status";
    let ran = world.run(world.secured(script, |security| security.privileged = true)).await;
    assert!(ran.stdout.starts_with("mounted\n"), "{ran:?}");
    let ran = world.run(world.sh(script)).await;
    assert!(!ran.stdout.contains("mounted"), "{ran:?}");
    world.remove().await;
}

#[tokio::test]
async fn what_a_privileged_container_mounts_gets_out_where_its_volume_says_so() {
    let Some(world) = World::new().await else { return };
    let volume = world.path("volume");
    std::fs::create_dir_all(volume.join("below")).unwrap();
    let mounted = |target: &str, sub_path: Option<&str>| HostMount {
        source: volume.clone(),
        target: target.to_owned(),
        sub_path: sub_path.map(str::to_owned),
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Bidirectional,
    };
    let config = |script: &str| {
        let config = world.secured(script, |security| security.privileged = true);
        change_program(config, |program| program.files.mounts = vec![mounted("/v", None), mounted("/b", Some("below"))])
    };
    let error = world.refused(config("true")).await.to_string();
    assert!(error.contains("volumeMounts[].mountPropagation: /v: ") && error.contains("--make-shared"), "{error}");
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("volume", &volume, "tmpfs", flags, None::<&std::ffi::CStr>).unwrap();
    rustix::mount::mount_change(&volume, rustix::mount::MountPropagationFlags::SHARED).unwrap();
    std::fs::create_dir_all(volume.join("below")).unwrap();
    let script = "mkdir /v/a /b/c && mount -t tmpfs a /v/a && mount -t tmpfs c /b/c && touch /v/a/one /b/c/two && \
                  mount -t tmpfs x /data && echo ready; sleep 1000";
    let mut made = world.start(config(script)).await;
    assert_eq!(made.line().await, "ready");
    assert!(volume.join("a/one").exists() && volume.join("below/c/two").exists());
    // And back.
    let own = volume.join("host");
    std::fs::create_dir(&own).unwrap();
    rustix::mount::mount("host", &own, "tmpfs", flags, None::<&std::ffi::CStr>).unwrap();
    std::fs::write(own.join("three"), "").unwrap();
    assert_eq!(made.exec(&["test", "-e", "/v/host/three"]).await.cause, exited(0));
    // They are the host's now: as in Kubernetes a container has to take them away itself.
    assert_eq!(made.exec(&["umount", "/b/c"]).await.cause, exited(0));
    assert!(!volume.join("below/c/two").exists());
    made.container.remove().await;
    assert!(volume.join("a/one").exists() && own.join("three").exists());
    let unmounted = rustix::mount::UnmountFlags::DETACH;
    rustix::mount::unmount(&volume, unmounted).unwrap();
    world.remove().await;
}
