//! Creates a pod's infra and starts containers into it.
#![allow(clippy::unimplemented, unused_variables, missing_docs)]

mod error;
mod event;
mod request;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use error::{NoSuchContainer, PodError, RemoveError, StartError};
pub use event::{ContainerExited, HostEvent, Started};
use nacelle_container::log::LiveLine;
use nacelle_container::{Backend, ContainerId, ExitCause, PodUid, Stats};
use nacelle_infra::VolumeFile;
pub use request::{ContainerRequest, HostConfig, ImageSource, PodRequest, VolumeMount};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

/// The backends that a host may use.
#[derive(Clone)]
pub struct Backends {
    /// Runs WebAssembly.
    pub wasm: Arc<dyn Backend>,
}

/// What a front end connects a container to when it starts it; not part of the plain request.
#[derive(Default)]
pub struct Attach {
    /// Gets every line of the container's log. Must be read by another task than the one that awaits the host: a
    /// watcher that does not read holds the container, and the event of its end, up.
    pub logs: Option<mpsc::Sender<LiveLine>>,
    /// The container's standard input. Without one, a request for [`StdinMode::Open`] gets a pipe whose other end is
    /// [`Host::stdin`].
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
}

/// Pods of this process. Cheap to clone.
#[derive(Clone)]
pub struct Host {}

/// The writing end of a container's standard input.
#[derive(Clone)]
pub struct Stdin {}

impl Stdin {
    /// Waits until all of `bytes` fit into the pipe (64 KiB).
    pub async fn write_all(&self, bytes: &[u8]) -> std::io::Result<()> {
        unimplemented!()
    }
    /// Detaches: closes the pipe for good when the container's stdin is `once`, else leaves it open.
    pub async fn close(&self) {
        unimplemented!()
    }
}

impl Host {
    pub fn new(config: HostConfig, backends: Backends) -> Self {
        unimplemented!()
    }
    /// Removes what killed processes left of pods that are not in `keep`.
    pub async fn sweep(&self, keep: BTreeSet<PodUid>) -> Result<Vec<PodUid>, RemoveError> {
        unimplemented!()
    }
    /// `events` gets the pod's events.
    pub async fn create_pod(
        &self,
        request: PodRequest,
        events: mpsc::UnboundedSender<HostEvent>,
    ) -> Result<(), PodError> {
        unimplemented!()
    }
    /// Gives a `Files` volume new content, atomically.
    pub async fn update_volume(&self, pod: &PodUid, volume: &str, files: Vec<VolumeFile>) -> Result<(), PodError> {
        unimplemented!()
    }
    pub async fn start_container(&self, request: ContainerRequest, attach: Attach) -> Result<Started, StartError> {
        unimplemented!()
    }
    /// Terminates, kills at the end of `grace`; returns when the container has ended (its last lines may still be
    /// on their way; `ContainerExited` comes after them).
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<ExitCause, NoSuchContainer> {
        unimplemented!()
    }
    pub async fn kill_container(&self, id: &ContainerId) -> Result<ExitCause, NoSuchContainer> {
        unimplemented!()
    }
    /// Kills if need be; waits until the log is drained; frees everything but the log.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<(), RemoveError> {
        unimplemented!()
    }
    pub async fn remove_pod(&self, pod: &PodUid) -> Result<(), RemoveError> {
        unimplemented!()
    }
    pub fn stats(&self, id: &ContainerId) -> Result<Stats, NoSuchContainer> {
        unimplemented!()
    }
    /// The pipe to the container's standard input, when it has one that the host made.
    pub fn stdin(&self, id: &ContainerId) -> Option<Stdin> {
        unimplemented!()
    }
    /// Where the container's log is.
    pub fn log_path(&self, id: &ContainerId) -> Option<std::path::PathBuf> {
        unimplemented!()
    }
}
