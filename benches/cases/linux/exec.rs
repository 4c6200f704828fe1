//! A second program in a container that runs, from the call to its end: `true` by nacelle's backend, as a probe has it
//! run, beside `runc exec` and `crun exec`, which are processes of their own. And one more container in a pod that runs,
//! as when one is restarted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nacelle_container::{
    Backend as _, Container, ContainerConfig, ContainerId, ContainerInfra, Cpu, ExecRequest, ExitCause, HttpConfig,
    LinuxFiles, LinuxOptions, LinuxPod, LinuxPodOptions, LinuxProgram, NetworkNamespace, PodUid, Program, Resources,
    StdinMode, output,
};
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{MemLimits, NamespaceBuilder, Ownership, Tree};
use nacelle_infra::memory::{ContainerMemory, Part};
use nacelle_infra::network::{NodeNetwork, NodeNetworkConfig, PodNetworkConfig};
use nacelle_linux::{LinuxBackend, LinuxConfig, MonitorCommand};
use tokio::runtime::Runtime;

use super::{ROUNDS, bundle, is_there, median};

/// What the container does meanwhile.
const WAIT: [&str; 2] = ["sleep", "1000"];

type Once<'a> = Box<dyn Fn() -> Duration + 'a>;

/// Prints a table.
pub(crate) fn compare(dir: &Path, program: &Path) {
    let runtime = Runtime::new().unwrap();
    let pod = runtime.block_on(Pod::start(dir, program));
    let pod = &pod;
    let mut contestants: Vec<(&str, Once<'_>)> = vec![
        ("nacelle", Box::new(|| runtime.block_on(pod.exec())) as Once<'_>),
        ("nacelle, another container", Box::new(|| runtime.block_on(pod.another()))),
    ];
    let others: Vec<&str> = ["runc", "crun"].into_iter().filter(|name| start(dir, name)).collect();
    for &name in &others {
        contestants.push((name, Box::new(move || exec(name))));
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); contestants.len()];
    for round in 0..=ROUNDS {
        for ((_, once), times) in contestants.iter().zip(&mut times) {
            let took = once();
            // The first one fills caches.
            if round > 0 {
                times.push(took);
            }
        }
    }
    println!("\n{:<30} {:>14} {:>14}", "exec, median of 30", "to its end", "fastest");
    for ((name, _), times) in contestants.iter().zip(&times) {
        println!("{name:<30} {:>14.1?} {:>14.1?}", median(times.iter().copied()), times.iter().min().unwrap());
    }
    drop(contestants);
    for name in others {
        Command::new(name).args(["delete", "--force", "nacelle-bench-exec"]).output().unwrap();
    }
    runtime.block_on(pod.remove());
}

/// A container that waits, of an OCI runtime.
fn start(dir: &Path, runtime: &str) -> bool {
    if !is_there(runtime) {
        return false;
    }
    let bundle = bundle(dir, runtime, &format!("{runtime}-exec"), &WAIT).unwrap();
    let mut run = Command::new(runtime);
    run.args(["run", "--detach", "--bundle"]).arg(bundle).arg("nacelle-bench-exec");
    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

fn exec(runtime: &str) -> Duration {
    let began = Instant::now();
    let output = Command::new(runtime).args(["exec", "nacelle-bench-exec", "true"]).output().unwrap();
    assert!(output.status.success(), "{runtime}: {}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}

/// A pod of nacelle's with one container that waits.
struct Pod {
    backend: LinuxBackend,
    uid: PodUid,
    dir: PathBuf,
    bench: PathBuf,
    container: Option<Arc<dyn Container>>,
}

impl Pod {
    async fn start(bench: &Path, program: &Path) -> Self {
        let monitor = MonitorCommand { exe: program.with_file_name("nacelle-monitor"), args: Vec::new() };
        let backend = LinuxBackend::new(LinuxConfig { monitor, seccomp_profiles: bench.join("seccomp") });
        let (uid, dir) = (PodUid::new(format!("bench-{}", std::process::id())), bench.join("exec-pod"));
        fs::create_dir(&dir).unwrap();
        let mut pod = Self { backend, uid, dir, bench: bench.to_owned(), container: None };
        pod.container = Some(pod.run("app", &WAIT).await);
        pod
    }

    async fn run(&self, name: &str, argv: &[&str]) -> Arc<dyn Container> {
        let scratch = self.bench.join(format!("exec-scratch-{name}"));
        fs::create_dir(&scratch).unwrap();
        let layers = vec![self.bench.join("rootfs")];
        let program = LinuxProgram {
            files: LinuxFiles { layers, scratch, read_only_root: false, mounts: Vec::new() },
            pod: LinuxPod {
                dir: self.dir.clone(),
                network: NetworkNamespace::Isolated,
                options: LinuxPodOptions::default(),
                memory: None,
            },
            options: LinuxOptions::default(),
        };
        let config = ContainerConfig {
            stop_signal: None,
            id: ContainerId { pod: self.uid.clone(), name: name.into(), attempt: 0 },
            program: Program::Linux(Box::new(program)),
            argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("PATH".into(), "/bin".into())],
            working_dir: "/".into(),
            resources: Resources::default(),
            pod_cpu: Cpu::default(),
            stdin: StdinMode::Closed,
            http: HttpConfig::default(),
            hostname: "bench".into(),
        };
        let container = self.backend.create(config, infra().await, None, output::channel().0).await.unwrap();
        container.start().await.unwrap();
        container
    }

    async fn another(&self) -> Duration {
        let began = Instant::now();
        let container = self.run("another", &["true"]).await;
        assert_eq!(container.wait().await, ExitCause::Exited { code: 0 });
        let took = began.elapsed();
        container.remove().await;
        fs::remove_dir_all(self.bench.join("exec-scratch-another")).unwrap();
        took
    }

    async fn exec(&self) -> Duration {
        let began = Instant::now();
        let request = ExecRequest { argv: vec!["true".to_owned()], stdin: None, terminal: None };
        let cause = self.container.as_ref().unwrap().exec(request, output::channel().0).await.unwrap();
        assert_eq!(cause, ExitCause::Exited { code: 0 });
        began.elapsed()
    }

    async fn remove(&self) {
        self.container.as_ref().unwrap().remove().await;
        self.backend.remove_pod(&self.uid, &self.dir).await;
    }
}

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
