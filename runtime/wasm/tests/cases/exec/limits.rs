//! What execs are charged with, and how they are killed.

use std::sync::Arc;

use nacelle_container::{ExecError, ExitCause, MemoryScope, output};

use super::{Running, SPINS, WAITS, request};

#[tokio::test]
async fn a_program_that_nobody_waits_for_is_killed() {
    let running = Running::new().await;
    running.install("/bin/spin", SPINS);
    for argv in [&["spin"][..], &["sh", "-c", "while true; do true; done"], &["sleep", "1000"], &["sh", "-c", "spin"]] {
        let container = Arc::clone(running.container());
        let request = request(argv);
        let exec = tokio::spawn(async move { container.exec(request, output::channel().0).await });
        while running.container().stats().processes < 2 {
            tokio::task::yield_now().await;
        }
        exec.abort();
        running.processes(1).await;
    }
}

#[tokio::test]
async fn programs_end_with_their_container() {
    let running = Running::new().await;
    running.install("/bin/spin", SPINS);
    let container = Arc::clone(running.container());
    let exec = tokio::spawn(async move { container.exec(request(&["spin"]), output::channel().0).await });
    running.processes(2).await;
    running.container().kill().await;
    running.container().wait().await;
    assert_eq!(exec.await.unwrap(), Ok(ExitCause::Stopped { graceful: false }));
    let memory = running.container().stats().memory;
    let left = (memory.linear, memory.engine, memory.buffers);
    assert_eq!(left, (0, 0, 0), "nothing of it is left when the container's end is known");
    assert_eq!(running.exec(&["true"]).await, Err(ExecError::NotRunning));
}

#[tokio::test]
async fn an_exec_has_its_containers_memory_and_dies_alone_of_it() {
    let running = Running::with(|config| config.resources.memory = Some(1 << 20)).await;
    running.install(
        "/bin/hog",
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 4)) (i32.const -1)))) unreachable",
    );
    let ended = running.exec(&["hog"]).await.unwrap();
    assert!(matches!(ended.cause, ExitCause::OomKilled { scope: MemoryScope::Container, .. }), "{ended:?}");
    assert!(running.container().stats().memory.peak > (1 << 20) - 5 * 65536);
    let left = (1 << 20) - running.infra.memory.used();
    // Not even a command fits.
    let part = running.infra.memory.part(nacelle_infra::memory::Part::Files);
    part.charge(left - 1000).unwrap();
    let ended = running.exec(&["true"]).await.unwrap();
    assert!(matches!(ended.cause, ExitCause::OomKilled { scope: MemoryScope::Container, .. }), "{ended:?}");
    assert!(ended.stderr.contains("memory limit of 1048576 bytes was reached"), "{ended:?}");
    part.release(left - 1000);
    assert_eq!(running.exec(&["true"]).await.unwrap().cause, ExitCause::Exited { code: 0 });
    assert_eq!(running.container().stats().processes, 1);
}

#[tokio::test]
async fn an_exec_is_its_containers_cpu_time_and_fuel() {
    let running = Running::with(|config| config.resources.fuel = Some(1 << 40)).await;
    running.install(
        "/bin/work",
        "(local $left i32) (local.set $left (i32.const 20000000))
         (loop $again
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $again (local.get $left)))",
    );
    let before = running.container().stats();
    assert_eq!(running.code(&["work"]).await.0, 0);
    let after = running.container().stats();
    assert!(after.cpu.usage_nanos > before.cpu.usage_nanos + 1_000_000, "{before:?} {after:?}");
    assert!(after.fuel.unwrap().consumed > before.fuel.unwrap().consumed + 20_000_000, "{before:?} {after:?}");
}

#[tokio::test]
async fn limits_of_files_hold_for_commands() {
    let running = Running::with(|config| config.resources.memory = Some(4 << 20)).await;
    let (code, words) = running.code(&["sh", "-c", "cat /bin/big > /tmp/copy"]).await;
    assert_eq!((code, words.as_str()), (1, "cat: /bin/big: No such file or directory\n"));
    running.write("/bin/big", &vec![b'x'; 2 << 20]);
    let (code, words) = running.code(&["sh", "-c", "cat /bin/big > /tmp/copy"]).await;
    assert_eq!((code, words.as_str()), (1, "cat: write error: No space left on device\n"));
    assert_eq!(running.code(&["rm", "/tmp/copy"]).await.0, 0);
    running.install("/bin/waits", WAITS);
    assert_eq!(running.code(&["waits"]).await.0, 0);
}
