//! The linker that offers WASI to guests, interface by interface.
//!
//! | interfaces | 0.2 and 0.3 from |
//! |---|---|
//! | cli, clocks, random | wasmtime-wasi: nothing in them is the pod's |
//! | io | wasmtime-wasi, but for three functions ([`io`](crate::io)) |
//! | sockets | [`sockets`](crate::sockets), over the pod's network |
//! | filesystem | [`filesystem`](crate::filesystem), over the container's mount namespace |
//! | http | wasmtime-wasi-http, with the hooks of [`http`](crate::http), what guests hand over being charged |
//!
//! Besides WASI there is `nacelle:pod` ([`pod_interface`](crate::pod_interface)).

use wasmtime::component::Linker;
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{I32Exit, p2, p3};

use crate::adapt::{EXIT_FUNCTION, EXIT_INTERFACE};
use crate::filesystem;
use crate::http;
use crate::io;
use crate::model::Model;
use crate::pod_interface;
use crate::sockets;
use crate::state::GuestState;

/// Makes a linker that offers WASI 0.2 and `nacelle:pod`, where the engine is concurrent also 0.3, and the exact exit of
/// adapted modules.
pub(crate) fn linker(engine: &Engine, model: Model) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    io::add_to_linker(&mut linker)?;
    add_cli(&mut linker)?;
    add_clocks_and_random(&mut linker)?;
    filesystem::p2::add_to_linker(&mut linker, GuestState::files)?;
    sockets::p2::add_to_linker(&mut linker)?;
    http::add_to_linker(&mut linker, model)?;
    pod_interface::p2::add_to_linker(&mut linker)?;
    if model == Model::Concurrent {
        add_p3(&mut linker)?;
    }
    linker.instance(EXIT_INTERFACE)?.func_wrap(
        EXIT_FUNCTION,
        |_: StoreContextMut<'_, GuestState>, (status,): (u8,)| -> wasmtime::Result<()> {
            Err(I32Exit(i32::from(status)).into())
        },
    )?;
    Ok(linker)
}

fn add_cli(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use p2::bindings::cli;
    let view = GuestState::cli;
    cli::environment::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, view)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, view)
}

fn add_clocks_and_random(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use p2::bindings::{clocks, random};
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, GuestState::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, GuestState::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, GuestState::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, GuestState::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, GuestState::random)
}

fn add_p3(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    p3::cli::add_to_linker(linker)?;
    p3::clocks::add_to_linker(linker)?;
    p3::random::add_to_linker(linker)?;
    filesystem::p3::add_to_linker(linker, GuestState::files)?;
    sockets::p3::add_to_linker(linker)?;
    pod_interface::p3::add_to_linker(linker)
}
