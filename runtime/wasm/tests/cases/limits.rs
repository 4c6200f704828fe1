use nacelle_container::ExitCause;

use crate::support::{Host, preview1};

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

#[tokio::test]
async fn a_throttled_guest_is_killed_at_once_and_a_limit_can_be_lifted() {
    let host = Host::new();
    for lifts in [true, false] {
        let mut config = host.config(&preview1("(loop $spin (br $spin))"));
        // A slice is the quota of five seconds.
        config.resources.cpu.limit_millis = Some(1);
        let made = host.create(config.clone(), None).await.unwrap();
        made.container.start().await.unwrap();
        while made.container.stats().cpu.throttled_nanos == 0 {
            tokio::task::yield_now().await;
        }
        if lifts {
            let before = made.container.stats().cpu;
            config.resources.cpu.limit_millis = None;
            made.container.update(&config.resources).await.unwrap();
            while made.container.stats().cpu.usage_nanos == before.usage_nanos {
                tokio::task::yield_now().await;
            }
        }
        made.container.kill().await;
        assert_eq!(made.container.wait().await, ExitCause::Stopped { graceful: false });
        let throttled = made.container.stats().cpu.throttled_nanos;
        assert!(throttled < 4_000_000_000, "it waited for {throttled} ns");
    }
}
