//! `nacelle:pod`: what a guest may ask of its pod, for both versions of WASI.
//!
//! ```text
//!   Container::terminate ──► Control ──────────┐
//!   Container::update ─────► resources ────────┼──► Facts ──► p2: nacelle:pod        (pollables)
//!   ContainerInfra::info ──► labels, names … ──┘         └──► p3: nacelle:pod-async  (async functions)
//! ```
//!
//! The other way round, [`export`] and [`calls`] reach the functions that a guest exports for its probes and hooks.
//!
//! All instances of a container share its [`Facts`]. Each answer is that of the moment; nothing is kept here that could
//! go stale. A guest is told of its own pod and container alone, and can change nothing. The WIT in the repository's
//! `wit` folder is the documentation for guests.

#![allow(unreachable_pub, reason = "generated bindings re-export the resource types, which must be public for that")]

mod calls;
mod export;
mod facts;
pub(crate) mod p2;
pub(crate) mod p3;

pub(crate) use calls::{CallError, Caller, Calls, call, calls, ended};
pub(crate) use export::Export;
pub(crate) use facts::Facts;

use std::sync::Arc;

use wasmtime::component::{HasData, ResourceTable};

/// How the interfaces begin that tell of the request to stop.
pub(crate) const TERMINATION: [&str; 2] = ["nacelle:pod/termination@", "nacelle:pod-async/termination@"];

/// What a call of `nacelle:pod` works on.
pub(crate) struct PodView<'a> {
    pub(crate) facts: &'a Arc<Facts>,
    pub(crate) table: &'a mut ResourceTable,
}

/// Tells generated code that [`PodView`] is its host.
pub(crate) struct HasPod;

impl HasData for HasPod {
    type Data<'a> = PodView<'a>;
}
