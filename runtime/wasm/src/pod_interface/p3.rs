//! `nacelle:pod-async`, for guests of WASI 0.3.

use std::sync::Arc;

use wasmtime::component::{Accessor, Linker};

use self::bindings::nacelle::pod_async::termination;
use super::{HasPod, PodView};
use crate::state::GuestState;

mod bindings {
    #![allow(missing_docs, reason = "generated")]

    wasmtime::component::bindgen!({
        path: "../../wit/pod-async",
        world: "nacelle:pod-async/imports@0.1.0",
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

/// Offers `nacelle:pod-async`.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let view: fn(&mut GuestState) -> PodView<'_> = GuestState::pod;
    termination::add_to_linker::<_, HasPod>(linker, view)
}

impl termination::Host for PodView<'_> {
    fn time_left(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(self.facts.time_left())
    }

    fn stop_signal(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.stop_signal().map(str::to_owned))
    }
}

impl<T: Send> termination::HostWithStore<T> for HasPod {
    async fn requested(store: &Accessor<T, Self>) -> wasmtime::Result<u64> {
        let facts = store.with(|mut access| Arc::clone(access.get().facts));
        facts.asked_to_stop().await;
        Ok(facts.time_left().unwrap_or(0))
    }
}
