//! The WebAssembly backend, made when the first container comes that needs it.
//!
//! An engine with its threads and its pool takes 10 ms to make and as long to take down: a quarter of the life of a short
//! Linux container, which needs none.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use nacelle_container::output::OutputSender;
use nacelle_container::stats::CpuStats;
use nacelle_container::{
    Backend, Container, ContainerConfig, ContainerInfra, CreateError, PodLimits, PodUid, UpdateError,
};
use nacelle_wasm::{WasmBackend, WasmConfig};
use tokio::io::AsyncRead;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// A [`WasmBackend`] to be.
pub(crate) struct LazyWasm {
    config: WasmConfig,
    backend: OnceCell<WasmBackend>,
}

impl LazyWasm {
    pub(crate) fn new(config: WasmConfig) -> Self {
        Self { config, backend: OnceCell::new() }
    }

    async fn backend(&self) -> Result<&WasmBackend, CreateError> {
        let make = async || {
            let config = self.config.clone();
            let made = spawn_blocking(|| WasmBackend::new(config).map_err(|error| error.to_string())).await;
            made.unwrap_or_else(|error| Err(error.to_string())).map_err(CreateError::Other)
        };
        self.backend.get_or_try_init(make).await
    }
}

#[async_trait]
impl Backend for LazyWasm {
    async fn create(
        &self,
        config: ContainerConfig,
        infra: ContainerInfra,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
    ) -> Result<Arc<dyn Container>, CreateError> {
        self.backend().await?.create(config, infra, stdin, output).await
    }

    async fn update_pod(&self, pod: &PodUid, limits: &PodLimits) -> Result<(), UpdateError> {
        match self.backend.get() {
            Some(backend) => backend.update_pod(pod, limits).await,
            // There is no container of any pod; the first one brings its pod's share along.
            None => Ok(()),
        }
    }

    fn pod_cpu(&self, pod: &PodUid) -> CpuStats {
        self.backend.get().map_or_else(CpuStats::default, |backend| backend.pod_cpu(pod))
    }

    async fn remove_pod(&self, pod: &PodUid, dir: &Path) {
        if let Some(backend) = self.backend.get() {
            backend.remove_pod(pod, dir).await;
        }
    }
}
