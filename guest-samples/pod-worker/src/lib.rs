//! A command of WASI 0.2 that knows its pod.
//!
//! | arguments | |
//! |---|---|
//! | none | runs until its container is asked to stop, then says how long that may take |
//! | `info` | prints what the pod tells of itself and of this container |

use std::env;
use std::time::Duration;

use pod_bindings::{info, termination};
use wasip2::exports::cli::run::Guest;

struct Worker;

wasip2::cli::command::export!(Worker);

impl Guest for Worker {
    fn run() -> Result<(), ()> {
        let args: Vec<String> = env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => wait(),
            ["info"] => describe(),
            _ => {
                eprintln!("usage: pod-worker [info]");
                return Err(());
            }
        }
        Ok(())
    }
}

/// A guest with more to wait for hands this pollable to `wasi:io/poll.poll` beside others.
fn wait() {
    println!("waiting");
    termination::subscribe().block();
    let left = Duration::from_nanos(termination::time_left().unwrap_or_default());
    let signal = termination::stop_signal().map_or_else(String::new, |signal| format!(" by {signal}"));
    println!("asked to stop{signal}, with {} s left", left.as_secs_f64().ceil());
}

fn describe() {
    println!("pod {} in {} on {}", info::pod_name(), info::pod_namespace(), info::node_name());
    info::labels().iter().for_each(|(key, value)| println!("label {key}={value}"));
    info::annotations().iter().for_each(|(key, value)| println!("annotation {key}={value}"));
    println!("container {}", info::container_name());
    for (what, resources) in [("limits", info::limits()), ("requests", info::requests())] {
        let or_none = |amount: Option<u64>| amount.map_or_else(|| "none".to_owned(), |amount| amount.to_string());
        println!("{what} cpu={} memory={}", or_none(resources.cpu), or_none(resources.memory));
    }
}
