//! Budgets of fuel.

use nacelle_container::ExitCause;
use nacelle_container::stats::FuelStats;

use crate::support::{Host, guest, preview1};

/// Counts down from so many.
fn counts_down(from: u32) -> String {
    preview1(&format!(
        "(local $left i32) (local.set $left (i32.const {from}))
         (loop $again
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $again (local.get $left)))"
    ))
}

/// How a program of this many rounds ends with this budget, and what it has consumed.
async fn run(rounds: u32, budget: Option<u64>) -> (ExitCause, Option<FuelStats>) {
    let host = Host::new();
    let mut config = host.config(&counts_down(rounds));
    config.resources.fuel = budget;
    let made = host.create(config, None).await.unwrap();
    made.container.start().await.unwrap();
    let cause = made.container.wait().await;
    let fuel = made.container.stats().fuel;
    made.container.remove().await;
    (cause, fuel)
}

#[tokio::test]
async fn a_program_consumes_the_same_each_time() {
    let (cause, first) = run(1000, Some(1_000_000)).await;
    assert_eq!(cause, ExitCause::Exited { code: 0 });
    let consumed = first.unwrap().consumed;
    assert!(consumed > 3_000, "{consumed}");
    assert_eq!(run(1000, Some(1_000_000)).await.1, first);
    // So much is enough, and less is not, but for what is executed between two looks: a round of the loop.
    assert_eq!(run(1000, Some(consumed)).await.0, ExitCause::Exited { code: 0 });
    let limit = consumed - 100;
    assert_eq!(run(1000, Some(limit)).await.0, ExitCause::FuelExhausted { limit });
}

#[tokio::test]
async fn a_program_that_runs_out_of_fuel_ends() {
    // Long enough for many slices.
    let (cause, fuel) = run(u32::MAX, Some(200_000_000)).await;
    assert_eq!(cause, ExitCause::FuelExhausted { limit: 200_000_000 });
    assert_eq!(fuel, Some(FuelStats { consumed: 200_000_000, limit: 200_000_000 }));
    let (cause, fuel) = run(1000, Some(0)).await;
    assert_eq!((cause, fuel.map(|fuel| fuel.consumed)), (ExitCause::FuelExhausted { limit: 0 }, Some(0)));
}

#[tokio::test]
async fn who_has_no_budget_counts_no_fuel() {
    assert_eq!(run(10, None).await, (ExitCause::Exited { code: 0 }, None));
}

#[tokio::test]
async fn programs_of_both_kinds_run_beside_each_other() {
    let host = Host::new();
    let program = std::fs::read(guest("hello")).unwrap();
    for fuel in [None, Some(1 << 40), None] {
        let mut config = host.config_of(&program);
        config.argv = vec!["hello".into(), "pod".into()];
        config.resources.fuel = fuel;
        let made = host.create(config, None).await.unwrap();
        made.container.start().await.unwrap();
        let ran = made.finish().await;
        assert_eq!((ran.cause, ran.stdout.as_str()), (ExitCause::Exited { code: 0 }, "Hello, pod!\n"));
    }
}
