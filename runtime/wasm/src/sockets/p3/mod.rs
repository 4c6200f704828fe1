//! wasi:sockets 0.3: async functions, and connections as streams.
//!
//! A function that waits polls the network from the guest's own task; a stream is a producer or consumer that wasmtime
//! polls there too. Nothing is spawned, so that all of it is the container's CPU time and ends with its store.

pub(super) mod bindings;
mod lookup;
mod stream;
mod tcp;
mod udp;

use wasmtime::component::Linker;

use self::bindings::wasi::sockets;
use super::error::Failure;
use super::{Sockets, SocketsView};
use crate::state::GuestState;

/// Why a function failed.
pub type SocketError = Failure<sockets::types::ErrorCode>;

type SocketResult<T> = Result<T, SocketError>;

pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let view: fn(&mut GuestState) -> SocketsView<'_> = GuestState::sockets;
    sockets::types::add_to_linker::<_, Sockets>(linker, view)?;
    sockets::ip_name_lookup::add_to_linker::<_, Sockets>(linker, view)
}
