//! Memory, CPU and processes.

use nacelle_container::{Cpu, ExitCause, MemoryScope, Resources, UpdateError};

use crate::support::{World, exited};

/// Takes memory until it gets none any more: a shell variable that doubles.
const HOG: &str = "x=0123456789abcdef; while true; do x=$x$x; done";

#[tokio::test]
async fn out_of_memory_is_what_the_kernel_says() {
    let Some(world) = World::new().await else { return };
    let mut config = world.sh(HOG);
    config.resources = Resources { memory: Some(32 << 20), ..Resources::default() };
    match world.run(config).await.cause {
        ExitCause::OomKilled { scope: MemoryScope::Container, limit, asked } => {
            assert_eq!(limit, 32 << 20);
            assert!(asked > 16 << 20, "{asked}");
        }
        other => panic!("{other:?}"),
    }
    world.remove().await;
}

#[tokio::test]
async fn a_pod_has_a_limit_of_its_own() {
    let Some(mut world) = World::new().await else { return };
    world.memory = Some(32 << 20);
    let cause = world.run(world.sh(HOG)).await.cause;
    assert!(matches!(cause, ExitCause::OomKilled { scope: MemoryScope::Pod, limit: 33_554_432, .. }), "{cause:?}");
    world.remove().await;
}

#[tokio::test]
async fn killed_is_not_out_of_memory() {
    let Some(world) = World::new().await else { return };
    let mut config = world.config(&["sleep", "1000"]);
    config.resources.memory = Some(32 << 20);
    let made = world.start(config).await;
    made.container.kill().await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: false });
    world.remove().await;
}

#[tokio::test]
async fn a_pod_has_only_so_many_processes() {
    let Some(mut world) = World::new().await else { return };
    world.options.pids_limit = Some(10);
    let ran = world.run(world.sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo all")).await;
    assert!(ran.stderr.contains("fork") && !ran.stdout.contains("all"), "{ran:?}");
    world.remove().await;
}

#[tokio::test]
async fn a_cpu_limit_holds_it_back() {
    let Some(world) = World::new().await else { return };
    let mut config = world.sh("while true; do :; done");
    config.resources.cpu = Cpu { limit_millis: Some(100), request_millis: 100 };
    let made = world.start(config).await;
    // Counts, not times: the kernel says how often it was held back.
    loop {
        let cpu = made.container.stats().cpu;
        if cpu.throttled_periods >= 3 {
            assert!(cpu.periods >= cpu.throttled_periods, "{cpu:?}");
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(made.container.stats().processes >= 1);
    made.container.remove().await;
    world.remove().await;
}

#[tokio::test]
async fn limits_change_while_it_runs() {
    let Some(world) = World::new().await else { return };
    let mut config = world.sh("while read line; do echo $line; done; sleep 1000");
    config.resources.memory = Some(64 << 20);
    let made = world.start(config).await;
    let more = Resources { memory: Some(128 << 20), ..Resources::default() };
    made.container.update(&more).await.unwrap();
    made.container.update(&Resources { memory: Some(48 << 20), ..Resources::default() }).await.unwrap();
    let too_low = made.container.update(&Resources { memory: Some(1), ..Resources::default() }).await;
    assert!(matches!(too_low, Err(UpdateError::MemoryInUse { limit: 1, .. })), "{too_low:?}");
    made.container.kill().await;
    made.container.wait().await;
    assert_eq!(made.container.update(&more).await, Err(UpdateError::NotRunning));
    made.container.remove().await;
    assert_eq!(world.run(world.config(&["true"])).await.cause, exited(0));
    world.remove().await;
}
