//! What one container may know: without a wasmtime type.

use std::sync::{Arc, Mutex, PoisonError};

use nacelle_container::{ContainerConfig, PodInfo, Resources};
use tokio::sync::watch;

use crate::flag::Control;

/// What one container may know, shared by its instances.
pub(crate) struct Facts {
    control: Arc<Control>,
    info: watch::Receiver<Arc<PodInfo>>,
    container: String,
    stop_signal: Option<String>,
    /// What the container may use now.
    resources: Mutex<Resources>,
}

impl Facts {
    pub(crate) fn new(
        config: &ContainerConfig,
        control: Arc<Control>,
        info: watch::Receiver<Arc<PodInfo>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            control,
            info,
            container: config.id.name.clone(),
            stop_signal: config.stop_signal.clone(),
            resources: Mutex::new(config.resources),
        })
    }

    /// The pod, as it is now.
    pub(super) fn pod(&self) -> Arc<PodInfo> {
        Arc::clone(&self.info.borrow())
    }

    pub(super) fn container(&self) -> &str {
        &self.container
    }

    pub(super) fn stop_signal(&self) -> Option<&str> {
        self.stop_signal.as_deref()
    }

    /// What the container may use now.
    pub(super) fn resources(&self) -> Resources {
        *self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container was given other resources.
    pub(crate) fn set_resources(&self, resources: Resources) {
        *self.resources.lock().unwrap_or_else(PoisonError::into_inner) = resources;
    }

    /// Waits for the request to stop.
    pub(super) async fn asked_to_stop(&self) {
        self.control.terminate.wait().await;
    }

    /// How many nanoseconds the container may still take to end, once it was asked to.
    pub(super) fn time_left(&self) -> Option<u64> {
        let left = self.control.terminate.time_left()?;
        Some(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }
}
