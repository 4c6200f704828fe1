//! How many: what one more idle pod takes, how fast a thousand of them start, and what an instantiation costs; each beside
//! wasmtime without anything of nacelle.
//!
//! Memory is measured in a process of its own for each figure, since what one measurement has freed would serve the next:
//! this program starts itself. Prints tables.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a benchmark that cannot run has failed")]

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nacelle_benches::{Parked, World, guest, stop};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

/// The argument with which this program measures one thing and prints it.
const MEASURE: &str = "--measure";
/// Pods at a time.
const PODS: [usize; 4] = [1, 100, 1000, 5000];
/// Instantiations that are timed.
const INSTANTIATIONS: u32 = 2000;
/// Of several starts, the median counts.
const STARTS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, what, count] = args.as_slice()
        && flag == MEASURE
    {
        println!("{}", measure(what, count.parse().unwrap()));
        return;
    }
    // `cargo bench` says --bench; without it this is a test run, which measures nothing.
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    println!("\ninstantiation          | time");
    for (what, name) in [("wasmtime-pooled", "wasmtime, pooled"), ("wasmtime-on-demand", "wasmtime, on demand")] {
        println!("{name:<22} | {:.1} µs", run(what, INSTANTIATIONS as usize) / 1e3);
    }
    println!("\nidle, resident each    | {}", PODS.map(|count| format!("{count:>11}")).join(" | "));
    for (what, name) in [("parked", "wasmtime, pooled"), ("pods", "nacelle, pods")] {
        let each = PODS.map(|count| format!("{:>7.0} KiB", run(what, count) / 1024.0));
        println!("{name:<22} | {}", each.join(" | "));
    }
    println!("\npods from YAML until all are running");
    for count in PODS {
        let mut times: Vec<f64> = (0..STARTS).map(|_| run("start", count) / 1e9).collect();
        times.sort_by(f64::total_cmp);
        let median = times[STARTS / 2];
        println!("{count:>22} | {:>8.1} ms | {:>6.0} pods/s", median * 1e3, count as f64 / median);
    }
}

/// What a process of its own measures.
fn run(what: &str, count: usize) -> f64 {
    let output = Command::new(std::env::current_exe().unwrap()).args([MEASURE, what, &count.to_string()]).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{what} {count}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Nanoseconds or bytes.
fn measure(what: &str, count: usize) -> u128 {
    // Each pod holds its lock and its container's log open.
    let limits = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, maximum: limits.maximum });
    match what {
        "wasmtime-pooled" => instantiation(true, count),
        "wasmtime-on-demand" => instantiation(false, count),
        "parked" => parked(count),
        "pods" => pods(count),
        "start" => start(count).as_nanos(),
        other => panic!("no measurement is called {other}"),
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Nanoseconds of one instantiation of bare wasmtime.
fn instantiation(pooled: bool, count: usize) -> u128 {
    let parked = Parked::new(&guest("hello"), pooled).unwrap();
    runtime().block_on(async {
        drop(parked.instantiate().await.unwrap());
        let start = Instant::now();
        for _ in 0..count {
            drop(parked.instantiate().await.unwrap());
        }
        start.elapsed().as_nanos() / count.max(1) as u128
    })
}

/// Resident bytes of one more of `count` guests of bare wasmtime that sleep.
fn parked(count: usize) -> u128 {
    let parked = Parked::new(&guest("hello"), true).unwrap();
    runtime().block_on(async {
        let mut held = vec![parked.park().await.unwrap()];
        let before = resident();
        for _ in 0..count {
            held.push(parked.park().await.unwrap());
        }
        each(before, count)
    })
}

/// Resident bytes of one more of `count` pods, each with one container that sleeps.
fn pods(count: usize) -> u128 {
    runtime().block_on(async {
        let world = World::new().unwrap();
        let first = world.start_and_wait(&manifests("first", 1)).await.unwrap();
        let before = resident();
        let pods = world.start_and_wait(&manifests("idle", count)).await.unwrap();
        // What starting them needed for a moment is not what they keep.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let bytes = each(before, count);
        stop(pods).await;
        stop(first).await;
        bytes
    })
}

/// From the YAML of `count` pods to all of them running; the program is compiled and in memory.
fn start(count: usize) -> Duration {
    runtime().block_on(async {
        let world = World::new().unwrap();
        let first = world.start_and_wait(&manifests("first", 1)).await.unwrap();
        let manifests = manifests("many", count);
        let start = Instant::now();
        let pods = world.start_and_wait(&manifests).await.unwrap();
        let time = start.elapsed();
        stop(pods).await;
        stop(first).await;
        time
    })
}

fn manifests(name: &str, count: usize) -> String {
    let image = guest("hello");
    (0..count).fold(String::new(), |mut text, number| {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}-{number}}}\nspec:\n  containers:\n  \
             - {{name: a, image: 'file:{}', args: [sleep, '3600']}}\n",
            image.display()
        );
        text
    })
}

fn each(before: u64, count: usize) -> u128 {
    u128::from(resident().saturating_sub(before)) / count.max(1) as u128
}

/// Bytes of this process in memory. A page that many instances map and none has written is one page: of each mapping, its
/// part counts.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
