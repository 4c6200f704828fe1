//! wasi:sockets, 0.2 and 0.3, over the pod's network.
//!
//! ```text
//!   p2: start-…/finish-…, pollables, wasi:io streams ─┐                    ┌─► infra::network::ContainerNetwork
//!                                                     ├─► tcp, udp, … ─────┤
//!   p3: async functions, stream<u8>, future ──────────┘   (both versions)  └─► TcpStream: bytes
//! ```
//!
//! What a guest can tell is wasmtime-wasi's: states, errors, options, which addresses are refused. What differs is the
//! network behind it: the container's own, so that ports, addresses, names and policy are the pod's.
//!
//! The modules [`tcp`], [`udp`], [`options`] and [`address`] hold what both versions share, without a wasmtime type;
//! [`error`] is the one table of errors; [`p2`] and [`p3`] translate. Nothing here knows which plane a connection takes,
//! and nothing blocks: every call of the network answers at once, and waiting is a poll that registers a waker.

#![allow(unreachable_pub, reason = "generated bindings re-export the resource types, which must be public for that")]

mod address;
mod error;
mod options;
pub(crate) mod p2;
pub(crate) mod p3;
mod shared;
mod tcp;
mod udp;

use std::sync::Arc;

use nacelle_infra::network::ContainerNetwork;
use wasmtime::component::{HasData, ResourceTable};

/// The most bytes that one call reads or lets a guest write, and about the most datagrams that one call receives.
const MAX_CHUNK: usize = 64 * 1024;

/// What a call of a socket function works on.
pub(crate) struct SocketsView<'a> {
    pub(crate) network: &'a Arc<ContainerNetwork>,
    pub(crate) table: &'a mut ResourceTable,
}

/// Tells generated code that [`SocketsView`] is its host.
pub(crate) struct Sockets;

impl HasData for Sockets {
    type Data<'a> = SocketsView<'a>;
}
