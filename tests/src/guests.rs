//! The guest samples, as `guest-samples/build.sh` leaves them.

use std::path::{Path, PathBuf};

/// The repository's root folder.
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The path of a built sample: `guest("hello")` is `target/guests/hello.wasm`.
///
/// # Panics
/// When the sample has not been built; the message says how.
pub fn guest(name: &str) -> PathBuf {
    let path = repository_root().join("target/guests").join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run guest-samples/build.sh first", path.display());
    path
}
