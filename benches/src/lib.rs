//! Shared set-up of the benchmarks: a node in a world of its own, and the bare engine as the baseline.

mod bare;
mod pods;

pub use bare::Bare;
pub use pods::{World, stop};

use std::path::{Path, PathBuf};

/// A built guest sample.
///
/// # Panics
/// When `guest-samples/build.sh` has not been run.
pub fn guest(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/guests/{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run guest-samples/build.sh first", path.display());
    path
}
