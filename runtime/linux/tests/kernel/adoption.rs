//! Containers that outlive the program that started them, and what is left when everything is killed.
//!
//! The program is a second process: this test binary, started again with one test that runs until it is killed.

use std::fs;
use std::process::Stdio;

use nacelle_container::{Backend as _, ExitCause, output};
use nacelle_linux::AdoptError;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{UNTIL_TOLD, World, backend, drain, exited, tell};

/// A world whose program is killed is in this directory.
const PLAY: &str = "NACELLE_LINUX_TEST_SCRIPT";

/// Not a test by itself: starts a container, says where it is, and waits to be killed.
#[tokio::test]
async fn program_that_is_killed() {
    let Some(script) = std::env::var_os(PLAY) else { return };
    let world = World::new().await.unwrap();
    let config = world.sh(script.to_str().unwrap());
    let id = serde_json::to_string(&config.id).unwrap();
    let made = world.start(config).await;
    println!("\nSTARTED {id} {}", world.dir().display());
    made.container.wait().await;
    std::future::pending::<()>().await;
}

struct Orphan {
    id: nacelle_container::ContainerId,
    dir: std::path::PathBuf,
    child: tokio::process::Child,
}

/// A container whose program will be killed.
async fn orphan(script: &str) -> Orphan {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adoption::program_that_is_killed", "--nocapture"])
        .env(PLAY, script)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("it says that it has started");
        if let Some(rest) = line.strip_prefix("STARTED ") {
            let (id, dir) = rest.split_once(' ').unwrap();
            return Orphan { id: serde_json::from_str(id).unwrap(), dir: dir.into(), child };
        }
    }
}

impl Orphan {
    /// The program dies without a word.
    async fn kill_program(&mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// Removes all that is left, files included.
    async fn remove(self) {
        backend(&self.dir).remove_pod(&self.id.pod, &self.dir).await;
        for tree in fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path()) {
            assert!(!tree.join(format!("nacelle/pod{}", self.id.pod)).exists());
        }
        fs::remove_dir_all(self.dir.parent().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn a_container_outlives_its_program_and_is_taken_over() {
    if World::new().await.is_none() {
        return;
    }
    let mut orphan = orphan(&format!("echo before; {UNTIL_TOLD}; echo after; exit 5")).await;
    orphan.kill_program().await;
    let heir = backend(&orphan.dir);
    let (sender, mut receiver) = output::channel();
    let container = heir.adopt(&orphan.id, &orphan.dir, None, sender).await.unwrap();
    let (exec, _output) = output::channel();
    assert_eq!(container.exec(tell(), exec).await.unwrap(), exited(0));
    let (stdout, _) = drain(&mut receiver).await;
    // The first line may have been read by the program that died.
    assert!(stdout.ends_with("after\n"), "{stdout}");
    assert_eq!(container.wait().await, exited(5));
    container.remove().await;
    orphan.remove().await;
}

#[tokio::test]
async fn how_it_ended_meanwhile_is_known() {
    if World::new().await.is_none() {
        return;
    }
    let mut orphan = orphan("while ! test -e /dev/shm/go; do sleep 0.02; done; exit 6").await;
    orphan.kill_program().await;
    // In the pod's shared memory, which only its own processes see.
    let monitor = fs::read_to_string(orphan.dir.join("monitor.lock")).unwrap();
    let shm = format!("/proc/{monitor}/root{}", orphan.dir.join("work/shm/go").display());
    fs::write(shm, "").unwrap();
    let heir = backend(&orphan.dir);
    let (sender, _receiver) = output::channel();
    let container = heir.adopt(&orphan.id, &orphan.dir, None, sender).await.unwrap();
    assert_eq!(container.wait().await, exited(6));
    // And by a third one, which comes when it has long ended.
    let (sender, _receiver) = output::channel();
    let third = backend(&orphan.dir);
    let container = third.adopt(&orphan.id, &orphan.dir, None, sender).await.unwrap();
    assert_eq!(container.wait().await, exited(6));
    container.remove().await;
    orphan.remove().await;
}

#[tokio::test]
async fn when_program_and_monitor_are_killed_everything_is_found_and_removed() {
    if World::new().await.is_none() {
        return;
    }
    let mut orphan = orphan("sleep 1000 & sleep 1000").await;
    orphan.kill_program().await;
    let monitor: i32 = fs::read_to_string(orphan.dir.join("monitor.lock")).unwrap().parse().unwrap();
    let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    let heir = backend(&orphan.dir);
    let (sender, _receiver) = output::channel();
    let adopted = heir.adopt(&orphan.id, &orphan.dir, None, sender).await;
    let error = adopted.err().unwrap();
    assert!(matches!(error, AdoptError::NoMonitor { .. }), "{error:?}");
    orphan.remove().await;
}

#[tokio::test]
async fn without_its_monitor_a_container_does_not_go_on() {
    let Some(world) = World::new().await else { return };
    let mut made = world.start(world.sh("echo ready; sleep 1000")).await;
    made.line().await;
    let monitor: i32 = fs::read_to_string(world.dir().join("monitor.lock")).unwrap().parse().unwrap();
    let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    assert!(matches!(made.finish().await.cause, ExitCause::HostFailure { .. }));
    // The pod goes on with a new one.
    let ran = world.run(world.sh("echo again")).await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (exited(0), "again\n"));
    world.remove().await;
}
