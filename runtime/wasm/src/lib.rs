//! The WebAssembly backend: wasmtime engine, AOT cache, WASI hosts.
