//! Linux containers through the real binary: busybox in an image of its own, as root.

use anyhow::{Context as _, Result};
use nacelle_tests::{Finished, Nacelle, Pod, Running, busybox_layout, busybox_root, have, is_root};

/// A place to run in, with an image of busybox; `None` when this machine cannot run Linux containers.
pub(super) fn ground() -> Result<Option<Nacelle>> {
    if !(have("busybox") && is_root()) {
        return Ok(None);
    }
    let nacelle = Nacelle::new()?;
    let root = nacelle.work_dir().join("root");
    busybox_root(&root)?;
    busybox_layout(&root, &nacelle.work_dir())?;
    Ok(Some(nacelle))
}

pub(super) fn start(nacelle: &Nacelle, pod: &Pod) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    nacelle.spawn(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

pub(super) fn run(nacelle: &Nacelle, pod: &Pod) -> Result<Finished> {
    start(nacelle, pod)?.finish()
}

pub(super) fn shell(script: &str, more: &str) -> Pod {
    Pod::new("p").image("c", "oci:busybox:1", &[script], more)
}

/// Control groups, mounts and processes of this run that are still there.
fn left(nacelle: &Nacelle) -> Result<Vec<String>> {
    let here = nacelle.state_dir();
    let here = here.to_str().context("a path in UTF-8")?;
    let mut left = Vec::new();
    for line in std::fs::read_to_string("/proc/self/mountinfo")?.lines().filter(|line| line.contains(here)) {
        left.push(line.to_owned());
    }
    for process in std::fs::read_dir("/proc")?.filter_map(Result::ok) {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(here) {
            left.push(command);
        }
    }
    Ok(left)
}

#[test]
fn an_ordinary_image_runs_with_its_user_and_environment() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let finished = run(&nacelle, &shell("id -u; echo $FROM $HOSTNAME; hostname; exit 3", ""))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (3, "1000\nimage p\np\n"), "{}", finished.stderr);
    assert_eq!(left(&nacelle)?, Vec::<String>::new());
    Ok(())
}

/// The names of a process' threads.
fn threads(pid: u32) -> Result<Vec<String>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))?.filter_map(Result::ok);
    Ok(threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok()).collect())
}

#[test]
fn no_engine_is_made_before_a_webassembly_container_comes() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let engines = |pid| -> Result<usize> {
        let is_engines = |name: &&String| name.starts_with("nacelle-guest") || name.starts_with("nacelle-ticker");
        Ok(threads(pid)?.iter().filter(is_engines).count())
    };
    let pod = || shell("echo ready; exec sleep 1000", "").spec("terminationGracePeriodSeconds: 1");
    let mut running = start(&nacelle, &pod())?;
    running.wait_for_line("ready")?;
    assert_eq!(engines(running.pid())?, 0);
    running.signal("TERM")?;
    running.finish()?;
    let mut running = start(&nacelle, &pod().init("wasm", "hello", &[], ""))?;
    running.wait_for_line("ready")?;
    assert_ne!(engines(running.pid())?, 0);
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

#[test]
fn a_security_context_is_enforced_and_contradictions_are_named() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let restricted = "securityContext: {runAsUser: 7, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, \
                      seccompProfile: {type: RuntimeDefault}, capabilities: {drop: [ALL]}}";
    let script = "exec 2>/dev/null; id -u; echo x > /x || echo read-only; unshare -U true || echo filtered";
    let finished = run(&nacelle, &shell(script, restricted))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "7\nread-only\nfiltered\n"), "{}", finished.stderr);
    let finished = run(&nacelle, &shell("true", "securityContext: {runAsNonRoot: true}"))?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stderr.contains("image has non-numeric user (app)"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn volumes_and_managed_files_are_there() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let pod = Pod::new("p")
        .spec("volumes: [{name: data, emptyDir: {}}]")
        .image("a", "oci:busybox:1", &["echo word > /data/file"], "volumeMounts: [{name: data, mountPath: /data}]")
        .image(
            "b",
            "oci:busybox:1",
            &["while ! test -s /data/file; do sleep 0.05; done; cat /data/file; cat /etc/hostname"],
            "volumeMounts: [{name: data, mountPath: /data}]",
        );
    let finished = run(&nacelle, &pod)?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(finished.stdout, "p/b | word\np/b | p\n");
    Ok(())
}

#[test]
fn it_stops_within_its_grace_period() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let mut running =
        start(&nacelle, &shell("trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.1; done", ""))?;
    running.wait_for_line("ready")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    assert!(finished.stdout.contains("bye"), "{}{}", finished.stdout, finished.stderr);
    assert_eq!(left(&nacelle)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_killed_run_is_cleaned_up_by_the_next_one() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let mut running = start(&nacelle, &shell("echo ready; sleep 1000", ""))?;
    running.wait_for_line("ready")?;
    running.signal("KILL")?;
    running.finish()?;
    assert!(!left(&nacelle)?.is_empty(), "its monitor is there");
    let finished = run(&nacelle, &shell("echo next", ""))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "next\n"), "{}", finished.stderr);
    assert_eq!(left(&nacelle)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn what_it_writes_counts_as_its_ephemeral_storage() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let fill =
        |path: &str| format!("dd if=/dev/zero of={path}/file bs=65536 count=64 2>/dev/null; echo full; sleep 1000");
    let limit = "securityContext: {runAsUser: 0}\nresources: {limits: {ephemeral-storage: 2Mi}}";
    let mount = "securityContext: {runAsUser: 0}\nvolumeMounts: [{name: data, mountPath: /data}]";
    let volume = "volumes: [{name: data, emptyDir: {sizeLimit: 2Mi}}]";
    for (pod, reason) in [
        (shell(&fill("/tmp"), limit), "Container c exceeded its local ephemeral storage limit \"2Mi\""),
        (shell(&fill("/data"), mount).spec(volume), "Usage of EmptyDir volume \"data\" exceeds the limit \"2Mi\""),
    ] {
        let pod = pod.spec("terminationGracePeriodSeconds: 1");
        let finished = run(&nacelle, &pod)?;
        assert_eq!((finished.code, finished.stdout.as_str()), (137, "full\n"), "{}", finished.stderr);
        assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    }
    Ok(())
}

#[test]
fn its_memory_is_some_of_the_nodes() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    // A buffer that is kept, because nobody reads what is in it.
    let pod =
        shell("dd if=/dev/zero bs=110M count=1 2>/dev/null | sleep 1000", "").spec("terminationGracePeriodSeconds: 1");
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let flags = ["--node-memory", "128Mi", "--eviction-hard", "memory.available<32Mi"];
    let finished = nacelle.run(["run", "-f", &manifest.to_string_lossy()].into_iter().chain(flags))?;
    assert!(finished.stderr.contains("Evicted: The node was low on resource: memory."), "{}", finished.stderr);
    Ok(())
}

#[test]
fn out_of_memory_has_its_reason() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let hog = "x=0123456789abcdef; while true; do x=$x$x; done";
    let manifest = nacelle.write("pod.yaml", &shell(hog, "resources: {limits: {memory: 32Mi}}").yaml())?;
    let args = ["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()];
    let finished = nacelle.run(args)?;
    assert_eq!(finished.code, 137, "{}", finished.stderr);
    assert!(finished.stdout.contains("OOMKilled"), "{}", finished.stdout);
    Ok(())
}
