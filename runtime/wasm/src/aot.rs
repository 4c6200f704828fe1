//! Loading compiled code: the one place where this crate asks wasmtime to trust a file.
#![allow(unsafe_code)]

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps a compiled component into memory.
///
/// The caller has checked that the file is an entry of the cache, whole and as this crate wrote it
/// ([`crate::cache`] does).
///
/// # Errors
/// When the file was compiled by another version of wasmtime or for another configuration.
pub(crate) fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize_file` requires that the file is what `Engine::precompile_component` gave, unmodified, and
    // that nobody modifies it while it is mapped. The cache directory belongs to this user and only this user can
    // write to it (`Cache::open` refuses any other). Entries are written to a temporary file and moved into place, so
    // none is ever seen half written, and none is written to afterwards: a rebuild replaces the file. What damaged an
    // entry behind our back is found by its recorded length and checksum before we get here.
    unsafe { Component::deserialize_file(engine, path) }
}
