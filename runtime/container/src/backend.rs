//! The narrow trait between host and backends.
//!
//! ```text
//!   Backend::create ──► Created ──start──► Running ──(guest ends, kill, …)──► Exited ──remove──► gone
//!                          └───────────────────────remove────────────────────────────────────────►
//! ```
//!
//! - `create` does all that can fail for reasons outside the guest: it compiles, instantiates or mounts.
//! - `start` lets the guest's entry point run. It is called once.
//! - `wait` may be called at any time and by many; all get the same cause.
//! - `terminate` asks the guest to stop and returns at once; `kill` ends it by force; both do nothing on a container
//!   that has ended.
//! - `exec` works between `start` and the end.
//! - `remove` frees all that is left; it kills a container that still runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nacelle_infra::fs::MountNamespace;
use nacelle_infra::memory::{ContainerMemory, Scope};
use nacelle_infra::network::ContainerNetwork;
use tokio::io::AsyncRead;
use tokio::sync::watch;

use crate::output::OutputSender;
use crate::stats::{CpuStats, Stats};
use crate::{ContainerConfig, ExecError, ExecRequest, ExitCause, PodInfo, PodLimits, PodUid, Resources};

/// What a container is given of its pod. Values of this process: what can cross its border is in [`ContainerConfig`].
#[derive(Clone)]
pub struct ContainerInfra {
    /// Its files: one tree under `/`. A Linux program has those of [`LinuxFiles`](crate::LinuxFiles) instead.
    pub files: Arc<MountNamespace>,
    /// The pod's network, as this incarnation sees it. Whoever made it closes it when the container has ended.
    pub network: Arc<ContainerNetwork>,
    /// Its part of the pod's memory. Files and network charge it already; the backend sets its limit, and charges what it
    /// holds itself.
    pub memory: Arc<ContainerMemory>,
    /// What it may know of the pod, as it is now.
    pub info: watch::Receiver<Arc<PodInfo>>,
}

/// Creates containers of one kind.
#[async_trait]
pub trait Backend: Send + Sync {
    /// A container of this pod will be created soon: what takes time is begun. `dir` is what
    /// [`LinuxPod::dir`](crate::LinuxPod::dir) will be. Need not be called, and may be in vain;
    /// [`remove_pod`](Self::remove_pod) frees what this has made.
    async fn expect(&self, _pod: &PodUid, _dir: &Path) {}

    /// Makes a container ready to start.
    ///
    /// The container lives in `infra`: it has no other files, and no other way to the network.
    ///
    /// `output` receives everything the container writes; the backend drops it before `wait` returns.
    ///
    /// May be given up: when the future is dropped before it is done, nothing of the container stays.
    ///
    /// # Errors
    /// [`CreateError`] when the container cannot be made; nothing of it is then left behind.
    async fn create(
        &self,
        config: ContainerConfig,
        infra: ContainerInfra,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
    ) -> Result<Arc<dyn Container>, CreateError>;

    /// Changes what all containers of a pod may use together, those to be created included: all of it or nothing. Memory
    /// that a container charges to its [`ContainerInfra::memory`] is held to the pod's limit there already.
    ///
    /// # Errors
    /// [`UpdateError`], see its variants; the pod has what it had.
    async fn update_pod(&self, pod: &PodUid, limits: &PodLimits) -> Result<(), UpdateError>;

    /// What the pod's containers here have used together, those that are gone included: how often and how long the pod's
    /// own quota held them back. Nothing for a pod that the backend has never seen.
    fn pod_cpu(&self, pod: &PodUid) -> CpuStats;

    /// Frees what the backend keeps for a pod as a whole. All of its containers are removed, or the process that ran them
    /// has died: whatever is still there of them is ended and removed as well. `dir` is what
    /// [`LinuxPod::dir`](crate::LinuxPod::dir) was. May be called twice, and for a pod that the backend has never seen.
    async fn remove_pod(&self, _pod: &PodUid, _dir: &Path) {}
}

/// One container, from its creation to its removal.
#[async_trait]
pub trait Container: Send + Sync {
    /// Lets the entry point run. An HTTP component's port is bound here.
    ///
    /// # Errors
    /// [`CreateError`] when the guest could not be started at all; a guest that fails later is an [`ExitCause`].
    async fn start(&self) -> Result<(), CreateError>;

    /// Runs a second program in the same container, with the same mounts, network, environment and budget, to its end.
    /// When the future is dropped before that, the program is killed.
    ///
    /// `output` receives what the program writes; all senders are dropped before the end is known.
    ///
    /// # Errors
    /// [`ExecError`] when there is no such program or the container does not run.
    async fn exec(&self, request: ExecRequest, output: OutputSender) -> Result<ExitCause, ExecError>;

    /// Asks the guest to stop: end of standard input, drained http server, termination signal. A guest that then ends
    /// by itself keeps its exit code; one that was never started ends as [`ExitCause::Stopped`] with `graceful`.
    ///
    /// `grace` is how long it has until it is killed, for those guests that want to know. Who asks is also who kills. A
    /// later call can only shorten it.
    async fn terminate(&self, grace: Duration);

    /// Ends the guest by force, busy or waiting. The cause is [`ExitCause::Stopped`] without `graceful`.
    async fn kill(&self);

    /// Waits for the container's end.
    async fn wait(&self) -> ExitCause;

    /// What the container has used so far.
    fn stats(&self) -> Stats;

    /// Changes what the container may use while it runs, all of it or nothing. Fuel is not changed.
    ///
    /// # Errors
    /// [`UpdateError`], see its variants.
    async fn update(&self, resources: &Resources) -> Result<(), UpdateError>;

    /// Frees all that the container holds.
    async fn remove(&self);
}

/// Why a container could not be created or started.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The program is not something this backend can run.
    #[error("{path}: {reason}")]
    BadProgram {
        /// The program as the user named it.
        path: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The program needs an interface that the host does not offer.
    #[error("the component imports {import}, which this runtime does not provide: {reason}")]
    MissingImport {
        /// The import's name.
        import: String,
        /// The linker's words.
        reason: String,
    },
    /// The memory limit is below what the program needs to start.
    #[error("{}", too_low(*.scope, *.limit, *.needed))]
    MemoryLimitTooLow {
        /// Whose limit it is.
        scope: Scope,
        /// The limit in bytes.
        limit: u64,
        /// What would have been in use under that limit, in bytes.
        needed: u64,
    },
    /// A mount could not be made.
    #[error("mount at {path}: {reason}")]
    Mount {
        /// The path in the container.
        path: String,
        /// What failed.
        reason: String,
    },
    /// The manifest asks for something that cannot be had here, or that contradicts the image: Kubernetes'
    /// `CreateContainerConfigError`. The message begins with the field.
    #[error("{0}")]
    Config(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

fn too_low(scope: Scope, limit: u64, needed: u64) -> String {
    match scope {
        Scope::Container => format!(
            "memory limit is {limit} bytes, but the component needs {needed} bytes to start: \
             raise resources.limits.memory"
        ),
        Scope::Pod => format!(
            "the pod's memory limit is {limit} bytes, but with this component its containers and memory volumes need \
             {needed} bytes: raise the pod's resources.limits.memory, or those of its containers"
        ),
        Scope::Node => format!(
            "the node has {limit} bytes of memory for pods, and with this component they would need {needed}: it starts \
             when others use less"
        ),
    }
}

/// Why a running container, or the pod of one, cannot be given other resources. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// It uses more memory than the new limit.
    #[error("memory limit of {limit} bytes is below the {used} bytes in use")]
    MemoryInUse {
        /// The new limit in bytes.
        limit: u64,
        /// What is in use, in bytes.
        used: u64,
    },
    /// The container has ended.
    #[error("container is not running")]
    NotRunning,
    /// This backend cannot do it.
    #[error("{0}")]
    Unsupported(String),
}
