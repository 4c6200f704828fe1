//! Pulling as a whole: local sources, a real registry, registries that misbehave, kills and full disks.

mod auth;
mod fake;
mod faults;
mod images;
mod kill;
mod local;
mod real;

use std::path::Path;
use std::time::Duration;

use nacelle_image::{NetworkLimits, PullOptions, PullPolicy, Reference, Store};

/// A store in a fresh directory.
fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

fn reference(text: &str) -> Reference {
    Reference::parse(text, Path::new("/")).unwrap()
}

/// Options that do not keep a test waiting.
fn options(policy: PullPolicy) -> PullOptions {
    let network = NetworkLimits {
        connect: Duration::from_secs(5),
        stall: Duration::from_secs(20),
        attempts: 3,
        backoff: Duration::from_millis(1),
    };
    PullOptions { policy, network, ..PullOptions::default() }
}

/// Says that a test could not do its work here; fails where everything must be tested.
fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
    assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "required, but: {reason}");
}
