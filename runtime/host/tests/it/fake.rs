//! A backend without guests, and a host over it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nacelle_container::log::LogConfig;
use nacelle_container::output::{Chunk, OutputSender, Stream};
use nacelle_container::stats::{CpuStats, Stats};
use nacelle_container::{
    Backend, Container, ContainerConfig, ContainerId, ContainerInfra, CreateError, ExecError, ExecRequest, ExitCause,
    HttpConfig, LinuxOptions, LinuxPodOptions, PodInfo, PodLimits, PodUid, Resources, StdinMode, UpdateError,
};
use nacelle_host::{
    Attach, Backends, ContainerRequest, Host, HostConfig, HostEvent, ImageSource, PodRequest, PodResources,
};
use nacelle_infra::VolumeConfig;
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{Errno, OpenHow};
use nacelle_infra::mailbox::{self, mailbox};
use nacelle_infra::network::{NamesConfig, NodeNetwork, NodeNetworkConfig, PodNetworkConfig};
use tokio::io::AsyncRead;
use tokio::sync::watch;

/// What a container does when it is asked to stop.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OnTerminate {
    #[default]
    Ends,
    Ignores,
}

/// What goes wrong.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fails {
    #[default]
    Nothing,
    Create,
    Start,
}

/// What the next containers do.
#[derive(Clone, Copy, Default)]
pub(crate) struct Script {
    pub(crate) terminate: OnTerminate,
    pub(crate) fails: Fails,
}

#[derive(Default)]
pub(crate) struct FakeBackend {
    pub(crate) script: Mutex<Script>,
    pub(crate) containers: Mutex<HashMap<ContainerId, Arc<FakeContainer>>>,
    /// What pods were given, in order.
    pub(crate) pod_limits: Mutex<Vec<PodLimits>>,
    /// What every pod has used.
    pub(crate) pod_cpu: Mutex<CpuStats>,
    /// Why the next change of a pod fails.
    pub(crate) refuses: Mutex<Option<UpdateError>>,
    /// `create` waits while somebody holds this.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

pub(crate) struct FakeContainer {
    pub(crate) config: ContainerConfig,
    pub(crate) infra: ContainerInfra,
    script: Script,
    cpu: AtomicU64,
    output: Mutex<Option<OutputSender>>,
    pub(crate) stdin: Mutex<Option<Box<dyn AsyncRead + Send + Unpin>>>,
    end: watch::Sender<Option<ExitCause>>,
    pub(crate) removed: watch::Sender<bool>,
    /// The periods it was asked to stop within.
    pub(crate) graces: Mutex<Vec<Duration>>,
}

#[async_trait]
impl Backend for FakeBackend {
    async fn create(
        &self,
        config: ContainerConfig,
        infra: ContainerInfra,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
    ) -> Result<Arc<dyn Container>, CreateError> {
        let _open = self.gate.lock().await;
        let script = *self.script.lock().unwrap();
        if script.fails == Fails::Create {
            return Err(CreateError::Other("cannot be created".into()));
        }
        let id = config.id.clone();
        let container = Arc::new(FakeContainer {
            config,
            infra,
            script,
            cpu: AtomicU64::new(0),
            output: Mutex::new(Some(output)),
            stdin: Mutex::new(stdin),
            end: watch::Sender::new(None),
            removed: watch::Sender::new(false),
            graces: Mutex::default(),
        });
        self.containers.lock().unwrap().insert(id, Arc::clone(&container));
        Ok(container)
    }

    async fn update_pod(&self, _: &PodUid, limits: &PodLimits) -> Result<(), UpdateError> {
        self.pod_limits.lock().unwrap().push(*limits);
        match self.refuses.lock().unwrap().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn pod_cpu(&self, _: &PodUid) -> CpuStats {
        *self.pod_cpu.lock().unwrap()
    }
}

#[async_trait]
impl Container for FakeContainer {
    async fn start(&self) -> Result<(), CreateError> {
        if self.script.fails == Fails::Start {
            return Err(CreateError::Other("cannot be started".into()));
        }
        Ok(())
    }

    async fn exec(&self, request: ExecRequest, _: OutputSender) -> Result<ExitCause, ExecError> {
        match request.argv.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["end", code] => Ok(ExitCause::Exited { code: code.parse().unwrap() }),
            ["hang"] => std::future::pending().await,
            _ => Err(ExecError::NotFound { program: request.argv.join(" "), reason: "not found".into() }),
        }
    }

    async fn terminate(&self, grace: Duration) {
        self.graces.lock().unwrap().push(grace);
        if self.script.terminate == OnTerminate::Ends {
            self.end(ExitCause::Stopped { graceful: true });
        }
    }

    async fn kill(&self) {
        self.end(ExitCause::Stopped { graceful: false });
    }

    async fn wait(&self) -> ExitCause {
        self.end.subscribe().wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }

    fn stats(&self) -> Stats {
        let cpu = CpuStats { usage_nanos: self.cpu.load(Ordering::Relaxed), ..CpuStats::default() };
        Stats { cpu, processes: 7, ..Stats::default() }
    }

    async fn update(&self, _: &Resources) -> Result<(), UpdateError> {
        Ok(())
    }

    async fn remove(&self) {
        self.kill().await;
        self.removed.send_replace(true);
    }
}

impl FakeContainer {
    /// The guest ends, if it has not yet.
    pub(crate) fn end(&self, cause: ExitCause) {
        self.output.lock().unwrap().take();
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(cause);
            first
        });
    }

    /// The guest has used so many nanoseconds more.
    pub(crate) fn use_cpu(&self, nanos: u64) {
        self.cpu.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What the guest reads in a file.
    pub(crate) fn read(&self, path: &str) -> Result<String, Errno> {
        let file = self.infra.files.open(path, OpenHow { read: true, follow: true, ..OpenHow::default() })?;
        Ok(String::from_utf8(file.read_bytes_at(0, 1 << 16)?.to_vec()).unwrap())
    }

    /// The guest writes a file.
    pub(crate) fn write_file(&self, path: &str, content: &[u8]) -> Result<usize, Errno> {
        let how = OpenHow { read: true, write: true, create: true, follow: true, ..OpenHow::default() };
        self.infra.files.open(path, how)?.write_at(0, content)
    }

    /// The guest writes.
    pub(crate) async fn write(&self, text: &str) {
        let sender = self.output.lock().unwrap().clone().unwrap();
        let time = "2026-01-01T00:00:00Z".parse().unwrap();
        let bytes = text.to_owned().into();
        sender.send(Box::new(Chunk { stream: Stream::Stdout, time, bytes })).await.unwrap();
    }
}

/// A host with its directories.
pub(crate) struct Fixture {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) backend: Arc<FakeBackend>,
    pub(crate) host: Host,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let backend = Arc::new(FakeBackend::default());
        let host = host(&temp, &backend);
        Self { temp, backend, host }
    }

    /// Another host over the same directories, as another process would have.
    pub(crate) fn other_host(&self) -> Host {
        host(&self.temp, &self.backend)
    }

    pub(crate) async fn pod(&self, uid: &str, volumes: Vec<VolumeConfig>) -> mailbox::Receiver<Box<HostEvent>> {
        let (sender, receiver) = mailbox();
        self.host.create_pod(pod(uid, volumes), sender).await.unwrap();
        receiver
    }

    /// Starts a container and returns the fake behind it.
    pub(crate) async fn start(&self, request: ContainerRequest, attach: Attach) -> Arc<FakeContainer> {
        let id = request.id.clone();
        let started = self.host.start_container(request, attach).await.unwrap();
        assert!(started.container_id.starts_with("nacelle://"));
        self.fake(&id)
    }

    pub(crate) fn fake(&self, id: &ContainerId) -> Arc<FakeContainer> {
        Arc::clone(&self.backend.containers.lock().unwrap()[id])
    }

    pub(crate) fn script(&self, script: Script) {
        *self.backend.script.lock().unwrap() = script;
    }

    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.temp.path().join("state/pods").join(uid)
    }

    /// How many containers of a pod have files.
    pub(crate) fn containers(&self, uid: &str) -> usize {
        std::fs::read_dir(self.pod_dir(uid).join("containers")).map_or(0, Iterator::count)
    }
}

fn host(temp: &tempfile::TempDir, backend: &Arc<FakeBackend>) -> Host {
    host_of(temp, Backends { wasm: Arc::clone(backend) as Arc<dyn Backend>, linux: None })
}

/// A host of these backends.
pub(crate) fn host_of(temp: &tempfile::TempDir, backends: Backends) -> Host {
    let config = HostConfig { state_dir: temp.path().join("state"), log: LogConfig::default() };
    let network = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    Host::new(config, backends, network, Budget::unlimited())
}

pub(crate) fn pod(uid: &str, volumes: Vec<VolumeConfig>) -> PodRequest {
    let names = NamesConfig { hostname: "web".into(), ..NamesConfig::default() };
    PodRequest {
        uid: PodUid::new(uid),
        info: PodInfo { name: "web".into(), ..PodInfo::default() },
        network: PodNetworkConfig { names, ..PodNetworkConfig::default() },
        volumes,
        fs_group: None,
        resources: PodResources::default(),
        ephemeral_storage_limit: None,
        linux: LinuxPodOptions::default(),
    }
}

pub(crate) fn id(pod: &str, attempt: u32) -> ContainerId {
    ContainerId { pod: PodUid::new(pod), name: "app".into(), attempt }
}

pub(crate) fn request(id: ContainerId) -> ContainerRequest {
    ContainerRequest {
        id,
        image: ImageSource::Component { path: "/store/app.wasm".into(), digest: "sha256:00".into() },
        argv: vec!["app".into()],
        env: Vec::new(),
        working_dir: String::new(),
        mounts: Vec::new(),
        read_only_root: false,
        resources: Resources::default(),
        termination_log: Some("/dev/termination-log".to_owned()),
        ephemeral_storage_limit: None,
        stdin: StdinMode::Closed,
        http: HttpConfig::default(),
        stop_signal: None,
        log_path: None,
        linux: LinuxOptions::default(),
    }
}
