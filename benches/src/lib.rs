//! Shared set-up of the benchmarks: a node in a world of its own, and the bare engine as the baseline.

mod bare;
mod cgroup;
mod parked;
mod pods;
mod threads;

pub use bare::{Bare, Metering, Surroundings};
pub use cgroup::Limited;
pub use parked::{Parked, Sleeper, State as ParkedState};
pub use pods::{World, stop};
pub use threads::cpu_of_threads;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A built guest sample.
///
/// # Panics
/// When `guest-samples/build.sh` has not been run.
pub fn guest(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/guests/{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run guest-samples/build.sh first", path.display());
    path
}

/// The time that a guest measured and printed.
///
/// # Errors
/// When it printed something else.
pub fn nanos(output: &[u8]) -> Result<Duration> {
    let text = String::from_utf8_lossy(output);
    let nanos = text.trim().parse().with_context(|| format!("not a time in nanoseconds: {text}"))?;
    Ok(Duration::from_nanos(nanos))
}

/// The time of `asked` rounds, when `done` of them took `time`.
pub fn scaled(time: Duration, done: u64, asked: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(u128::from(asked)) / u128::from(done.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
