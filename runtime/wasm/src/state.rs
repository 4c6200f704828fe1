//! What a store holds for its guest.

use std::sync::Arc;

use nacelle_infra::network::ContainerNetwork;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::count::Counted;
use crate::filesystem::{Files, FilesView};
use crate::fuel::FuelShare;
use crate::http::HttpHooks;
use crate::memory::MemoryShare;
use crate::pod_interface::{Facts, PodView};
use crate::sockets::SocketsView;

/// The most host resources (files, sockets, streams, …) that a guest may hold at a time.
const MAX_RESOURCES: usize = 100_000;
/// The most handles of a guest: those of the host's resources, of its own, and those lent for the time of a call. More
/// than resources, since a guest is told when those run out, and ends when handles do.
pub(crate) const MAX_HANDLES: usize = 2 * MAX_RESOURCES;

/// The data of one store.
pub(crate) struct GuestState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: HttpHooks,
    network: Arc<ContainerNetwork>,
    files: Files,
    facts: Arc<Facts>,
    table: ResourceTable,
    pub(crate) memory: MemoryShare,
    /// Where the container has a budget of it.
    pub(crate) fuel: Option<FuelShare>,
    /// It is one of its container's instances.
    _counted: Counted,
}

impl GuestState {
    pub(crate) fn new(
        wasi: WasiCtx,
        hooks: HttpHooks,
        network: Arc<ContainerNetwork>,
        files: Files,
        facts: Arc<Facts>,
        memory: MemoryShare,
        counted: Counted,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let http = WasiHttpCtx::new();
        Self { wasi, http, hooks, network, files, facts, table, memory, fuel: None, _counted: counted }
    }

    /// What wasi:filesystem works on.
    pub(crate) fn files(&mut self) -> FilesView<'_> {
        FilesView { files: &self.files, table: &mut self.table }
    }

    /// What nacelle:pod works on.
    pub(crate) fn pod(&mut self) -> PodView<'_> {
        PodView { facts: &self.facts, table: &mut self.table }
    }

    /// What wasi:sockets works on.
    pub(crate) fn sockets(&mut self) -> SocketsView<'_> {
        SocketsView { network: &self.network, table: &mut self.table }
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
