//! Small files in a pod's volumes beside wasmtime-wasi's preopened directory: the same guest on both.

#![allow(missing_docs, reason = "criterion's macros define undocumented items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use nacelle_benches::{Bare, Surroundings, World, guest, nanos, scaled};
use tokio::runtime::Runtime;

/// Fewer rounds would measure the first one.
const LEAST: u64 = 200;

async fn in_a_pod(world: &World, what: &str, rounds: u64, volume: &str) -> Duration {
    let image = guest("file-bench");
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: files}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - name: a\n    image: 'file:{}'\n    args: [{what}, /folder, '{rounds}']\n    \
         volumeMounts: [{{name: v, mountPath: /folder}}]\n  volumes: [{{name: v, {volume}}}]\n",
        image.display()
    );
    nanos(world.output(&manifest, "a").await.unwrap().as_bytes()).unwrap()
}

fn files(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(async { World::new().unwrap() });
    let bare = Bare::new().unwrap();
    let component = bare.compile(&guest("file-bench")).unwrap();
    let operations = [
        ("read", "open, read 1 KiB, close"),
        ("write", "create, write 1 KiB, close"),
        ("list", "list 100 files"),
        ("stat", "stat"),
    ];
    for (what, label) in operations {
        let mut group = c.benchmark_group(label);
        group.sample_size(10).measurement_time(Duration::from_secs(4));
        for (name, inline_files) in [("preopen", false), ("preopen, inline", true)] {
            group.bench_function(name, |b| {
                b.iter_custom(|rounds| {
                    let folder = tempfile::tempdir().unwrap();
                    let around = Surroundings { folder: Some(folder.path()), inline_files, ..Surroundings::default() };
                    let done = rounds.max(LEAST);
                    let args = ["file-bench", what, "/folder", &done.to_string()];
                    let output = runtime.block_on(bare.run_in(&component, &args, around)).unwrap();
                    scaled(nanos(&output).unwrap(), done, rounds)
                });
            });
        }
        for (name, volume) in [("emptyDir", "emptyDir: {}"), ("emptyDir, Memory", "emptyDir: {medium: Memory}")] {
            group.bench_function(name, |b| {
                b.iter_custom(|rounds| {
                    let done = rounds.max(LEAST);
                    scaled(runtime.block_on(in_a_pod(&world, what, done, volume)), done, rounds)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, files);
criterion_main!(benches);
