//! A container's way from a request to its end.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nacelle_container::log::{LogConfig, LogPump, LogSummary};
use nacelle_container::output::OutputSender;
use nacelle_container::stats::Stats;
use nacelle_container::{
    Container, ContainerId, ContainerInfra, ExecRequest, ExitCause, Program, Resources, StdinMode, UpdateError, output,
};
use nacelle_infra::fs::OpenHow;
use nacelle_infra::mailbox;
use nacelle_infra::network::ContainerNetwork;
use nacelle_infra::stats::FileUsage;
use nacelle_infra::{Incarnation, Infra, normalize_path};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncRead;
use tokio::sync::{OwnedRwLockReadGuard, Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::pod::Pod;
use crate::prepare::{Prepared, discard, prepare};
use crate::program::Digests;
use crate::sharing::Kind;
use crate::{
    Attach, Backends, ContainerExited, ContainerRequest, ContainerStats, ExecFailed, HostEvent, ImageSource,
    StartError, Started, Stdin, linux, stats,
};

/// Programs that may run in one container beside its own.
const MAX_EXECS: usize = 32;

/// A container that was started, and perhaps has ended.
pub(crate) struct Running {
    container: Arc<dyn Container>,
    /// A Linux container's memory and what it writes are the kernel's account.
    pub(crate) kind: Kind,
    /// Taken when the container is removed.
    infra: Mutex<Option<Incarnation>>,
    pub(crate) stdin: Option<Stdin>,
    pub(crate) log_path: PathBuf,
    termination_log: TerminationLog,
    execs: Semaphore,
    container_id: String,
    started_at: Timestamp,
    /// What it may use now.
    resources: Mutex<Resources>,
    /// Why it ended, once it has.
    cause: Arc<OnceLock<ExitCause>>,
    /// Its last figures, once it is removed.
    last: OnceLock<Stats>,
    /// Becomes `true` when the log is drained and the event of the end was sent.
    settled: watch::Receiver<bool>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("log_path", &self.log_path).finish_non_exhaustive()
    }
}

/// Where a container may leave a last word.
enum TerminationLog {
    Nowhere,
    /// A path in its tree.
    InTree(String),
    /// A file of the host, which a Linux container has at that path.
    OnHost(PathBuf),
}

impl TerminationLog {
    fn of(path: Option<String>, program: &Program, own: &Incarnation) -> Self {
        match (path, program) {
            (None, _) => Self::Nowhere,
            (Some(path), Program::Linux(_)) => own.host_termination_log().map_or(Self::InTree(path), Self::OnHost),
            (Some(path), Program::Wasm { .. }) => Self::InTree(path),
        }
    }
}

/// Starts a container. Whatever fails, nothing of it is left but its log.
pub(crate) async fn start(
    pod: Arc<Pod>,
    backends: Backends,
    digests: Arc<Digests>,
    log: LogConfig,
    request: ContainerRequest,
    attach: Attach,
) -> Result<Started, StartError> {
    let id = request.id.clone();
    let stdin_mode = request.stdin;
    let termination_path = request.termination_log.clone();
    let infra = pod.infra().await;
    let reservation = pod.reserve(&id)?;
    if let (ImageSource::Linux { .. }, Some(backend), Some(infra)) = (&request.image, &backends.linux, infra.as_ref()) {
        // Meanwhile the pod's network is made.
        backend.expect(&id.pod, &linux::dir(infra.dir())).await;
    }

    let kind = if matches!(request.image, ImageSource::Linux { .. }) { Kind::Linux } else { Kind::Wasm };
    let _joining = pod.join(&id.pod, kind, &backends).await;
    if kind == Kind::Linux {
        pod.watch_kernel(&id.pod, &backends);
    }
    let (shared, resources) = (pod.share(), request.resources);
    let prepared = spawn_blocking(move || match infra.as_ref() {
        // The guard goes back too: until the container is known to the pod, the pod must not go.
        Some(present) => prepare(present, request, shared, log, &digests).map(|prepared| (prepared, infra)),
        None => Err(StartError::config(format!("pod {} is being removed", request.id.pod))),
    });
    let (Prepared { mut config, infra: mut own, log }, mut infra) = prepared.await.map_err(StartError::create)??;

    let backend = match &config.program {
        Program::Wasm { .. } => &backends.wasm,
        Program::Linux(_) => match &backends.linux {
            Some(linux) => linux,
            None => {
                let _ = spawn_blocking(move || discard(own)).await;
                return Err(StartError::create("this host runs no Linux programs, only WebAssembly ones"));
            }
        },
    };
    let written = match &config.program {
        Program::Wasm { .. } => None,
        Program::Linux(program) => Some(program.files.written()),
    };
    let termination_log = TerminationLog::of(termination_path, &config.program, &own);
    let (stdin, reader) = connect_stdin(stdin_mode, attach.stdin);
    let (sender, receiver) = output::channel();
    let log_path = log.path().to_owned();
    let pump = tokio::spawn(LogPump::new(id.clone(), receiver, log, attach.logs).run());

    let given = ContainerInfra {
        files: Arc::clone(&own.files),
        network: Arc::clone(&own.network),
        memory: Arc::clone(&own.memory),
        info: pod.info.subscribe(),
    };
    let network = Arc::clone(&own.network);
    // Its control group is made within its pod's, which does not change meanwhile. To compile a guest may take long.
    let sharing = pod.sharing.read().await;
    let told = sharing.limits(kind).cpu;
    config.pod_cpu = told;
    let _sharing = Some(sharing).filter(|_| kind == Kind::Linux);
    let mut given_up = std::pin::pin!(given_up(attach.give_up));
    let created = tokio::select! {
        biased;
        error = &mut given_up => Err(error),
        created = backend.create(config, given, reader, sender) => created.map_err(StartError::from),
    };
    let container = match created {
        Ok(container) => container,
        Err(error) => {
            let _ = spawn_blocking(move || discard(own)).await;
            return Err(error);
        }
    };
    match written {
        Some(written) => (own, infra) = count(own, infra, written).await?,
        None => {
            let limits = pod.sharing.read().await.limits(kind);
            // Who has no container of the pod yet is not told of a change.
            if limits.cpu != told
                && let Err(error) = backend.update_pod(&id.pod, &limits).await
            {
                tracing::warn!(container = %id, %error, "its pod's limits are those of before");
            }
        }
    }
    let started_at = Timestamp::now();
    let started = tokio::select! {
        biased;
        error = &mut given_up => Err(error),
        started = container.start() => started.map_err(StartError::run),
    };
    if let Err(error) = started {
        container.remove().await;
        let _ = spawn_blocking(move || discard(own)).await;
        return Err(error);
    }

    let (settle, settled) = watch::channel(false);
    let cause = Arc::new(OnceLock::new());
    let watch = Watch {
        id: id.clone(),
        container: Arc::clone(&container),
        network,
        started_at,
        pump,
        cause: Arc::clone(&cause),
        settle,
    };
    tokio::spawn(watch.run(Arc::clone(&pod.events)));
    let container_id = container_id(&id, started_at);
    reservation.fulfil(Arc::new(Running {
        container,
        kind,
        infra: Mutex::new(Some(own)),
        stdin,
        log_path,
        termination_log,
        execs: Semaphore::new(MAX_EXECS),
        container_id: container_id.clone(),
        started_at,
        resources: Mutex::new(resources),
        cause,
        last: OnceLock::new(),
        settled,
    }));
    drop(infra);
    Ok(Started { container_id, started_at })
}

type Guard = OwnedRwLockReadGuard<Option<Infra>>;

/// Has what a Linux container writes counted: the kernel does not ask.
async fn count(mut own: Incarnation, infra: Guard, written: PathBuf) -> Result<(Incarnation, Guard), StartError> {
    let counting = spawn_blocking(move || {
        let counted = infra.as_ref().map_or(Ok(()), |infra| infra.count_root(&mut own, &written));
        if let Err(error) = counted {
            tracing::warn!(%error, "what a container writes into its root is not counted as its storage");
        }
        (own, infra)
    });
    counting.await.map_err(StartError::create)
}

/// Waits until the start is given up; forever when nobody can.
async fn given_up(asked: Option<oneshot::Receiver<()>>) -> StartError {
    if let Some(asked) = asked
        && asked.await.is_ok()
    {
        return StartError::create("the start was given up, because the container was asked to stop");
    }
    std::future::pending().await
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;

fn connect_stdin(mode: StdinMode, attached: Option<Reader>) -> (Option<Stdin>, Option<Reader>) {
    match (mode, attached) {
        (StdinMode::Closed, _) => (None, None),
        (StdinMode::Open { .. }, Some(reader)) => (None, Some(reader)),
        (StdinMode::Open { once }, None) => {
            let (stdin, reader) = Stdin::new(once);
            (Some(stdin), Some(Box::new(reader)))
        }
    }
}

/// The end of a file of the host.
fn last_bytes(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    let start = file.metadata()?.len().saturating_sub(max);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Of the form that Kubernetes shows: `TYPE://ID`.
fn container_id(id: &ContainerId, started_at: Timestamp) -> String {
    let unique = format!("{id} {}", started_at.as_nanosecond());
    format!("nacelle://{:x}", Sha256::digest(unique))
}

/// Waits for a container's end and tells of it.
struct Watch {
    id: ContainerId,
    container: Arc<dyn Container>,
    network: Arc<ContainerNetwork>,
    started_at: Timestamp,
    pump: JoinHandle<LogSummary>,
    cause: Arc<OnceLock<ExitCause>>,
    settle: watch::Sender<bool>,
}

impl Watch {
    async fn run(self, events: Arc<mailbox::Sender<Box<HostEvent>>>) {
        let cause = self.container.wait().await;
        // Peers see it at once, and the next incarnation finds its ports free.
        self.network.close();
        // Set here only, and once.
        let _ = self.cause.set(cause.clone());
        let finished_at = Timestamp::now();
        match self.pump.await {
            Ok(LogSummary { dropped: 0, .. }) => {}
            Ok(LogSummary { dropped, records }) => {
                tracing::warn!(container = %self.id, dropped, records, "the log is not complete");
            }
            Err(error) => tracing::error!(container = %self.id, %error, "the log's task failed"),
        }
        let exited = ContainerExited { id: self.id, cause, started_at: self.started_at, finished_at };
        events.send(Box::new(HostEvent::ContainerExited(exited)));
        self.settle.send_replace(true);
    }
}

impl Running {
    /// Asks the container to stop, and kills it at the end of the grace period.
    pub(crate) async fn stop(&self, grace: Duration) -> ExitCause {
        self.container.terminate(grace).await;
        match tokio::time::timeout(grace, self.container.wait()).await {
            Ok(cause) => cause,
            Err(_) => self.kill().await,
        }
    }

    /// Kills the container.
    pub(crate) async fn begin_kill(&self) {
        self.container.kill().await;
    }

    /// Kills the container and waits for its end.
    pub(crate) async fn kill(&self) -> ExitCause {
        self.begin_kill().await;
        self.container.wait().await
    }

    /// Runs a program beside the container's own, for at most `timeout`.
    pub(crate) async fn exec(
        &self,
        request: ExecRequest,
        timeout: Option<Duration>,
        output: OutputSender,
    ) -> Result<ExitCause, ExecFailed> {
        let _permit = self.execs.try_acquire().map_err(|_| ExecFailed::TooMany { limit: MAX_EXECS })?;
        let timed_out = async {
            match timeout {
                Some(timeout) => {
                    tokio::time::sleep(timeout).await;
                    ExecFailed::TimedOut { after: timeout }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = self.container.exec(request, output) => Ok(ended?),
            _ = self.container.wait() => Err(ExecFailed::NotThere),
            error = timed_out => Err(error),
        }
    }

    /// The last `max` bytes of what the container left in its termination log. Blocks on file I/O.
    pub(crate) fn last_words(&self, max: usize) -> Vec<u8> {
        let files = self.infra().as_ref().map(|own| Arc::clone(&own.files));
        let (files, path) = match (files, &self.termination_log) {
            (Some(files), TerminationLog::InTree(path)) => (files, path),
            (Some(_), TerminationLog::OnHost(path)) => {
                return last_bytes(path, max).unwrap_or_else(|error| {
                    tracing::debug!(path = %path.display(), %error, "cannot read a termination log");
                    Vec::new()
                });
            }
            (None, _) | (_, TerminationLog::Nowhere) => return Vec::new(),
        };
        let read = || {
            let how = OpenHow { read: true, follow: true, ..OpenHow::default() };
            let file = files.open(&normalize_path(path), how)?;
            let start = file.stat()?.size.saturating_sub(u64::try_from(max).unwrap_or(u64::MAX));
            file.read_bytes_at(start, max)
        };
        match read() {
            Ok(bytes) => bytes.to_vec(),
            Err(error) => {
                tracing::debug!(path, %error, "cannot read a termination log");
                Vec::new()
            }
        }
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.cause.get().is_none()
    }

    /// What it has asked for, in thousandths of a CPU.
    pub(crate) fn cpu_request(&self) -> u64 {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner).cpu.request_millis
    }

    /// What it has used so far; its last figures once it is removed.
    pub(crate) fn stats(&self) -> Stats {
        self.last.get().copied().unwrap_or_else(|| self.container.stats())
    }

    /// Its stats without what only the pod knows: the bytes that it has on a disk. Blocks on file I/O.
    pub(crate) fn describe(&self, id: &ContainerId) -> ContainerStats {
        let inodes = self.infra().as_ref().map_or(0, |infra| infra.files.usage().inodes);
        let cause = self.cause.get();
        ContainerStats {
            name: id.name.clone(),
            attempt: id.attempt,
            container_id: self.container_id.clone(),
            started_at: self.started_at,
            running: cause.is_none(),
            resources: *self.resources.lock().unwrap_or_else(PoisonError::into_inner),
            stats: self.stats(),
            root: FileUsage { bytes: 0, inodes },
            logs: FileUsage { bytes: 0, inodes: stats::log_files(&self.log_path) },
            oom_kills: u64::from(matches!(cause, Some(ExitCause::OomKilled { .. }))),
        }
    }

    fn infra(&self) -> MutexGuard<'_, Option<Incarnation>> {
        // An option that is taken is whole even if a thread panicked while it held the lock.
        self.infra.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn update(&self, resources: &Resources) -> Result<(), UpdateError> {
        self.container.update(resources).await?;
        *self.resources.lock().unwrap_or_else(PoisonError::into_inner) = *resources;
        Ok(())
    }

    /// Ends the container, waits for the rest of its log, and frees what it holds. Only the first call does anything.
    pub(crate) async fn remove(&self) {
        self.kill().await;
        let mut settled = self.settled.clone();
        // The sender is gone without a word only if its task panicked: there is nothing to wait for then either.
        let _ = settled.wait_for(|settled| *settled).await;
        let infra = self.infra().take();
        if let Some(infra) = infra {
            let _ = self.last.set(self.container.stats());
            self.container.remove().await;
            let _ = spawn_blocking(move || discard(infra)).await;
        }
    }
}
