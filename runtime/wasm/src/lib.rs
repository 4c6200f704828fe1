//! The WebAssembly backend: wasmtime engine, ahead-of-time cache, WASI hosts.
//!
//! [`WasmBackend`] keeps the contract of `nacelle_container` for components and core modules. The way of a program:
//!
//! ```text
//!   bytes ── format ── adapt (preview 1) ── compile ── cache ── load ── link ──► Entry        once per program
//!   Entry + ContainerConfig ── Launch ── store, instance ── run or serve ──► ExitCause       once per container,
//!                                                                                            and for each exec
//! ```
//!
//! This is the only crate that names wasmtime; none of its types is in the interface. It must not depend on anything
//! that knows Kubernetes.

mod adapt;
mod address_space;
mod aot;
mod backend;
mod cache;
mod charged;
mod compile;
mod config;
mod container;
mod count;
mod engine;
mod engines;
mod exec;
mod filesystem;
mod flag;
mod format;
mod fuel;
mod guest;
mod handles;
mod http;
mod io;
mod linker;
mod memory;
mod model;
mod places;
mod pod_interface;
mod pods;
mod program;
mod programs;
mod runtime;
mod sched;
mod seldom;
mod sockets;
mod state;
mod stdio;
mod trap;

pub use backend::{WasmBackend, WasmError};
pub use cache::{Pruned, prune_cache};
pub use compile::compile_worker_main;
pub use config::{AddressSpace, Compiler, Pooling, TlsRoots, WasmConfig};

/// Lower-case hexadecimal digits of `bytes`.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
