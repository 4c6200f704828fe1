//! The host: what a front end calls.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacelle_container::log::LiveLine;
use nacelle_container::output::OutputSender;
use nacelle_container::stats::Stats;
use nacelle_container::{Backend, ContainerId, ExecRequest, ExitCause, PodInfo, PodUid, Resources};
use nacelle_infra::budget::Budget;
use nacelle_infra::mailbox;
use nacelle_infra::network::{NodeNetwork, PodNetwork};
use nacelle_infra::{DirsError, Infra, InfraConfig, InfraError, NodeDirs, OnExceeded, StorageUsage, VolumeFile};
use tokio::io::AsyncRead;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::balance;
use crate::container::{self, Running};
use crate::linux;
use crate::pod::Pod;
use crate::prepare::PodShare;
use crate::program::Digests;
use crate::{
    ContainerRequest, ExecFailed, HostConfig, HostEvent, MemoryUsage, NoSuchContainer, PodCreated, PodError,
    PodRequest, PodResources, PodStats, RemoveError, StartError, Started, Stdin, UpdateFailed,
};

/// The backends that a host may use. Which one runs a container is decided by its program.
#[derive(Clone)]
pub struct Backends {
    /// Runs WebAssembly.
    pub wasm: Arc<dyn Backend>,
    /// Runs Linux programs; `None` where that is not possible or not wanted.
    pub linux: Option<Arc<dyn Backend>>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends").finish_non_exhaustive()
    }
}

/// What a front end connects to a container when it starts it.
#[derive(Default)]
pub struct Attach {
    /// Gets every line of the container's log. Must be read by another task than the one that waits for the host: a
    /// watcher that does not read holds up the container, as a full pipe does, and the event of its end.
    pub logs: Option<mpsc::Sender<Box<LiveLine>>>,
    /// The container's standard input, if the request opens one. Without it, the host makes a pipe: [`Host::stdin`].
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Gives the start up when something is sent: it then fails, however long its backend would still have taken. Does
    /// nothing to a container that runs already. Dropping the sender without a word lets the start go on.
    pub give_up: Option<oneshot::Receiver<()>>,
}

impl fmt::Debug for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach").field("logs", &self.logs).field("stdin", &self.stdin.is_some()).finish()
    }
}

/// The pods of this process. Cheap to clone; all clones are the same host.
///
/// Methods that wait must be called within a tokio runtime with time enabled.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: HostConfig,
    dirs: NodeDirs,
    backends: Backends,
    network: Arc<NodeNetwork>,
    memory: Arc<Budget>,
    digests: Arc<Digests>,
    pods: Mutex<HashMap<PodUid, Arc<Pod>>>,
}

impl Host {
    /// A host without pods. Its pods get their addresses from `network` and their memory from `memory`, both of which
    /// other hosts may share.
    pub fn new(config: HostConfig, backends: Backends, network: Arc<NodeNetwork>, memory: Arc<Budget>) -> Self {
        let dirs = NodeDirs::new(config.state_dir.clone());
        let (digests, pods) = Default::default();
        Self { shared: Arc::new(Shared { config, dirs, backends, network, memory, digests, pods }) }
    }

    /// Removes what processes that died left of pods, except of those in `keep`. Returns the pods that are gone.
    ///
    /// # Errors
    /// [`RemoveError`] when something could not be removed; the rest is.
    pub async fn sweep(&self, keep: BTreeSet<PodUid>) -> Result<BTreeSet<PodUid>, RemoveError> {
        let dirs = self.shared.dirs.clone();
        let keep: BTreeSet<String> = keep.iter().map(|uid| uid.as_str().to_owned()).collect();
        let (backend, runtime) = (self.shared.backends.linux.clone(), Handle::current());
        let abandoned = move |uid: &str, dir: &Path| {
            if let Some(backend) = &backend {
                runtime.block_on(backend.remove_pod(&PodUid::new(uid), &linux::dir(dir)));
            }
        };
        let networks = self.shared.network.kernel_networks().cloned();
        let sweep = move || {
            let swept = dirs.sweep(&keep, &abandoned).map_err(RemoveError::new);
            // After the containers, which are in them.
            let networks = networks.map_or(Ok(()), |networks| networks.sweep(&|uid| keep.contains(uid)));
            networks.map_err(RemoveError::new).and(swept)
        };
        let swept = spawn_blocking(sweep).await.map_err(RemoveError::new)??;
        Ok(swept.into_iter().map(PodUid::new).collect())
    }

    /// Whether it runs Linux programs.
    pub fn runs_linux(&self) -> bool {
        self.shared.backends.linux.is_some()
    }

    /// Creates a pod: its directories, volumes and network. `events` gets what happens to it.
    ///
    /// # Errors
    /// [`PodError`]; nothing is left behind then, but what hostPath volumes made on the host.
    pub async fn create_pod(
        &self,
        request: PodRequest,
        events: mailbox::Sender<Box<HostEvent>>,
    ) -> Result<PodCreated, PodError> {
        let this = self.clone();
        // In a task of its own: a caller that goes away leaves a pod that is known, not one half made.
        let created = tokio::spawn(async move {
            let uid = request.uid;
            let config = InfraConfig {
                uid: uid.as_str().to_owned(),
                network: request.network,
                volumes: request.volumes,
                fs_group: request.fs_group,
                memory_limit: request.resources.memory,
                ephemeral_storage_limit: request.ephemeral_storage_limit,
            };
            let share = PodShare { cpu: request.resources.cpu, linux: request.linux };
            // A container's files may outlive the pod, which ends what is told of it.
            let events = Arc::new(events);
            let (told, owner) = (Arc::downgrade(&events), uid.clone());
            let exceeded = OnExceeded::new(move |exceeded| {
                if let Some(told) = told.upgrade() {
                    told.send(Box::new(HostEvent::StorageExceeded { pod: owner.clone(), exceeded }));
                }
            });
            let Shared { dirs, network, memory, .. } = &*this.shared;
            let infra = Infra::create(config, dirs, network, memory, exceeded).await;
            let infra = infra.map_err(|error| pod_error(&uid, error))?;
            let ips = infra.network().ips().to_vec();
            // No other can have this uid: the infra holds the lock of its directory.
            let pod = Pod::new(request.info, share, request.resources, infra, events);
            this.pods().insert(uid, Arc::new(pod));
            Ok(PodCreated { ips })
        });
        created.await.map_err(PodError::sandbox)?
    }

    /// A pod's network: for connections into it, and for what policies know of it. `None` when there is no such pod.
    pub fn pod_network(&self, pod: &PodUid) -> Option<Arc<PodNetwork>> {
        Some(Arc::clone(&self.pod(pod)?.network))
    }

    /// A pod's memory; `None` when there is no such pod.
    pub fn memory(&self, pod: &PodUid) -> Option<Arc<Budget>> {
        Some(Arc::clone(self.pod(pod)?.memory()))
    }

    /// What a pod uses of the node's memory; `None` when there is no such pod.
    pub fn memory_usage(&self, pod: &PodUid) -> Option<MemoryUsage> {
        Some(self.pod(pod)?.memory_usage())
    }

    /// What a pod has on a disk; `None` when there is no such pod, or it is being removed.
    pub async fn storage_usage(&self, pod: &PodUid) -> Option<StorageUsage> {
        let infra = self.pod(pod)?.infra().await;
        spawn_blocking(move || infra.as_ref().map(Infra::storage_usage)).await.ok().flatten()
    }

    /// Gives a content volume (configMap, secret, downwardAPI, projected) other content; containers see all of it or
    /// nothing. Returns whether anything changed.
    ///
    /// # Errors
    /// [`PodError`] when there is no such pod or volume, or the content does not fit; it then has that of before.
    pub async fn update_volume(&self, pod: &PodUid, volume: &str, files: Vec<VolumeFile>) -> Result<bool, PodError> {
        let Some(found) = self.pod(pod) else { return Err(PodError::sandbox(format!("no pod {pod}"))) };
        let infra = found.infra().await;
        let name = volume.to_owned();
        let updated = spawn_blocking(move || infra.as_ref().map(|infra| infra.update_volume(&name, &files)));
        match updated.await.map_err(PodError::sandbox)? {
            Some(result) => result.map_err(|error| PodError::volume(volume, error)),
            None => Err(PodError::sandbox(format!("pod {pod} is being removed"))),
        }
    }

    /// Creates and starts a container in a pod. Once asked for, it is started even if nobody waits for the answer;
    /// [`Attach::give_up`] takes the request back.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind then, but the log.
    pub async fn start_container(&self, request: ContainerRequest, attach: Attach) -> Result<Started, StartError> {
        let Some(pod) = self.pod(&request.id.pod) else {
            return Err(StartError::config(format!("no pod {}", request.id.pod)));
        };
        let shared = &self.shared;
        let digests = Arc::clone(&shared.digests);
        let start = container::start(pod, shared.backends.clone(), digests, shared.config.log, request, attach);
        tokio::spawn(start).await.map_err(StartError::create)?
    }

    /// Asks a container to stop, and kills it at the end of `grace`. Returns when it has ended; its last lines, and
    /// after them the event of its end, may still be on their way.
    ///
    /// # Errors
    /// [`NoSuchContainer`] when it was not started, is still being started ([`Attach::give_up`] is for that), or is
    /// removed.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<ExitCause, NoSuchContainer> {
        Ok(self.running(id)?.stop(grace).await)
    }

    /// Ends a container by force; returns as [`Host::stop_container`] does.
    ///
    /// # Errors
    /// [`NoSuchContainer`] when it was not started or is removed.
    pub async fn kill_container(&self, id: &ContainerId) -> Result<ExitCause, NoSuchContainer> {
        Ok(self.running(id)?.kill().await)
    }

    /// Removes a container: kills it if need be, waits for the rest of its log, frees everything but the log. There
    /// is no such container any more afterwards, nor need there have been one.
    pub async fn remove_container(&self, id: &ContainerId) {
        let Some(pod) = self.pod(&id.pod) else { return };
        let id = id.clone();
        // In a task of its own: once begun, it is finished.
        let removed = tokio::spawn(async move {
            // The pod's files must not go while some of them are being removed here.
            let _infra = pod.infra().await;
            if let Some(running) = pod.running(&id) {
                running.remove().await;
                pod.forget(&id);
            }
        });
        if let Err(error) = removed.await {
            tracing::error!(%error, "removing a container failed");
        }
    }

    /// Removes a pod with its containers, after those that are being started. There is no such pod any more
    /// afterwards, nor need there have been one.
    ///
    /// # Errors
    /// [`RemoveError`] when files are left; the next sweep tries again.
    pub async fn remove_pod(&self, uid: &PodUid) -> Result<(), RemoveError> {
        let Some(pod) = self.pod(uid) else { return Ok(()) };
        let this = self.clone();
        let uid = uid.clone();
        // In a task of its own: once begun, it is finished.
        let removed = tokio::spawn(async move {
            let mut infra = pod.infra_alone().await;
            pod.remove_all().await;
            if let Some(infra) = infra.as_ref() {
                this.shared.backends.wasm.remove_pod(&uid, &linux::dir(infra.dir())).await;
            }
            if let (Some(backend), Some(infra)) = (&this.shared.backends.linux, infra.as_ref()) {
                // The kernel takes its time to remove interfaces. No container needs them any more.
                let network = Arc::clone(infra.network());
                let closed = spawn_blocking(move || network.close());
                backend.remove_pod(&uid, &linux::dir(infra.dir())).await;
                if let Err(error) = closed.await {
                    tracing::error!(%error, "removing a pod's network failed");
                }
            }
            let removed = match infra.take() {
                Some(infra) => spawn_blocking(move || infra.remove()).await.map_err(RemoveError::new)?,
                // Somebody else removed it while this waited for its turn.
                None => return Ok(()),
            };
            this.pods().remove(&uid);
            removed.map_err(RemoveError::new)
        });
        removed.await.map_err(RemoveError::new)?
    }

    /// What a container has used so far; its last figures when it has ended.
    ///
    /// # Errors
    /// [`NoSuchContainer`] when it was not started or is removed.
    pub fn stats(&self, id: &ContainerId) -> Result<Stats, NoSuchContainer> {
        Ok(self.running(id)?.stats())
    }

    /// What a pod and its containers have used so far, from one moment; `None` when there is no such pod, or it is being
    /// removed.
    pub async fn pod_stats(&self, uid: &PodUid) -> Option<PodStats> {
        self.pod(uid)?.stats(uid, &self.shared.backends).await
    }

    /// Changes what the containers of a pod may know of it, those that run included. Nothing when there is no such pod.
    pub fn update_info(&self, uid: &PodUid, info: PodInfo) {
        if let Some(pod) = self.pod(uid) {
            pod.info.send_replace(Arc::new(info));
        }
    }

    /// Changes what a container may use while it runs: all of it or nothing.
    ///
    /// # Errors
    /// [`UpdateFailed`]; the container has what it had.
    pub async fn update_container(&self, id: &ContainerId, resources: &Resources) -> Result<(), UpdateFailed> {
        let running = self.running(id).map_err(|_| UpdateFailed::NotThere)?;
        running.update(resources).await.map_err(UpdateFailed::from)
    }

    /// Changes what the containers of a pod may use together, those to be started included: all of it or nothing.
    ///
    /// # Errors
    /// [`UpdateFailed`]; the pod has what it had.
    pub async fn update_pod(&self, uid: &PodUid, resources: &PodResources) -> Result<(), UpdateFailed> {
        let pod = self.pod(uid).ok_or(UpdateFailed::NotThere)?;
        // The pod does not go meanwhile.
        let infra = pod.infra().await;
        let Some(memory) = infra.as_ref().map(Infra::memory) else { return Err(UpdateFailed::NotThere) };
        let mut sharing = pod.sharing.write().await;
        let (before, memory_before) = (sharing.clone(), memory.limit());
        memory.set_limit(resources.memory)?;
        sharing.resize(*resources);
        sharing.divide(pod.present());
        if let Err(error) = balance::tell(uid, &before, &sharing, &self.shared.backends).await {
            let refused = std::mem::replace(&mut *sharing, before);
            // What backends had before they can have again.
            if let Err(error) = balance::tell(uid, &refused, &sharing, &self.shared.backends).await {
                tracing::warn!(pod = %uid, %error, "other limits of a pod could not be taken back");
            }
            if let Err(error) = memory.set_limit(memory_before) {
                tracing::warn!(pod = %uid, %error, "another limit of a pod's memory could not be taken back");
            }
            return Err(error.into());
        }
        pod.set_cpu(resources.cpu);
        Ok(())
    }

    /// Runs a program in a container that runs, beside its own, to its end; kills it after `timeout`, or when the
    /// future is dropped. `output` gets what it writes, and has all of it once this returns.
    ///
    /// # Errors
    /// [`ExecFailed`]; the program does not run any more.
    pub async fn exec(
        &self,
        id: &ContainerId,
        request: ExecRequest,
        timeout: Option<Duration>,
        output: OutputSender,
    ) -> Result<ExitCause, ExecFailed> {
        let running = self.running(id).map_err(|_| ExecFailed::NotThere)?;
        running.exec(request, timeout, output).await
    }

    /// The end of what a container has left in its termination log: at most `max` bytes. Nothing when it left nothing,
    /// or has none.
    ///
    /// # Errors
    /// [`NoSuchContainer`] when it was not started or is removed.
    pub async fn last_words(&self, id: &ContainerId, max: usize) -> Result<Vec<u8>, NoSuchContainer> {
        let running = self.running(id)?;
        Ok(spawn_blocking(move || running.last_words(max)).await.unwrap_or_default())
    }

    /// The pipe to a container's standard input, if it has one that the host made.
    ///
    /// # Errors
    /// [`NoSuchContainer`] when it was not started or is removed.
    pub fn stdin(&self, id: &ContainerId) -> Result<Option<Stdin>, NoSuchContainer> {
        Ok(self.running(id)?.stdin.clone())
    }

    /// Where a container's log is.
    ///
    /// # Errors
    /// [`NoSuchContainer`] when it was not started or is removed.
    pub fn log_path(&self, id: &ContainerId) -> Result<PathBuf, NoSuchContainer> {
        Ok(self.running(id)?.log_path.clone())
    }

    fn running(&self, id: &ContainerId) -> Result<Arc<Running>, NoSuchContainer> {
        self.pod(&id.pod).and_then(|pod| pod.running(id)).ok_or_else(|| NoSuchContainer(id.clone()))
    }

    fn pod(&self, uid: &PodUid) -> Option<Arc<Pod>> {
        self.pods().get(uid).cloned()
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<PodUid, Arc<Pod>>> {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pod_error(uid: &PodUid, error: InfraError) -> PodError {
    match error {
        InfraError::Dirs(DirsError::InUse { .. }) => PodError::Exists(uid.clone()),
        InfraError::Dirs(error) => PodError::sandbox(error),
        error @ (InfraError::Network(_) | InfraError::Thread(_)) => PodError::sandbox(error),
        InfraError::Volume { volume, source } => PodError::volume(&volume, source),
    }
}
