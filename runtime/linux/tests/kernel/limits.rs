//! Memory, CPU and processes.

use nacelle_container::stats::CpuStats;
use nacelle_container::{Backend as _, Cpu, ExitCause, MemoryScope, PodLimits, Resources, UpdateError};

use crate::support::{UNTIL_TOLD, World, exited, tell};

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
async fn what_a_pods_cpu_limit_holds_back_is_the_pods() {
    let Some(mut world) = World::new().await else { return };
    assert_eq!(world.backend.pod_cpu(&world.pod), CpuStats::default());
    world.cpu = Cpu { limit_millis: Some(100), request_millis: 100 };
    let made = world.start(world.sh("while true; do :; done")).await;
    while world.backend.pod_cpu(&world.pod).throttled_periods < 3 {
        tokio::task::yield_now().await;
    }
    let (pod, own) = (world.backend.pod_cpu(&world.pod), made.container.stats().cpu);
    assert!(pod.periods >= pod.throttled_periods && pod.throttled_nanos > 0, "{pod:?}");
    assert_eq!((own.periods, own.throttled_periods, own.throttled_nanos), (0, 0, 0));
    made.container.remove().await;
    assert!(world.backend.pod_cpu(&world.pod).throttled_periods >= 3, "what is gone counts");
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

#[tokio::test]
async fn a_pod_is_given_more_memory_while_it_runs() {
    let Some(mut world) = World::new().await else { return };
    world.memory = Some(32 << 20);
    let takes_48_mib = "dd if=/dev/zero of=/dev/null bs=48M count=1";
    assert_ne!(world.run(world.sh(takes_48_mib)).await.cause, exited(0));
    let mut made = world.start(world.sh(&format!("echo up; {UNTIL_TOLD}; {takes_48_mib}"))).await;
    assert_eq!(made.line().await, "up");
    let more = PodLimits { memory: Some(96 << 20), ..PodLimits::default() };
    world.backend.update_pod(&world.pod, &more).await.unwrap();
    let (sender, _receiver) = nacelle_container::output::channel();
    made.container.exec(tell(), sender).await.unwrap();
    let ran = made.finish().await;
    assert_eq!(ran.cause, exited(0), "{ran:?}");
    world.remove().await;
}

#[tokio::test]
async fn a_pod_is_given_less_memory_but_not_less_than_it_uses() {
    let Some(mut world) = World::new().await else { return };
    world.memory = Some(256 << 20);
    let mut made = world.start(world.sh(&format!("echo up; {UNTIL_TOLD}; {HOG}"))).await;
    assert_eq!(made.line().await, "up");
    let limits = |memory| PodLimits { memory: Some(memory), ..PodLimits::default() };
    let too_low = world.backend.update_pod(&world.pod, &limits(4096)).await;
    assert!(matches!(too_low, Err(UpdateError::MemoryInUse { limit: 4096, .. })), "{too_low:?}");
    world.backend.update_pod(&world.pod, &limits(32 << 20)).await.unwrap();
    let (sender, _receiver) = nacelle_container::output::channel();
    made.container.exec(tell(), sender).await.unwrap();
    let cause = made.finish().await.cause;
    assert!(matches!(cause, ExitCause::OomKilled { scope: MemoryScope::Pod, limit: 33_554_432, .. }), "{cause:?}");
    world.remove().await;
}

#[tokio::test]
async fn a_pods_cpu_goes_below_that_of_a_container_and_up_again() {
    let Some(mut world) = World::new().await else { return };
    world.cpu = Cpu { limit_millis: Some(500), request_millis: 100 };
    let config = || {
        let mut config = world.sh("sleep 1000");
        config.resources.cpu = Cpu { limit_millis: Some(400), request_millis: 100 };
        config
    };
    let made = world.start(config()).await;
    let cpu = |limit| Cpu { limit_millis: Some(limit), request_millis: 100 };
    let limits = |limit| PodLimits { cpu: cpu(limit), ..PodLimits::default() };
    world.backend.update_pod(&world.pod, &limits(200)).await.unwrap();
    let resources = |limit| Resources { cpu: limits(limit).cpu, ..Resources::default() };
    made.container.update(&resources(300)).await.unwrap();
    // One that comes later is within it as well.
    let later = world.start(config()).await;
    world.backend.update_pod(&world.pod, &limits(1000)).await.unwrap();
    made.container.update(&resources(900)).await.unwrap();
    for made in [made, later] {
        made.container.kill().await;
        made.container.wait().await;
        made.container.remove().await;
    }
    world.remove().await;
}
