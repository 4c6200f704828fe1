//! A command of WASI 0.2 that knows its pod.
//!
//! | arguments | |
//! |---|---|
//! | none | runs until its container is asked to stop, then says how long that may take |
//! | `info` | prints what the pod tells of itself and of this container |
//! | `node` | prints the name of the pod's node |
//!
//! Its probes and hooks run in instances of their own: what they share with the one that runs is in files. `post-start`
//! makes `/ready`, for which readiness looks, and `pre-stop` removes it; `run` tells at its end whether it is there.

use std::time::Duration;
use std::{env, fs};

use pod_bindings::exporting::{health, hooks};
use pod_bindings::{info, termination};
use wasip2::exports::cli::run::Guest;

const READY: &str = "/ready";

struct Worker;

wasip2::cli::command::export!(Worker);
pod_bindings::exporting::export!(Worker);

impl Guest for Worker {
    fn run() -> Result<(), ()> {
        let args: Vec<String> = env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => wait(),
            ["info"] => describe(),
            ["node"] => println!("{}", info::node_name()),
            _ => {
                eprintln!("usage: pod-worker [info | node]");
                return Err(());
            }
        }
        Ok(())
    }
}

impl health::Guest for Worker {
    fn liveness() -> Result<(), String> {
        Ok(())
    }

    fn readiness() -> Result<(), String> {
        fs::metadata(READY).map(drop).map_err(|_| format!("{READY} is not there"))
    }

    fn startup() -> Result<(), String> {
        Ok(())
    }
}

impl hooks::Guest for Worker {
    fn post_start() -> Result<(), String> {
        fs::write(READY, "").map_err(|error| format!("cannot write {READY}: {error}"))
    }

    fn pre_stop() -> Result<(), String> {
        fs::remove_file(READY).map_err(|error| format!("cannot remove {READY}: {error}"))
    }
}

/// A guest with more to wait for hands this pollable to `wasi:io/poll.poll` beside others.
fn wait() {
    println!("waiting");
    termination::subscribe().block();
    let left = Duration::from_nanos(termination::time_left().unwrap_or_default());
    let signal = termination::stop_signal().map_or_else(String::new, |signal| format!(" by {signal}"));
    // In tens of seconds: some time has passed since.
    println!("asked to stop{signal}, with at most {} s left", left.as_secs().saturating_add(1).div_ceil(10) * 10);
    if fs::metadata(READY).is_ok() {
        println!("{READY} is still there");
    }
}

fn describe() {
    println!("pod {} in {}", info::pod_name(), info::pod_namespace());
    info::labels().iter().for_each(|(key, value)| println!("label {key}={value}"));
    info::annotations().iter().for_each(|(key, value)| println!("annotation {key}={value}"));
    println!("container {}", info::container_name());
    for (what, resources) in [("limits", info::limits()), ("requests", info::requests())] {
        let or_none = |amount: Option<u64>| amount.map_or_else(|| "none".to_owned(), |amount| amount.to_string());
        println!("{what} cpu={} memory={}", or_none(resources.cpu), or_none(resources.memory));
    }
}
