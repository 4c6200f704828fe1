use nacelle_container::stats::CpuStats;
use nacelle_container::{Backend as _, Cpu, ExitCause, PodLimits, PodUid};

use crate::support::{Host, Made, preview1};

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

#[tokio::test]
async fn containers_that_find_no_place_in_the_pool_run_beside_it() {
    // The pool has 16.
    let host = Host::new();
    let config = host.config(&preview1("(call $exit (i32.const 3))"));
    let mut all = Vec::new();
    for _ in 0..40 {
        // Each has its instance from here on.
        all.push(host.create(config.clone(), None).await.unwrap());
    }
    for made in all {
        made.container.start().await.unwrap();
        assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 3 });
    }
}

/// A slice of a guest, which is the most that one may use beyond its quota before it is noticed.
const SLICE_NANOS: u64 = 5_000_000;
/// The quota of 50 thousandths of a CPU in each period.
const QUOTA_NANOS: u64 = 5_000_000;

/// Two containers of one pod that compute for ever, the pod with this share.
async fn two_busy(host: &Host, pod_cpu: Cpu) -> [Made; 2] {
    let make = async |name: &str| {
        let mut config = host.config(&preview1("(loop $spin (br $spin))"));
        (config.id.name, config.pod_cpu) = (name.into(), pod_cpu);
        let made = host.create(config, None).await.unwrap();
        made.container.start().await.unwrap();
        made
    };
    [make("one").await, make("other").await]
}

#[tokio::test]
async fn a_pods_cpu_limit_holds_its_containers_together() {
    let host = Host::new();
    let pod = PodUid::new("pod");
    assert_eq!(host.backend.pod_cpu(&pod), CpuStats::default());
    let both = two_busy(&host, Cpu { limit_millis: Some(50), request_millis: 0 }).await;
    let used = || both.each_ref().map(|made| made.container.stats().cpu.usage_nanos);
    while host.backend.pod_cpu(&pod).throttled_periods < 5 || used().contains(&0) {
        tokio::task::yield_now().await;
    }
    let (of_both, all) = (used().iter().sum::<u64>(), host.backend.pod_cpu(&pod));
    // Charged time against periods that were counted, so that it does not matter how fast this machine is: the quota of
    // each, and for each thread a slice that is still to be paid for, twice: it may be noticed only by the next.
    let most = (all.periods + 1) * QUOTA_NANOS + 4 * SLICE_NANOS;
    assert!(of_both <= all.usage_nanos && all.usage_nanos <= most, "{all:?}, of both {of_both}, at most {most}");
    assert!(all.periods >= all.throttled_periods && all.throttled_nanos > 0, "{all:?}");
    // It is nobody's own limit.
    for made in &both {
        let own = made.container.stats().cpu;
        assert_eq!((own.periods, own.throttled_periods, own.throttled_nanos), (0, 0, 0));
    }

    host.backend.update_pod(&pod, &PodLimits::default()).await.unwrap();
    let enough = host.backend.pod_cpu(&pod).usage_nanos + 50 * QUOTA_NANOS;
    while host.backend.pod_cpu(&pod).usage_nanos < enough {
        tokio::task::yield_now().await;
    }
    for made in both {
        made.container.kill().await;
        made.container.wait().await;
        made.container.remove().await;
    }
    let after = host.backend.pod_cpu(&pod);
    assert!(after.usage_nanos >= enough, "what is gone counts");
    host.backend.remove_pod(&pod, host.dir.path()).await;
    assert_eq!(host.backend.pod_cpu(&pod), CpuStats::default());
}
