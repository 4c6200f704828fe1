//! What a guest of WASI 0.3 may ask of its pod: bindings of the package `nacelle:pod-async`, made from its WIT when this
//! is compiled.

#![allow(missing_docs, reason = "generated")]

wit_bindgen_async::generate!({
    path: "../../wit/pod-async",
    world: "nacelle:pod-async/imports@0.1.0",
    runtime_path: "wit_bindgen_async::rt",
});

pub use nacelle::pod_async::termination;
