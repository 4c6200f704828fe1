//! What a guest of WASI 0.3 may ask of its pod: bindings of the package `nacelle:pod-async`, made from its WIT when this
//! is compiled.

#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/pod-async",
    world: "nacelle:pod-async/imports@0.1.0",
});

pub use nacelle::pod_async::termination;

/// What a guest may export, for its probes and hooks: `exporting::export!(Guest)` for a type that implements both traits.
pub mod exporting {
    wit_bindgen::generate!({
        path: "../../wit/pod-async",
        world: "nacelle:pod-async/exports@0.1.0",
        pub_export_macro: true,
        default_bindings_module: "pod_async_bindings::exporting",
    });

    pub use exports::nacelle::pod_async::{health, hooks};
}
