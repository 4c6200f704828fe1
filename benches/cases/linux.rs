//! A Linux container from its command line to its first output, and to its end with everything removed: a whole pod of
//! `nacelle run`, with a network of its own and with the host's, beside `runc run` and `crun run`, which make a
//! container of a directory and nothing around it, beside a whole pod made with these two, and beside podman. A pod
//! with a WebAssembly component, compiled before, is among them. The pods made with runc and crun are without the time of
//! the runtime that has them made, which runs already: so is one in a node that runs. Then a second program in a container
//! that runs.
//!
//! Needs root, busybox, umoci and the baselines; what is missing is said and left out. Prints a table: what is timed are
//! processes, but for that one, and they take turns, so that whatever else the machine does is everybody's.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot run has failed")]

#[path = "linux/cri.rs"]
mod cri;
#[path = "linux/exec.rs"]
mod exec;

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nacelle_benches::{World, guest, stop};
use nacelle_node::PodHandle;
use nacelle_tests::{LinuxImage, busybox_root, succeed};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const ROUNDS: usize = 30;
/// Set in the surroundings that all of them have.
const INSIDE: &str = "NACELLE_BENCH_INSIDE";

/// What takes part.
struct Contestant {
    name: &'static str,
    once: Once,
    took: Vec<Took>,
}

/// Runs a container that says `ready` and ends, and removes what stays: its time, or why it did not run.
type Once = Box<dyn Fn() -> Result<Took, String>>;

#[derive(Clone, Copy)]
struct Took {
    first_output: Duration,
    all: Duration,
}

fn main() {
    // `cargo bench` says --bench; without it this is a test run, which measures nothing.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: Linux containers need root");
        return;
    }
    if let Some(missing) = ["busybox", "umoci", "unshare"].into_iter().find(|tool| !is_there(tool)) {
        println!("skipped: {missing} is not installed");
        return;
    }
    if std::env::var_os(INSIDE).is_none() {
        // crun refuses a machine that has both versions of control groups mounted: all go without the one that none uses.
        // podman and CNI's plugins leave their bridges behind: a network of the benchmark's own.
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; ip link set lo up
            mkdir -p /run/nacelle && mount -t tmpfs tmpfs /run/nacelle && exec \"$0\" --bench";
        let own = std::env::current_exe().unwrap();
        let unshare = ["--mount", "--net", "sh", "-c", script];
        let error = Command::new("unshare").args(unshare).arg(own).env(INSIDE, "1").exec();
        println!("skipped: {error}");
        return;
    }
    let dir = tempfile::Builder::new().prefix("nacelle-bench-").tempdir().unwrap();
    let dir = dir.path();
    busybox_root(&dir.join("rootfs")).unwrap();
    let command = ["--config.cmd=echo", "--config.cmd=ready"];
    LinuxImage::make(&dir.join("image"), &dir.join("rootfs"), &command).unwrap();

    let mut contestants = Vec::new();
    for (name, made) in [
        ("a pod in a node of nacelle's", nacelle_node(dir)),
        ("nacelle run", nacelle(dir, "")),
        ("nacelle run, hostNetwork", nacelle(dir, "  hostNetwork: true\n")),
        ("nacelle run, WebAssembly", nacelle_wasm(dir)),
        ("runc run", oci_runtime(dir, "runc")),
        ("crun run", oci_runtime(dir, "crun")),
        ("a pod with runc, as by CRI", cri::Pod::new(dir, "runc").map(|pod| Box::new(move || pod.once()) as Once)),
        ("a pod with crun, as by CRI", cri::Pod::new(dir, "crun").map(|pod| Box::new(move || pod.once()) as Once)),
        ("podman run", podman(dir)),
        ("podman kube play, kube down", podman_pod(dir)),
    ] {
        // Once without a clock: caches are filled, and it is seen whether it works here.
        let tried = made.and_then(|once| once().map(|_| Contestant { name, once, took: Vec::new() }));
        match tried {
            Ok(contestant) => contestants.push(contestant),
            Err(why) => println!("without {name}: {why}"),
        }
    }
    for _ in 0..ROUNDS {
        for contestant in &mut contestants {
            let took = (contestant.once)().unwrap();
            contestant.took.push(took);
        }
    }
    if is_there("podman") {
        let _ = Command::new("podman").args(["rmi", "--force", PODMAN_IMAGE]).output();
    }
    println!("{:<30} {:>14} {:>22} {:>10}", "median of 30", "first output", "ended and removed", "fastest");
    for Contestant { name, took, .. } in &contestants {
        let first = median(took.iter().map(|took| took.first_output));
        let (all, least) = (median(took.iter().map(|took| took.all)), took.iter().map(|took| took.all).min().unwrap());
        println!("{name:<30} {first:>14.1?} {all:>22.1?} {least:>10.1?}");
    }
    if program().is_file() {
        exec::compare(dir, &program());
    }
}

fn is_there(tool: &str) -> bool {
    succeed("sh", &["-c", &format!("command -v {tool}")]).is_ok()
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Runs a command to its end. When it wrote first, since `began`, and why it failed if it did.
fn run(mut command: Command, began: Instant) -> (Duration, Result<(), String>) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut text = vec![0];
    let _ = output.read(&mut text).unwrap();
    let first_output = began.elapsed();
    output.read_to_end(&mut text).unwrap();
    let ended = child.wait_with_output().unwrap();
    let last_words = || String::from_utf8_lossy(&ended.stderr).lines().last().unwrap_or("it failed").to_owned();
    (first_output, if ended.status.success() { Ok(()) } else { Err(last_words()) })
}

fn succeeded(command: &mut Command) -> Result<(), String> {
    let output = command.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// What one command does.
fn by(command: impl Fn() -> Command + 'static) -> Once {
    Box::new(move || {
        let began = Instant::now();
        let (first_output, ran) = run(command(), began);
        ran.map(|()| Took { first_output, all: began.elapsed() })
    })
}

type Made = Result<Once, String>;

/// target/release/deps/linux-… → target/release/nacelle
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("nacelle")
}

fn nacelle(dir: &Path, network: &str) -> Made {
    nacelle_pod(dir, &format!("linux-{}", network.len()), network, "image: 'oci:image:1'")
}

fn nacelle_wasm(dir: &Path) -> Made {
    nacelle_pod(dir, "wasm", "", &format!("image: 'file:{}', args: [ready]", guest("hello").display()))
}

/// A pod in a node that runs and has another one, as an agent's: the bridge is there, as CNI's is.
fn nacelle_node(dir: &Path) -> Made {
    let monitor = program().with_file_name("nacelle-monitor");
    if !monitor.is_file() {
        return Err(format!("{} is missing: cargo build --release -p nacelle-cli", monitor.display()));
    }
    let manifest = |name: &str, command: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
             - {{name: c, image: 'oci:{}:1', command: {command}}}\n",
            dir.join("image").display()
        )
    };
    let runtime = Runtime::new().unwrap();
    let world = World::with_linux(monitor).map_err(|error| error.to_string())?;
    let other = manifest("other", "[sh, -c, 'echo ready; exec sleep 1000']");
    let other = runtime.block_on(world.start_and_hear(&other)).map_err(|error| error.to_string())?;
    let node = Standing { runtime, world, other };
    let pod = manifest("bench", "[echo, ready]");
    Ok(Box::new(move || node.once(&pod)))
}

/// A node with a pod in it.
struct Standing {
    runtime: Runtime,
    world: World,
    other: PodHandle,
}

impl Standing {
    fn once(&self, manifest: &str) -> Result<Took, String> {
        let began = Instant::now();
        self.runtime.block_on(async {
            let pod = self.world.start_and_hear(manifest).await.map_err(|error| error.to_string())?;
            let first_output = began.elapsed();
            pod.finished().await;
            Ok(Took { first_output, all: began.elapsed() })
        })
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.runtime.block_on(stop(vec![self.other.clone()]));
    }
}

fn nacelle_pod(dir: &Path, name: &str, network: &str, container: &str) -> Made {
    let program = program();
    if !program.is_file() {
        return Err(format!("{} is missing: cargo build --release -p nacelle-cli", program.display()));
    }
    let manifest = dir.join(format!("{name}.yaml"));
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: bench}}\nspec:\n  restartPolicy: Never\n{network}  containers:\n  \
         - {{name: c, {container}}}\n"
    );
    std::fs::write(&manifest, text).unwrap();
    let state = dir.join("state");
    Ok(by(move || {
        let mut command = Command::new(&program);
        command.args(["run", "-f"]).arg(&manifest).arg("--state-dir").arg(&state);
        command
    }))
}

fn oci_runtime(dir: &Path, runtime: &'static str) -> Made {
    let bundle = bundle(dir, runtime, runtime, &["echo", "ready"])?;
    Ok(by(move || {
        let mut command = Command::new(runtime);
        command.arg("run").arg("--bundle").arg(&bundle).arg("nacelle-bench");
        command
    }))
}

/// A bundle as the runtime itself would begin one.
fn bundle(dir: &Path, runtime: &str, name: &str, args: &[&str]) -> Result<PathBuf, String> {
    if !is_there(runtime) {
        return Err(format!("{runtime} is not installed"));
    }
    let bundle = dir.join(name);
    std::fs::create_dir(&bundle).unwrap();
    let written = Command::new(runtime).arg("spec").current_dir(&bundle).output().unwrap();
    if !written.status.success() {
        return Err(String::from_utf8_lossy(&written.stderr).into_owned());
    }
    let path = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    spec["root"]["path"] = json!(dir.join("rootfs"));
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(args);
    std::fs::write(&path, spec.to_string()).unwrap();
    Ok(bundle)
}

const PODMAN_IMAGE: &str = "localhost/nacelle-bench:latest";

/// podman with the image, and with limits of files that need no privilege to set.
fn podman_ready(dir: &Path) -> Result<PathBuf, String> {
    if !is_there("podman") {
        return Err("podman is not installed".to_owned());
    }
    let config = dir.join("containers.conf");
    let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n";
    std::fs::write(&config, limits).unwrap();
    let from = format!("oci:{}:1", dir.join("image").display());
    let archive = dir.join("image.tar");
    let _ = std::fs::remove_file(&archive);
    let to = format!("docker-archive:{}:{}", archive.display(), PODMAN_IMAGE);
    succeed("skopeo", &["copy", "--insecure-policy", &from, &to]).map_err(|error| error.to_string())?;
    succeed("podman", &["load", "--input", &archive.display().to_string()]).map_err(|error| error.to_string())?;
    Ok(config)
}

fn podman(dir: &Path) -> Made {
    let config = podman_ready(dir)?;
    Ok(by(move || {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", &config).args(["run", "--rm", PODMAN_IMAGE]);
        command
    }))
}

fn podman_pod(dir: &Path) -> Made {
    let config = podman_ready(dir)?;
    let manifest = dir.join("podman.yaml");
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: nacelle-bench}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: c, image: '{PODMAN_IMAGE}'}}\n"
    );
    std::fs::write(&manifest, text).unwrap();
    let podman = move |verb: &str| {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", &config).args(["kube", verb]).arg(&manifest);
        command
    };
    Ok(Box::new(move || {
        let began = Instant::now();
        let (first_output, ran) = run(podman("play"), began);
        podman("down").output().unwrap();
        ran.map(|()| Took { first_output, all: began.elapsed() })
    }))
}
