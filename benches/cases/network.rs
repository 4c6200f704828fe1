//! The pod's localhost beside the kernel's: the same two guests in a pod, and on bare wasmtime.
//!
//! What is timed is what the client itself saw between its first byte and its last.

#![allow(missing_docs, reason = "criterion's macros define undocumented items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nacelle_benches::{Bare, Surroundings, World, guest, nanos, scaled};
use tokio::runtime::{Builder, Runtime};
use wasmtime::component::Component;

/// The bytes of one stream.
const STREAM: u64 = 64 << 20;
/// What is sent at a time.
const PIECE: usize = 64 << 10;
/// Criterion asks for a few round trips while it warms up; so many are done, that the connection itself does not count.
const LEAST: u64 = 1000;

fn runtime(threads: usize) -> Runtime {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
    .unwrap()
}

/// A server and a client in one pod; what the client measured.
async fn in_a_pod(world: &World, what: &str, amount: u64) -> Duration {
    let image = guest("net-bench");
    let image = image.display();
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: network}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: server, image: 'file:{image}', args: [serve, '127.0.0.1:7000']}}\n  \
         - {{name: client, image: 'file:{image}', args: [{what}, '127.0.0.1:7000', '{amount}']}}\n"
    );
    nanos(world.output(&manifest, "client").await.unwrap().as_bytes()).unwrap()
}

/// The same guests on the kernel's loopback, as tasks of their own, so that they can run at the same time.
async fn on_the_kernel(bare: &Arc<Bare>, component: &Component, what: &str, amount: u64) -> Duration {
    // The kernel keeps a closed port for a while: another one each time.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let run = |args: Vec<String>| {
        let (bare, component) = (Arc::clone(bare), component.clone());
        tokio::spawn(async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let around = Surroundings { network: true, ..Surroundings::default() };
            bare.run_in(&component, &args, around).await.unwrap()
        })
    };
    let server = run(vec!["net-bench".into(), "serve".into(), address.clone()]);
    let client = run(vec!["net-bench".into(), what.into(), address, amount.to_string()]);
    server.await.unwrap();
    nanos(&client.await.unwrap()).unwrap()
}

/// What cannot be done without: out of one guest's memory, into the other's.
fn two_copies() {
    let (from, mut to) = (vec![1_u8; PIECE], vec![0_u8; PIECE]);
    for _ in 0..STREAM / PIECE as u64 {
        let between = black_box(&from).clone();
        to.copy_from_slice(black_box(&between));
        black_box(&mut to);
    }
}

fn network(c: &mut Criterion) {
    for threads in [1, 2] {
        let runtime = runtime(threads);
        let world = runtime.block_on(async { World::with_threads(threads).unwrap() });
        let bare = Arc::new(Bare::new().unwrap());
        let component = bare.compile(&guest("net-bench")).unwrap();
        let label = if threads == 1 { "one thread" } else { "two threads" };

        let mut group = c.benchmark_group(format!("round trips of 64 bytes, {label}"));
        group.sample_size(10).measurement_time(Duration::from_secs(8)).throughput(Throughput::Elements(1));
        group.bench_function("kernel loopback", |b| {
            b.iter_custom(|rounds| {
                let done = rounds.max(LEAST);
                scaled(runtime.block_on(on_the_kernel(&bare, &component, "ping", done)), done, rounds)
            });
        });
        group.bench_function("pod localhost", |b| {
            b.iter_custom(|rounds| {
                let done = rounds.max(LEAST);
                scaled(runtime.block_on(in_a_pod(&world, "ping", done)), done, rounds)
            });
        });
        group.finish();

        let mut group = c.benchmark_group(format!("a stream in pieces of 64 KiB, {label}"));
        group.sample_size(10).measurement_time(Duration::from_secs(8)).throughput(Throughput::Bytes(STREAM));
        group.bench_function("kernel loopback", |b| {
            b.iter_custom(|rounds| runtime.block_on(on_the_kernel(&bare, &component, "stream", rounds * STREAM)));
        });
        group.bench_function("pod localhost", |b| {
            b.iter_custom(|rounds| runtime.block_on(in_a_pod(&world, "stream", rounds * STREAM)));
        });
        if threads == 1 {
            group.bench_function("two copies", |b| b.iter(two_copies));
        }
        group.finish();
    }
}

criterion_group!(benches, network);
criterion_main!(benches);
