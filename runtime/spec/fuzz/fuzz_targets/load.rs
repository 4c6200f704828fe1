//! Any bytes as a manifest: `load` must neither panic, hang, nor take memory out of proportion, and every diagnostic
//! must have its place.
//!
//! In `runtime/spec`: `cargo +nightly fuzz run load fuzz/corpus/load tests/broken -- -max_total_time=600`, with the
//! broken manifests as seeds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacelle_spec::{Source, load};

fuzz_target!(|bytes: &[u8]| {
    let loaded = load(&[Source { name: "fuzz".to_owned(), bytes: bytes.to_vec() }]);
    for diagnostic in &loaded.diagnostics {
        assert!(diagnostic.location.as_ref().is_some_and(|location| location.line > 0 && location.column > 0));
        assert!(!diagnostic.to_string().is_empty());
    }
});
