use nacelle_container::ExitCause;

use crate::support::{GRACE, Host, preview1};

const SPIN: &str = "(loop $spin (br $spin))";

#[tokio::test]
async fn a_spinner_can_be_killed_while_others_run() {
    // One thread, so that the spinner holds it whenever it may.
    let host = Host::with(|config| config.worker_threads = 1);
    let spinner = host.create(host.config(&preview1(SPIN)), None).await.unwrap();
    spinner.container.start().await.unwrap();
    assert_eq!(host.run_text(&preview1("(call $exit (i32.const 7))")).await.cause, ExitCause::Exited { code: 7 });
    assert_eq!(spinner.container.stats().processes, 1);
    spinner.container.kill().await;
    assert_eq!(spinner.container.wait().await, ExitCause::Stopped { graceful: false });
    // All who ask get the same, and nothing is left to stop.
    spinner.container.kill().await;
    spinner.container.terminate(GRACE).await;
    assert_eq!(spinner.container.wait().await, ExitCause::Stopped { graceful: false });
    spinner.container.remove().await;
    let stats = spinner.container.stats();
    assert_eq!((stats.memory.usage, stats.processes), (0, 0));
}

#[tokio::test]
async fn a_spinner_in_a_start_function_can_be_created_and_killed() {
    let host = Host::new();
    let text = preview1("").replace("(memory", "(start $forever) (func $forever (loop $spin (br $spin))) (memory");
    let made = host.create(host.config(&text), None).await.unwrap();
    made.container.start().await.unwrap();
    made.container.remove().await;
    assert_eq!(made.container.wait().await, ExitCause::Stopped { graceful: false });
}

#[tokio::test]
async fn a_guest_that_waits_in_the_host_can_be_killed() {
    let host = Host::new();
    let (_writer, reader) = tokio::io::duplex(64);
    let read = "(i32.store (i32.const 4) (i32.const 9)) (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))";
    let made = host.create(host.config(&preview1(read)), Some(Box::new(reader))).await.unwrap();
    made.container.start().await.unwrap();
    made.container.kill().await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: false });
}

#[tokio::test]
async fn a_container_that_was_never_started_ends_when_asked() {
    let host = Host::new();
    let config = host.config(&preview1(SPIN));
    let made = host.create(config.clone(), None).await.unwrap();
    made.container.terminate(GRACE).await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: true });
    let made = host.create(config.clone(), None).await.unwrap();
    made.container.remove().await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: false });
    // Nor does a handle that is dropped leave anything behind.
    let mut made = host.create(config, None).await.unwrap();
    drop(made.container);
    assert!(made.output.recv().await.is_none());
}

#[tokio::test]
async fn a_container_outlives_its_backend() {
    let host = Host::new();
    let made = host.create(host.config(&preview1("(call $exit (i32.const 9))")), None).await.unwrap();
    drop(host);
    made.container.start().await.unwrap();
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 9 });
}
