//! What a guest of WASI 0.2 may ask of its pod: bindings of the package `nacelle:pod`, made from its WIT when this is
//! compiled.
//!
//! Pollables are the `wasip2` crate's, so that the request to stop can be waited for together with sockets and clocks.

#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: ["../../wit/deps/io-0.2.12.wit", "../../wit/pod"],
    world: "nacelle:pod/imports@0.1.0",
    with: { "wasi:io/poll@0.2.12": wasip2::io::poll },
});

pub use nacelle::pod::{info, termination};

/// What a guest may export, for its probes and hooks: `exporting::export!(Guest)` for a type that implements both traits.
pub mod exporting {
    wit_bindgen::generate!({
        path: ["../../wit/deps/io-0.2.12.wit", "../../wit/pod"],
        world: "nacelle:pod/exports@0.1.0",
        pub_export_macro: true,
        default_bindings_module: "pod_bindings::exporting",
    });

    pub use exports::nacelle::pod::{health, hooks};
}
