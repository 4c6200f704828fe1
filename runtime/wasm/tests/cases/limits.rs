use nacelle_container::{CreateError, ExitCause, TrapKind};

use crate::support::{Host, preview1};

const PAGE: u64 = 65536;

/// What a module with one instruction needs to start, adapter included.
async fn needed(host: &Host) -> u64 {
    let made = host.create(host.config(&preview1("")), None).await.unwrap();
    let bytes = made.container.stats().memory.usage;
    made.container.remove().await;
    bytes
}

#[tokio::test]
async fn a_limit_below_the_initial_need_is_told_with_both_numbers() {
    let host = Host::new();
    let mut config = host.config(&preview1(""));
    config.resources.memory = Some(PAGE);
    match host.error(config).await {
        CreateError::MemoryLimitTooLow { limit, needed } => {
            assert_eq!(limit, PAGE);
            assert!(needed >= 2 * PAGE, "{needed}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guest_that_dies_of_a_refused_growth_is_oom_killed() {
    let host = Host::new();
    let limit = needed(&host).await + 10 * PAGE;
    // As an allocator does: grow, and abort when there is none.
    let mut config = host.config(&preview1(
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 4)) (i32.const -1)))) unreachable",
    ));
    config.resources.memory = Some(limit);
    let made = host.create(config, None).await.unwrap();
    made.container.start().await.unwrap();
    match made.container.wait().await {
        ExitCause::OomKilled { limit: told, asked } => {
            assert_eq!(told, limit);
            assert!(asked > limit && asked <= limit + 4 * PAGE, "{asked}");
        }
        other => panic!("{other:?}"),
    }
    let stats = made.container.stats();
    assert_eq!(stats.memory.usage, 0);
    assert!(stats.memory.peak <= limit && stats.memory.peak > limit - 4 * PAGE);
}

#[tokio::test]
async fn a_guest_that_copes_with_a_refused_growth_lives_on() {
    let host = Host::new();
    let limit = needed(&host).await + PAGE;
    let mut config = host.config(&preview1("(call $exit (i32.eq (memory.grow (i32.const 2)) (i32.const -1)))"));
    config.resources.memory = Some(limit);
    assert_eq!(host.run(config).await.cause, ExitCause::Exited { code: 1 });

    // A later trap has nothing to do with it.
    let mut config =
        host.config(&preview1("(drop (memory.grow (i32.const 2))) (drop (memory.grow (i32.const 1))) unreachable"));
    config.resources.memory = Some(limit);
    let cause = host.run(config).await.cause;
    assert!(matches!(cause, ExitCause::Trapped { kind: TrapKind::Unreachable, .. }), "{cause:?}");
}

#[tokio::test]
async fn growth_beyond_the_guests_own_maximum_is_not_memory_trouble() {
    let host = Host::new();
    let text = preview1("(drop (memory.grow (i32.const 9))) unreachable").replace("\"memory\") 2", "\"memory\") 2 3");
    let mut config = host.config(&text);
    config.resources.memory = Some(64 * PAGE);
    assert!(matches!(host.run(config).await.cause, ExitCause::Trapped { .. }));
}

#[tokio::test]
async fn a_busy_guest_with_a_cpu_limit_is_throttled_and_charged() {
    let host = Host::new();
    let mut config = host.config(&preview1("(loop $spin (br $spin))"));
    config.resources.cpu.limit_millis = Some(50);
    let made = host.create(config, None).await.unwrap();
    made.container.start().await.unwrap();
    while made.container.stats().cpu.throttled_nanos == 0 {
        tokio::task::yield_now().await;
    }
    assert!(made.container.stats().cpu.usage_nanos > 0);
    made.container.kill().await;
    assert_eq!(made.container.wait().await, ExitCause::Stopped { graceful: false });
}
