//! A pod, and containers of busybox in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nacelle_container::output::{self, OutputReceiver, Stream};
use nacelle_container::{
    Backend as _, Container, ContainerConfig, ContainerId, ContainerInfra, Cpu, CreateError, ExecRequest, ExitCause,
    HttpConfig, LinuxFiles, LinuxOptions, LinuxPod, LinuxPodOptions, LinuxProgram, NetworkNamespace, PodUid, Program,
    Resources, Security, StdinMode, UserNamespace,
};
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{MemLimits, NamespaceBuilder, Ownership, Tree};
use nacelle_infra::memory::{ContainerMemory, Part};
use nacelle_infra::network::{KernelNetworks as _, NetworkOwner, NodeNetwork, NodeNetworkConfig, PodNetworkConfig};
use nacelle_linux::net::Networks;
use nacelle_linux::{LinuxBackend, LinuxConfig, MonitorCommand};
use tokio::io::AsyncRead;

/// Commands of busybox that the root filesystem has by name.
const APPLETS: [&str; 31] = [
    "sh", "cat", "echo", "sleep", "true", "false", "id", "ls", "mount", "umount", "unshare", "hostname", "ps", "kill",
    "mkdir", "touch", "stat", "dd", "head", "tail", "grep", "chown", "mknod", "env", "pwd", "stty", "tty", "test",
    "date", "readlink", "wc",
];

/// The beginning of a script that goes on when [`tell`] was executed beside it and is gone, for a container's end is
/// the end of all its processes.
pub(crate) const UNTIL_TOLD: &str = "while ! test -s /tmp/go; do sleep 0.02; done
    while kill -0 $(cat /tmp/go) 2>/dev/null; do sleep 0.02; done";

/// See [`UNTIL_TOLD`].
pub(crate) fn tell() -> ExecRequest {
    ExecRequest::new(["sh", "-c", "echo $$ > /tmp/go"].map(str::to_owned).to_vec())
}

static PODS: AtomicU32 = AtomicU32::new(0);

/// What is missing on this machine, if anything is.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("Linux containers need root".to_owned());
    }
    if !Path::new("/sys/fs/cgroup/memory").exists() && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Some("no control groups are mounted at /sys/fs/cgroup".to_owned());
    }
    if busybox().is_none() {
        return Some("busybox is not installed (busybox-static)".to_owned());
    }
    None
}

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).find(|path| path.is_file())
}

/// A pod of one test.
pub(crate) struct World {
    temp: tempfile::TempDir,
    pub(crate) backend: LinuxBackend,
    pub(crate) pod: PodUid,
    pub(crate) options: LinuxPodOptions,
    pub(crate) network: NetworkNamespace,
    pub(crate) memory: Option<u64>,
    pub(crate) cpu: Cpu,
    infra: ContainerInfra,
    apart: Option<Apart>,
}

/// A network of a pod on a bridge of its own, as a thread sees it that has left the machine's network.
struct Apart {
    thread: Option<std::thread::JoinHandle<()>>,
    done: std::sync::mpsc::Sender<()>,
}

impl Apart {
    /// The network, which is there until this is dropped.
    fn new(dir: &Path, uid: &str) -> (Self, PathBuf) {
        let networks = Networks::new(dir.join("run"), dir.join("state"), vec!["10.87.0.0/16".parse().unwrap()]);
        let (uid, (said, path), (done, wait)) =
            (uid.to_owned(), std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            nacelle_linux::namespaces::own_network().unwrap();
            let network = networks.create(&uid, &[[10, 87, 0, 2].into()], NetworkOwner::PodUsers).unwrap();
            said.send(network.path().to_owned()).unwrap();
            let _ = wait.recv();
            network.remove().unwrap();
        });
        (Self { thread: Some(thread), done }, path.recv().unwrap())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.done.send(());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A container that was created.
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

pub(crate) fn backend(profiles: &Path) -> LinuxBackend {
    let monitor = MonitorCommand { exe: env!("CARGO_BIN_EXE_nacelle-linux-monitor").into(), args: Vec::new() };
    LinuxBackend::new(LinuxConfig { monitor, seccomp_profiles: profiles.to_owned() })
}

impl World {
    /// A pod, or `None` when this machine cannot run one.
    pub(crate) async fn new() -> Option<Self> {
        if let Some(reason) = missing() {
            let required = std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
            assert!(!required, "{reason}, and NACELLE_TEST_REQUIRE_ALL=1 asks for every test to run");
            eprintln!("skipped: {reason}");
            return None;
        }
        let temp = tempfile::tempdir().unwrap();
        let layer = temp.path().join("layer");
        for dir in ["bin", "etc", "tmp", "proc", "dev", "sys", "root", "data"] {
            fs::create_dir_all(layer.join(dir)).unwrap();
        }
        fs::set_permissions(layer.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy(busybox().unwrap(), layer.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", layer.join("bin").join(applet)).unwrap();
        }
        fs::write(layer.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home:/bin/sh\n").unwrap();
        fs::write(layer.join("etc/group"), "root:x:0:\napp:x:1001:\nlogs:x:50:app\n").unwrap();
        fs::create_dir_all(temp.path().join("profiles")).unwrap();
        let number = PODS.fetch_add(1, Ordering::Relaxed);
        let pod = PodUid::new(format!("test-{}-{number}", std::process::id()));
        let infra = infra().await;
        Some(Self {
            backend: backend(&temp.path().join("profiles")),
            temp,
            pod,
            options: LinuxPodOptions { pids_limit: Some(200), ..LinuxPodOptions::default() },
            network: NetworkNamespace::Isolated,
            memory: None,
            cpu: Cpu::default(),
            infra,
            apart: None,
        })
    }

    /// A pod with ids of its own.
    pub(crate) async fn with_users() -> Option<Self> {
        let mut world = Self::new().await?;
        let (apart, path) = Apart::new(world.temp.path(), world.pod.as_str());
        (world.apart, world.network) = (Some(apart), NetworkNamespace::Path(path));
        world.options.users = UserNamespace::Pod;
        Some(world)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// The directory of the pod's monitor.
    pub(crate) fn dir(&self) -> PathBuf {
        let dir = self.path("pod");
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A container that runs this script.
    pub(crate) fn sh(&self, script: &str) -> ContainerConfig {
        self.config(&["/bin/sh", "-c", script])
    }

    /// A container that runs this.
    pub(crate) fn config(&self, argv: &[&str]) -> ContainerConfig {
        static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
        let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let scratch = self.path(&format!("scratch-{attempt}"));
        fs::create_dir_all(&scratch).unwrap();
        let program = LinuxProgram {
            files: LinuxFiles { layers: vec![self.path("layer")], scratch, read_only_root: false, mounts: Vec::new() },
            pod: LinuxPod {
                dir: self.dir(),
                network: self.network.clone(),
                options: self.options.clone(),
                memory: self.memory,
            },
            options: LinuxOptions {
                security: Security { allow_privilege_escalation: true, ..Security::default() },
                ..LinuxOptions::default()
            },
        };
        ContainerConfig {
            stop_signal: None,
            id: ContainerId { pod: self.pod.clone(), name: "app".into(), attempt },
            program: Program::Linux(Box::new(program)),
            argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("PATH".into(), "/bin".into())],
            working_dir: "/".into(),
            resources: Resources::default(),
            pod_cpu: self.cpu,
            stdin: StdinMode::Closed,
            http: HttpConfig::default(),
            hostname: "pod-name".into(),
        }
    }

    /// The configuration with another security context.
    pub(crate) fn secured(&self, script: &str, change: impl FnOnce(&mut Security)) -> ContainerConfig {
        change_program(self.sh(script), |program| change(&mut program.options.security))
    }

    pub(crate) async fn create(&self, config: ContainerConfig) -> Result<Made, CreateError> {
        self.create_with(config, None).await
    }

    pub(crate) async fn create_with(
        &self,
        config: ContainerConfig,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    ) -> Result<Made, CreateError> {
        let (sender, output) = output::channel();
        let container = self.backend.create(config, self.infra.clone(), stdin, sender).await?;
        Ok(Made { container, output })
    }

    /// Starts a container.
    pub(crate) async fn start(&self, config: ContainerConfig) -> Made {
        let made = self.create(config).await.unwrap();
        made.container.start().await.unwrap();
        made
    }

    /// Runs a container to its end.
    pub(crate) async fn run(&self, config: ContainerConfig) -> Ran {
        self.start(config).await.finish().await
    }

    /// What a container cannot be created for.
    pub(crate) async fn refused(&self, config: ContainerConfig) -> CreateError {
        match self.create(config).await {
            Ok(_) => panic!("the container was created"),
            Err(error) => error,
        }
    }

    /// Removes the pod, and makes sure that nothing of it is left.
    pub(crate) async fn remove(mut self) {
        self.backend.remove_pod(&self.pod, &self.dir()).await;
        drop(self.apart.take());
        self.assert_clean();
    }

    /// No control group, no process and no mount of the pod is there.
    pub(crate) fn assert_clean(&self) {
        let name = format!("nacelle/pod{}", self.pod);
        for tree in fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path()) {
            assert!(!tree.join(&name).exists(), "{} is left", tree.join(&name).display());
        }
        assert!(!Path::new("/sys/fs/cgroup").join(&name).exists());
        let here = self.temp.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(here), "{mounts}");
        for process in fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()) {
            let command = fs::read(process.join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            assert!(!command.contains(here), "{} runs: {command}", process.display());
        }
    }
}

/// The configuration with another Linux program.
pub(crate) fn change_program(mut config: ContainerConfig, change: impl FnOnce(&mut LinuxProgram)) -> ContainerConfig {
    let Program::Linux(program) = &mut config.program else { panic!("{:?}", config.program) };
    change(program);
    config
}

impl Made {
    /// Reads all output and waits for the end.
    pub(crate) async fn finish(mut self) -> Ran {
        let (stdout, stderr) = drain(&mut self.output).await;
        let cause = self.container.wait().await;
        self.container.remove().await;
        Ran { cause, stdout, stderr }
    }

    /// The next piece of its output.
    pub(crate) async fn chunk(&mut self) -> String {
        let chunk = self.output.recv().await.expect("the output has not ended");
        String::from_utf8(chunk.bytes.to_vec()).unwrap()
    }

    /// The next line of its output.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            match self.output.recv().await {
                Some(chunk) => line.extend_from_slice(&chunk.bytes),
                None => panic!("the output ended after {:?}", String::from_utf8_lossy(&line)),
            }
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Runs a program in it, to its end.
    pub(crate) async fn exec(&self, argv: &[&str]) -> Ran {
        let (sender, mut receiver) = output::channel();
        let request = ExecRequest::new(argv.iter().map(|arg| (*arg).to_owned()).collect());
        let (cause, (stdout, stderr)) = tokio::join!(self.container.exec(request, sender), drain(&mut receiver));
        Ran { cause: cause.unwrap(), stdout, stderr }
    }
}

pub(crate) async fn drain(output: &mut OutputReceiver) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = output.recv().await {
        match chunk.stream {
            Stream::Stdout => stdout.extend_from_slice(&chunk.bytes),
            Stream::Stderr => stderr.extend_from_slice(&chunk.bytes),
        }
    }
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// What a Linux container does not use.
async fn infra() -> ContainerInfra {
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let pod = node.attach(PodNetworkConfig::default(), Budget::unlimited()).await.unwrap();
    let memory = ContainerMemory::new(Budget::unlimited());
    let limits = MemLimits { bytes: None, inodes: 10 };
    let root = Tree::memory(limits, Ownership::default(), Arc::clone(memory.part(Part::Files)));
    let files = NamespaceBuilder::new(root, false).build().unwrap();
    let info = tokio::sync::watch::Sender::new(Arc::default()).subscribe();
    ContainerInfra { files, network: pod.container("app"), memory, info }
}

/// The exit code, for the many tests that want nothing else.
pub(crate) fn exited(code: u8) -> ExitCause {
    ExitCause::Exited { code }
}
