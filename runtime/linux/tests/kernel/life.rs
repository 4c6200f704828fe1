//! Starts, ends, output and input.

use std::time::Duration;

use nacelle_container::{ContainerConfig, CreateError, ExitCause, StdinMode};

use crate::support::{World, change_program, exited};

/// How long a container is told that it has; nobody kills it after that here.
const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn output_and_exit_code_are_the_programs_own() {
    let Some(world) = World::new().await else { return };
    let ran = world.run(world.sh("echo out; echo err >&2; exit 42")).await;
    assert_eq!(ran.cause, exited(42));
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(world.run(world.config(&["true"])).await.cause, exited(0));
    world.remove().await;
}

#[tokio::test]
async fn all_of_a_long_output_comes_before_the_end() {
    let Some(world) = World::new().await else { return };
    let ran = world.run(world.sh("dd if=/dev/zero bs=65536 count=32 2>/dev/null")).await;
    assert_eq!((ran.stdout.len(), ran.cause), (32 * 65536, exited(0)));
    world.remove().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_not_started() {
    let Some(world) = World::new().await else { return };
    for (argv, expected) in [
        (&["nothing"][..], "exec: \"nothing\": executable file not found in $PATH"),
        (&["/bin/nothing"], "exec: \"/bin/nothing\": no such file or directory"),
        (&["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
    ] {
        let made = world.create(world.config(argv)).await.unwrap();
        let error = made.container.start().await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        made.container.remove().await;
    }
    world.remove().await;
}

#[tokio::test]
async fn it_is_asked_with_its_stop_signal_and_keeps_its_own_status() {
    let Some(world) = World::new().await else { return };
    let script = "trap 'echo asked; exit 7' TERM; echo ready; while true; do sleep 0.05; done";
    let mut made = world.start(world.sh(script)).await;
    assert_eq!(made.line().await, "ready");
    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (exited(7), "asked\n"));

    let script = script.replace("TERM", "USR1");
    let config = ContainerConfig { stop_signal: Some("SIGUSR1".into()), ..world.sh(&script) };
    let mut made = world.start(config).await;
    made.line().await;
    made.container.terminate(GRACE).await;
    assert_eq!(made.finish().await.cause, exited(7));
    world.remove().await;
}

#[tokio::test]
async fn what_does_not_listen_is_killed_with_all_its_children() {
    let Some(world) = World::new().await else { return };
    let mut made = world.start(world.sh("sleep 1000 & echo ready; wait")).await;
    made.line().await;
    made.container.terminate(GRACE).await;
    // Process 1 of a namespace does not hear a signal that it has no handler for.
    made.container.kill().await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: false });
    world.remove().await;
}

#[tokio::test]
async fn a_signal_of_its_own_is_its_cause() {
    let Some(world) = World::new().await else { return };
    let config = change_program(world.sh("kill -SEGV $$"), |program| {
        // Otherwise the shell is process 1, which the kernel protects from itself.
        program.pod.options.processes = nacelle_container::ProcessNamespace::Host;
    });
    assert_eq!(world.run(config).await.cause, ExitCause::Signalled { signal: 11 });
    world.remove().await;
}

#[tokio::test]
async fn one_that_was_never_started_is_stopped() {
    let Some(world) = World::new().await else { return };
    let made = world.create(world.config(&["true"])).await.unwrap();
    made.container.terminate(GRACE).await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: true });
    let made = world.create(world.config(&["true"])).await.unwrap();
    made.container.kill().await;
    assert!(matches!(made.container.start().await, Err(CreateError::Other(_))));
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: false });
    world.remove().await;
}

#[tokio::test]
async fn input_comes_and_ends() {
    let Some(world) = World::new().await else { return };
    let mut config = world.config(&["cat"]);
    config.stdin = StdinMode::Open { once: true };
    let input: &[u8] = b"some input\n";
    let made = world.create_with(config, Some(Box::new(input))).await.unwrap();
    made.container.start().await.unwrap();
    let ran = made.finish().await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (exited(0), "some input\n"));
    let ran = world.run(world.config(&["cat"])).await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (exited(0), ""), "closed input ends at once");
    world.remove().await;
}

#[tokio::test]
async fn a_terminal_is_one() {
    let Some(world) = World::new().await else { return };
    let config = change_program(world.sh("tty; test -t 0 && echo yes"), |program| program.options.terminal = true);
    let ran = world.run(config).await;
    assert_eq!(ran.cause, exited(0), "{ran:?}");
    assert_eq!(ran.stdout, "/dev/pts/0\r\nyes\r\n");
    world.remove().await;
}

#[tokio::test]
async fn the_tree_is_the_containers_own_and_goes_with_it() {
    let Some(world) = World::new().await else { return };
    let ran = world.run(world.sh("echo x > /tmp/file && cat /tmp/file && pwd")).await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (exited(0), "x\n/\n"), "{}", ran.stderr);
    assert!(!world.path("layer/tmp/file").exists());
    let mut config = world.sh("pwd");
    config.working_dir = "/made/for/it".into();
    assert_eq!(world.run(config).await.stdout, "/made/for/it\n");
    let config = change_program(world.sh("touch /tmp/x"), |program| program.files.read_only_root = true);
    let ran = world.run(config).await;
    assert!(ran.stderr.contains("Read-only file system"), "{ran:?}");
    world.remove().await;
}
