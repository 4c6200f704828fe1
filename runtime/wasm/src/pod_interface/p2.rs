//! `nacelle:pod`, for every guest.

use std::sync::Arc;

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use self::bindings::nacelle::pod::{info, termination};
use super::{Facts, HasPod, PodView};
use crate::state::GuestState;

mod bindings {
    #![allow(missing_docs, reason = "generated")]

    wasmtime::component::bindgen!({
        path: ["../../wit/deps/io-0.2.12.wit", "../../wit/pod"],
        world: "nacelle:pod/imports@0.1.0",
        imports: { "nacelle:pod/termination.wait": async | trappable, default: trappable },
        with: { "wasi:io": wasmtime_wasi_io::bindings::wasi::io },
        require_store_data_send: true,
    });
}

/// Offers `nacelle:pod`.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let view: fn(&mut GuestState) -> PodView<'_> = GuestState::pod;
    termination::add_to_linker::<_, HasPod>(linker, view)?;
    info::add_to_linker::<_, HasPod>(linker, view)
}

/// Ready once the container was asked to stop.
struct Asked(Arc<Facts>);

#[wasmtime_wasi::async_trait]
impl Pollable for Asked {
    async fn ready(&mut self) {
        self.0.asked_to_stop().await;
    }
}

impl termination::Host for PodView<'_> {
    fn subscribe(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        let asked = self.table.push(Asked(Arc::clone(self.facts)))?;
        subscribe(self.table, asked)
    }

    async fn wait(&mut self) -> wasmtime::Result<u64> {
        self.facts.asked_to_stop().await;
        Ok(self.facts.time_left().unwrap_or(0))
    }

    fn time_left(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(self.facts.time_left())
    }

    fn stop_signal(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.stop_signal().map(str::to_owned))
    }
}

impl info::Host for PodView<'_> {
    fn pod_name(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.pod().name.clone())
    }

    fn pod_namespace(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.pod().namespace.clone())
    }

    fn pod_uid(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.pod().uid.clone())
    }

    fn node_name(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.pod().node_name.clone())
    }

    fn labels(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.facts.pod().labels.clone().into_iter().collect())
    }

    fn label(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.pod().labels.get(&key).cloned())
    }

    fn annotations(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.facts.pod().annotations.clone().into_iter().collect())
    }

    fn annotation(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.pod().annotations.get(&key).cloned())
    }

    fn container_name(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.container().to_owned())
    }

    fn limits(&mut self) -> wasmtime::Result<info::Resources> {
        let resources = self.facts.resources();
        Ok(info::Resources { cpu: resources.cpu.limit_millis, memory: resources.memory })
    }

    fn requests(&mut self) -> wasmtime::Result<info::Resources> {
        let resources = self.facts.resources();
        let asked = |amount: u64| (amount > 0).then_some(amount);
        Ok(info::Resources { cpu: asked(resources.cpu.request_millis), memory: asked(resources.memory_request) })
    }
}
