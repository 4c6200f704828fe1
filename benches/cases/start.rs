//! How long it takes to start containers: bare wasmtime beside nacelle, and a pod from YAML against its budget.

#![allow(missing_docs, reason = "criterion's macros define undocumented items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use nacelle_benches::{Bare, World, guest, stop};
use tokio::runtime::Runtime;

fn one_container(name: &str) -> String {
    let image = guest("hello");
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: a, image: 'file:{}', args: [bench]}}\n",
        image.display()
    )
}

fn two_containers(name: &str) -> String {
    let image = guest("hello");
    let image = image.display();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  \
         - {{name: a, image: 'file:{image}', args: [sleep, '3600'], volumeMounts: [{{name: v, mountPath: /v}}]}}\n  \
         - {{name: b, image: 'file:{image}', args: [sleep, '3600'], volumeMounts: [{{name: v, mountPath: /v}}]}}\n  \
         volumes: [{{name: v, emptyDir: {{}}}}]\n"
    )
}

/// One container from nothing to its end, the code not yet compiled.
fn cold(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("one container, cold");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    group.bench_function("bare wasmtime", |b| {
        b.iter(|| {
            let bare = Bare::new().unwrap();
            let component = bare.compile(&guest("hello")).unwrap();
            runtime.block_on(bare.run(&component, &["hello", "bench"])).unwrap()
        });
    });
    group.bench_function("nacelle", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                runtime.block_on(async {
                    let start = Instant::now();
                    let world = World::new().unwrap();
                    world.run(&one_container("cold")).await.unwrap();
                    total += start.elapsed();
                });
            }
            total
        });
    });
    group.finish();
}

/// One container from its start to its end, compiled and in memory.
fn cached(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("one container, cached");
    group.sample_size(50);
    let bare = Bare::new().unwrap();
    let component = bare.compile(&guest("hello")).unwrap();
    group.bench_function("bare wasmtime", |b| {
        b.iter(|| runtime.block_on(bare.run(&component, &["hello", "bench"])).unwrap());
    });
    let world = runtime.block_on(async { World::new().unwrap() });
    let manifest = one_container("cached");
    group.bench_function("nacelle", |b| {
        b.iter(|| runtime.block_on(world.run(&manifest)).unwrap());
    });
    group.finish();
}

/// YAML to both containers running; the budget is 6 ms.
fn pod(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("two-container pod with a volume");
    group.sample_size(50);
    let world = runtime.block_on(async { World::new().unwrap() });
    let manifest = two_containers("pod");
    group.bench_function("YAML to both running", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                runtime.block_on(async {
                    let start = Instant::now();
                    let pods = world.start_and_wait(&manifest).await.unwrap();
                    total += start.elapsed();
                    stop(pods).await;
                });
            }
            total
        });
    });
    group.finish();
}

criterion_group!(start, cold, cached, pod);
criterion_main!(start);
