//! A whole pod, as runtimes of the CRI make one with runc or crun: a network namespace, CNI's bridge plugin, a container
//! that does nothing (pause), and one that joins its namespaces. Without what such a runtime itself adds.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::mount::UnmountFlags;
use serde_json::{Value, json};

use super::{Took, bundle, run, succeeded};

/// Debian's place for CNI's plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// What a pod is made of by one of the runtimes.
pub(crate) struct Pod {
    runtime: &'static str,
    pause: PathBuf,
    app: PathBuf,
    /// The file that the network namespace is mounted on.
    network: PathBuf,
    configuration: String,
}

impl Pod {
    pub(crate) fn new(dir: &Path, runtime: &'static str) -> Result<Self, String> {
        if !Path::new(PLUGINS).join("bridge").exists() {
            return Err("CNI's plugins are not installed".to_owned());
        }
        let pause = bundle(dir, runtime, &format!("{runtime}-pause"), &["sleep", "1000"])?;
        let app = bundle(dir, runtime, &format!("{runtime}-app"), &["echo", "ready"])?;
        let network = dir.join(format!("{runtime}-network"));
        let data = dir.join(format!("{runtime}-ipam"));
        let range = json!([[{"subnet": "10.89.0.0/16"}]]);
        let ipam = json!({"type": "host-local", "dataDir": data, "ranges": range, "routes": [{"dst": "0.0.0.0/0"}]});
        let configuration = json!({"cniVersion": "0.4.0", "name": "bench", "type": "bridge", "bridge": "cni0",
            "isGateway": true, "ipam": ipam});
        File::create(&network).map_err(|error| error.to_string())?;
        Ok(Self { runtime, pause, app, network, configuration: configuration.to_string() })
    }

    pub(crate) fn once(&self) -> Result<Took, String> {
        let began = Instant::now();
        self.make_namespace()?;
        self.plugin("ADD")?;
        let pid_file = self.pause.join("pid");
        let network = json!({"type": "network", "path": self.network});
        join(&self.pause, std::slice::from_ref(&network));
        let mut pause = Command::new(self.runtime);
        pause.args(["run", "--detach", "--pid-file"]).arg(&pid_file).arg("--bundle").arg(&self.pause);
        // Its streams are its own: whoever waits for their end would wait for the container's.
        let pause = pause.arg("nacelle-bench-pause").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !pause.status().unwrap().success() {
            return Err("the pause container did not start".to_owned());
        }
        let pid = fs::read_to_string(pid_file).unwrap();
        let of_pause = |kind: &str| json!({"type": kind, "path": format!("/proc/{pid}/ns/{kind}")});
        join(&self.app, &[network, of_pause("ipc"), of_pause("uts")]);
        let mut app = Command::new(self.runtime);
        app.args(["run", "--bundle"]).arg(&self.app).arg("nacelle-bench-app");
        let (first_output, ran) = run(app, began);
        let mut delete = Command::new(self.runtime);
        succeeded(delete.args(["delete", "--force", "nacelle-bench-pause"]))?;
        self.plugin("DEL")?;
        rustix::mount::unmount(&self.network, UnmountFlags::DETACH).unwrap();
        ran.map(|()| Took { first_output, all: began.elapsed() })
    }

    /// On a thread, as they do: it ends, and the mount keeps the namespace.
    fn make_namespace(&self) -> Result<(), String> {
        let made = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nacelle_linux::namespaces::own_network()?;
                rustix::mount::mount_bind("/proc/thread-self/ns/net", &self.network)
            });
            thread.join().unwrap()
        });
        made.map_err(|error| format!("a network namespace: {error}"))
    }

    fn plugin(&self, command: &str) -> Result<(), String> {
        let mut plugin = Command::new(Path::new(PLUGINS).join("bridge"));
        plugin.env("CNI_COMMAND", command).env("CNI_CONTAINERID", "nacelle-bench").env("CNI_IFNAME", "eth0");
        plugin.env("CNI_NETNS", &self.network).env("CNI_PATH", PLUGINS);
        let mut plugin = plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        plugin.stdin.take().unwrap().write_all(self.configuration.as_bytes()).unwrap();
        let output = plugin.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() { Ok(()) } else { Err(format!("CNI's bridge plugin: {said}")) }
    }
}

/// Has a container be in namespaces that are there.
fn join(bundle: &Path, namespaces: &[Value]) {
    let path = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let all = spec["linux"]["namespaces"].as_array_mut().unwrap();
    all.retain(|own| namespaces.iter().all(|joined| joined["type"] != own["type"]));
    all.extend_from_slice(namespaces);
    fs::write(&path, spec.to_string()).unwrap();
}
