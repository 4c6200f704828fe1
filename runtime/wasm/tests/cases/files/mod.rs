//! Guests and their files: the samples, in namespaces of trees of each kind.

mod devices;
mod kinds;
mod operations;
mod reference;
mod samples;
mod streams;
mod wasi_testsuite;

use std::path::Path;

use nacelle_container::{ContainerConfig, ContainerInfra};
use nacelle_infra::VolumeFile;
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{MemLimits, NamespaceBuilder, Ownership, Tree};
use nacelle_infra::memory::ContainerMemory;
use nacelle_infra::network::ContainerNetwork;

use crate::support::{Host, Ran, Stdin, guest, pod_info};

/// A tree in memory of at most this many bytes.
fn memory(bytes: Option<u64>) -> Tree {
    let limits = MemLimits { bytes, inodes: 1000 };
    Tree::memory(limits, Ownership::default(), Budget::unlimited())
}

/// A configMap or the like.
fn content(files: &[(&str, &str)]) -> Tree {
    let file = |(path, text): &(&str, &str)| VolumeFile {
        path: (*path).to_owned(),
        mode: 0o644,
        bytes: text.as_bytes().to_vec(),
    };
    let files: Vec<VolumeFile> = files.iter().map(file).collect();
    Tree::content(&files, Ownership::default(), Budget::unlimited()).unwrap()
}

/// A directory of the host.
fn host_dir(path: &Path) -> Tree {
    let dir = std::fs::File::open(path).unwrap();
    Tree::host(dir.into(), None).unwrap()
}

/// A container's infra with the files of `builder`, and nothing else.
fn infra(builder: NamespaceBuilder) -> ContainerInfra {
    ContainerInfra {
        files: builder.build().unwrap(),
        network: ContainerNetwork::none(),
        memory: ContainerMemory::unlimited(),
        info: pod_info(),
    }
}

/// A container of a sample.
fn sample(host: &Host, name: &str, args: &[&str]) -> ContainerConfig {
    let program = std::fs::read(guest(name)).unwrap();
    let mut config = host.config_of(&program);
    config.argv = std::iter::once(name).chain(args.iter().copied()).map(str::to_owned).collect();
    config
}

/// Runs a container in `infra` to its end.
async fn run_in(host: &Host, infra: &ContainerInfra, config: ContainerConfig, stdin: Stdin) -> Ran {
    let made = host.create_in(infra.clone(), config, stdin).await.unwrap();
    made.container.start().await.unwrap();
    made.finish().await
}

/// Runs a sample and returns what it printed.
async fn run(host: &Host, infra: &ContainerInfra, name: &str, args: &[&str]) -> String {
    let ran = run_in(host, infra, sample(host, name, args), None).await;
    assert_eq!(ran.stderr, "", "{:?}", ran.cause);
    ran.stdout
}

/// Runs fs-torture, and returns how each operation ended.
async fn torture(host: &Host, infra: &ContainerInfra, operations: &[&str]) -> Vec<String> {
    outcomes(&run(host, infra, "fs-torture", operations).await, operations)
}

fn outcomes(stdout: &str, operations: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), operations.len(), "{stdout}");
    let outcome = |(line, operation): (&&str, &&str)| {
        line.strip_prefix(operation).and_then(|rest| rest.strip_prefix(": ")).unwrap().to_owned()
    };
    lines.iter().zip(operations).map(outcome).collect()
}

/// Asserts that each operation ends as it should.
async fn assert_torture(host: &Host, infra: &ContainerInfra, expected: &[(&str, &str)]) {
    let operations: Vec<&str> = expected.iter().map(|(operation, _)| *operation).collect();
    let got = torture(host, infra, &operations).await;
    let got: Vec<(&str, &str)> = operations.iter().copied().zip(got.iter().map(String::as_str)).collect();
    assert_eq!(got, expected);
}

/// An empty writable root in memory.
fn root() -> NamespaceBuilder {
    NamespaceBuilder::new(memory(None), false)
}
