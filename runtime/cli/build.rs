//! Tells `nacelle version` which engine is built in: the engine's crate does not say so itself, and a number written
//! down by hand would go stale.

use std::path::Path;

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let lock = Path::new(&folder).join("../../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    println!("cargo::rerun-if-changed=build.rs");
    let lock = std::fs::read_to_string(lock).unwrap_or_default();
    let version = version_of("wasmtime", &lock).unwrap_or("unknown");
    println!("cargo::rustc-env=NACELLE_WASMTIME_VERSION={version}");
}

/// The version that the lock file gives for a package.
fn version_of<'a>(package: &str, lock: &'a str) -> Option<&'a str> {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.next()?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}
