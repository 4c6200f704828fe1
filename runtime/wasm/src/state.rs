//! What a store holds for its guest.

use std::sync::Arc;

use nacelle_infra::network::ContainerNetwork;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::count::Counted;
use crate::filesystem::{Files, FilesView};
use crate::fuel::FuelShare;
use crate::handles::Handles;
use crate::http::HttpHooks;
use crate::memory::{MemoryRefused, MemoryShare};
use crate::pod_interface::{Facts, PodView};
use crate::sockets::SocketsView;

/// The data of one store.
pub(crate) struct GuestState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: HttpHooks,
    network: Arc<ContainerNetwork>,
    files: Files,
    facts: Arc<Facts>,
    handles: Handles,
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
        let handles = Handles::new(&memory);
        let http = WasiHttpCtx::new();
        Self { wasi, http, hooks, network, files, facts, handles, memory, fuel: None, _counted: counted }
    }

    /// The handles that the guest has.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        self.handles.table(&mut self.memory)
    }

    /// Charges `more` bytes of texts that the guest hands to the host for HTTP.
    ///
    /// # Errors
    /// [`MemoryRefused`] where there is no memory for them.
    pub(crate) fn keep(&mut self, more: usize) -> Result<(), MemoryRefused> {
        self.handles.keep(more)
    }

    /// What wasi:filesystem works on.
    pub(crate) fn files(&mut self) -> FilesView<'_> {
        FilesView { files: &self.files, table: self.handles.table(&mut self.memory) }
    }

    /// What nacelle:pod works on.
    pub(crate) fn pod(&mut self) -> PodView<'_> {
        PodView { facts: &self.facts, table: self.handles.table(&mut self.memory) }
    }

    /// What wasi:sockets works on.
    pub(crate) fn sockets(&mut self) -> SocketsView<'_> {
        SocketsView { network: &self.network, table: self.handles.table(&mut self.memory) }
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: self.handles.table(&mut self.memory) }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let heads = self.hooks.take_heads();
        if heads > 0 {
            self.handles.found(heads);
        }
        WasiHttpCtxView { hooks: &mut self.hooks, table: self.handles.table(&mut self.memory), ctx: &mut self.http }
    }
}
