//! A command of WASI 0.3 that knows its pod: it runs until its container is asked to stop, then says how long that may
//! take.
//!
//! Its probes and hooks run in the same instance, beside `run`: `post-start` makes it ready, and `run` tells at its end
//! what it was asked.

use std::cell::Cell;
use std::time::Duration;

use pod_async_bindings::exporting::{health, hooks};
use pod_async_bindings::termination;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::exports::cli::run::Guest;

thread_local! {
    static READY: Cell<bool> = const { Cell::new(false) };
    static PROBES: Cell<u32> = const { Cell::new(0) };
}

struct Worker;

wasip3::cli::command::export!(Worker);
pod_async_bindings::exporting::export!(Worker);

impl Guest for Worker {
    async fn run() -> Result<(), ()> {
        println!("waiting");
        let left = Duration::from_nanos(termination::requested().await);
        let signal = termination::stop_signal().map_or_else(String::new, |signal| format!(" by {signal}"));
        // In tens of seconds: some time has passed since.
        println!("asked to stop{signal}, with at most {} s left", left.as_secs().saturating_add(1).div_ceil(10) * 10);
        if PROBES.get() > 0 {
            println!("was probed");
        }
        if READY.get() {
            println!("is still ready");
        }
        Ok(())
    }
}

impl health::Guest for Worker {
    async fn liveness() -> Result<(), String> {
        PROBES.set(PROBES.get() + 1);
        // Others run meanwhile.
        wait_for(1_000_000).await;
        Ok(())
    }

    async fn readiness() -> Result<(), String> {
        PROBES.set(PROBES.get() + 1);
        if READY.get() { Ok(()) } else { Err("post-start has not run".to_owned()) }
    }

    async fn startup() -> Result<(), String> {
        Ok(())
    }
}

impl hooks::Guest for Worker {
    async fn post_start() -> Result<(), String> {
        READY.set(true);
        Ok(())
    }

    async fn pre_stop() -> Result<(), String> {
        READY.set(false);
        Ok(())
    }
}
