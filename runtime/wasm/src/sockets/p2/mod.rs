//! wasi:sockets 0.2: operations in two steps, and readiness by pollables.
//!
//! An operation's first call does what there is to do, unless that takes time (connect); its second call gives the
//! result. Between the two no other operation can be started.

pub(super) mod bindings;
mod lookup;
mod network;
mod stream;
mod tcp;
mod udp;

use std::task::{Context, Waker};

use wasmtime::component::Linker;

use self::bindings::wasi::sockets;
use super::error::Failure;
use super::{Sockets, SocketsView};
use crate::state::GuestState;

/// Why a function failed.
pub type SocketError = Failure<sockets::network::ErrorCode>;

type SocketResult<T> = Result<T, SocketError>;

pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let view: fn(&mut GuestState) -> SocketsView<'_> = GuestState::sockets;
    sockets::instance_network::add_to_linker::<_, Sockets>(linker, view)?;
    sockets::network::add_to_linker::<_, Sockets>(linker, &sockets::network::LinkOptions::default(), view)?;
    sockets::tcp_create_socket::add_to_linker::<_, Sockets>(linker, view)?;
    sockets::tcp::add_to_linker::<_, Sockets>(linker, view)?;
    sockets::udp_create_socket::add_to_linker::<_, Sockets>(linker, view)?;
    sockets::udp::add_to_linker::<_, Sockets>(linker, view)?;
    sockets::ip_name_lookup::add_to_linker::<_, Sockets>(linker, view)
}

/// For a look at something without waiting for it.
fn no_waiting() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
