//! What a store holds for its guest, and the linker that offers WASI on top of it.

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::adapt::{EXIT_FUNCTION, EXIT_INTERFACE};
use crate::memory::MemoryShare;
use crate::network::HttpHooks;

/// The most host resources (files, sockets, streams, …) that a guest may hold at a time.
const MAX_RESOURCES: usize = 100_000;

/// The data of one store.
pub(crate) struct GuestState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: HttpHooks,
    table: ResourceTable,
    pub(crate) memory: MemoryShare,
}

impl GuestState {
    pub(crate) fn new(wasi: WasiCtx, hooks: HttpHooks, memory: MemoryShare) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self { wasi, http: WasiHttpCtx::new(), hooks, table, memory }
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// A linker that offers WASI 0.2 and 0.3, wasi:http of both, and the exact exit of adapted modules.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    linker.instance(EXIT_INTERFACE)?.func_wrap(
        EXIT_FUNCTION,
        |_: StoreContextMut<'_, GuestState>, (status,): (u8,)| -> wasmtime::Result<()> {
            Err(I32Exit(i32::from(status)).into())
        },
    )?;
    Ok(linker)
}
