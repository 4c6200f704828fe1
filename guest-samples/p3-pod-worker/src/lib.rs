//! A command of WASI 0.3 that knows its pod: it runs until its container is asked to stop, then says how long that may
//! take.

use std::time::Duration;

use pod_async_bindings::termination;
use wasip3::exports::cli::run::Guest;

struct Worker;

wasip3::cli::command::export!(Worker);

impl Guest for Worker {
    async fn run() -> Result<(), ()> {
        println!("waiting");
        let left = Duration::from_nanos(termination::requested().await);
        let signal = termination::stop_signal().map_or_else(String::new, |signal| format!(" by {signal}"));
        println!("asked to stop{signal}, with {} s left", left.as_secs_f64().ceil());
        Ok(())
    }
}
