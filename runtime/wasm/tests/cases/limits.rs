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
