//! A backend in a temporary directory, and guests for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nacelle_container::output::{self, OutputReceiver, Stream};
use nacelle_container::{
    Backend, Container, ContainerConfig, ContainerId, ContainerInfra, Cpu, CreateError, ExitCause, HttpConfig, PodInfo,
    PodUid, Program, Resources, StdinMode,
};
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{MemLimits, NamespaceBuilder, Ownership, Tree};
use nacelle_infra::memory::{ContainerMemory, Part};
use nacelle_infra::network::{
    ContainerNetwork, NetworkMode, NodeNetwork, NodeNetworkConfig, PodNetwork, PodNetworkConfig,
};
use nacelle_wasm::{Pooling, WasmBackend, WasmConfig};
use sha2::{Digest, Sha256};
use tokio::io::AsyncRead;
use tokio::sync::watch;

/// A backend and the directory that it and its guests live in.
pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) backend: WasmBackend,
}

/// A container that was created, and the end of its output.
pub(crate) struct Made {
    pub(crate) container: Arc<dyn Container>,
    pub(crate) output: OutputReceiver,
}

/// A container that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) cause: ExitCause,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How long guests are given to stop, where it does not matter.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

pub(crate) type Stdin = Option<Box<dyn AsyncRead + Send + Unpin>>;

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut WasmConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = WasmConfig::new(dir.path().join("cache"));
        config.worker_threads = 2;
        config.pooling = Pooling::Pooled { instances: 16 };
        change(&mut config);
        Self { backend: WasmBackend::new(config).unwrap(), dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A container that runs `text`.
    pub(crate) fn config(&self, text: &str) -> ContainerConfig {
        self.config_of(&wat::parse_str(text).unwrap())
    }

    pub(crate) fn config_of(&self, program: &[u8]) -> ContainerConfig {
        let digest: String = Sha256::digest(program).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.path(&format!("{digest}.wasm"));
        std::fs::write(&path, program).unwrap();
        config(&path, &digest)
    }

    /// A container with an empty file system and no network.
    pub(crate) async fn create(&self, config: ContainerConfig, stdin: Stdin) -> Result<Made, CreateError> {
        self.create_in(infra(ContainerNetwork::none()), config, stdin).await
    }

    pub(crate) async fn create_in(
        &self,
        infra: ContainerInfra,
        config: ContainerConfig,
        stdin: Stdin,
    ) -> Result<Made, CreateError> {
        let (sender, output) = output::channel();
        let container = self.backend.create(config, infra, stdin, sender).await?;
        Ok(Made { container, output })
    }

    /// Runs a container to its end.
    pub(crate) async fn run(&self, config: ContainerConfig) -> Ran {
        let made = self.create(config, None).await.unwrap();
        made.container.start().await.unwrap();
        made.finish().await
    }

    /// Runs `text` to its end.
    pub(crate) async fn run_text(&self, text: &str) -> Ran {
        self.run(self.config(text)).await
    }

    /// What creating a container of `program` fails with.
    pub(crate) async fn error(&self, config: ContainerConfig) -> CreateError {
        match self.create(config, None).await {
            Ok(_) => panic!("the container was created"),
            Err(error) => error,
        }
    }
}

impl Made {
    /// Reads all output and waits for the end.
    pub(crate) async fn finish(mut self) -> Ran {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(chunk) = self.output.recv().await {
            assert!(chunk.bytes.len() <= output::MAX_CHUNK);
            match chunk.stream {
                Stream::Stdout => stdout.extend_from_slice(&chunk.bytes),
                Stream::Stderr => stderr.extend_from_slice(&chunk.bytes),
            }
        }
        let cause = self.container.wait().await;
        self.container.remove().await;
        Ran { cause, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
    }
}

/// The path of a built sample: `guest("lookup")` is `target/guests/lookup.wasm`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests");
    let path = guests.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run guest-samples/build.sh first", path.display());
    path
}

/// An empty file system, this network, and as much memory as it takes.
pub(crate) fn infra(network: Arc<ContainerNetwork>) -> ContainerInfra {
    infra_of(network, &Budget::unlimited())
}

/// The same, as a part of this pod's memory.
pub(crate) fn infra_of(network: Arc<ContainerNetwork>, pod: &Arc<Budget>) -> ContainerInfra {
    let memory = ContainerMemory::new(Arc::clone(pod));
    let limits = MemLimits { bytes: None, inodes: 1000 };
    let root = Tree::memory(limits, Ownership::default(), Arc::clone(memory.part(Part::Files)));
    let files = NamespaceBuilder::new(root, false).build().unwrap();
    ContainerInfra { files, network, memory, info: pod_info() }
}

/// A pod that says nothing of itself but its name.
pub(crate) fn pod_info() -> watch::Receiver<Arc<PodInfo>> {
    watch::Sender::new(Arc::new(PodInfo { name: "web".into(), ..PodInfo::default() })).subscribe()
}

/// The network of a pod by itself.
pub(crate) async fn pod(mode: NetworkMode) -> Arc<PodNetwork> {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let config = PodNetworkConfig { uid: "pod".into(), mode, ..PodNetworkConfig::default() };
    node.attach(config, Budget::unlimited()).await.unwrap()
}

fn config(path: &Path, digest: &str) -> ContainerConfig {
    ContainerConfig {
        id: ContainerId { pod: PodUid::new("pod"), name: "guest".into(), attempt: 0 },
        program: Program::Wasm { path: path.into(), digest: format!("sha256:{digest}") },
        argv: vec!["guest".into()],
        env: Vec::new(),
        working_dir: "/".into(),
        resources: Resources::default(),
        pod_cpu: Cpu::default(),
        stdin: StdinMode::Closed,
        http: HttpConfig::default(),
        hostname: "pod-host".into(),
        stop_signal: None,
    }
}

/// A preview 1 module with this body of `_start`, `fd_write` and the like imported, and one page of memory.
pub(crate) fn preview1(start: &str) -> String {
    preview1_with(start, "")
}

/// As [`preview1`], with more fields of the module.
pub(crate) fn preview1_with(start: &str, fields: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
            (memory (export "memory") 2)
            {fields}
            ;; Writes the bytes from $at, $length of them, to the descriptor.
            (func $put (param $fd i32) (param $at i32) (param $length i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $length))
                (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func (export "_start") {start}))"#
    )
}

/// A component whose `wasi:cli/run` of this version is a core function with this body, which gives 0 for ok.
pub(crate) fn component(version: &str, body: &str) -> String {
    format!(
        r#"(component
            (import "wasi:cli/exit@{version}" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
            (core func $exit_with_code (canon lower (func $exit "exit-with-code")))
            (core module $module
                (import "host" "exit" (func $exit (param i32)))
                (func (export "run") (result i32) {body}))
            (core instance $instance (instantiate $module
                (with "host" (instance (export "exit" (func $exit_with_code))))))
            (func $run (result (result)) (canon lift (core func $instance "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@{version}" (instance $exported)))"#
    )
}
