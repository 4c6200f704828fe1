//! nacelle as a library: pods from YAML on a node of their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use nacelle_host::Backends;
use nacelle_node::{HeldAgainst, MonitorCommand, Node, NodeConfig, Notice, PodHandle, PodStart, ResourceConfig};
use nacelle_spec::{Source, load};
use nacelle_wasm::{WasmBackend, WasmConfig};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A node whose state goes when it is dropped.
pub struct World {
    node: Arc<Node>,
    dir: tempfile::TempDir,
}

impl World {
    /// A fresh node; nothing is compiled yet.
    ///
    /// # Errors
    /// When the node cannot be opened.
    pub fn new() -> Result<Self> {
        Self::with_threads(0)
    }

    /// As [`World::new`], with so many threads for guests; 0 means one per CPU.
    ///
    /// # Errors
    /// When the node cannot be opened.
    pub fn with_threads(worker_threads: usize) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let wasm = WasmBackend::new(WasmConfig { worker_threads, ..WasmConfig::new(dir.path().join("compiled")) })?;
        let node = Node::with_backends(config(dir.path()), Backends { wasm: Arc::new(wasm), linux: None })?;
        Ok(Self { node, dir })
    }

    /// A fresh node as `nacelle run` opens one, for Linux containers too; `monitor` runs beside each pod of these.
    ///
    /// # Errors
    /// When the node cannot be opened.
    pub fn with_linux(monitor: PathBuf) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let monitor = Some(MonitorCommand { exe: monitor, args: Vec::new() });
        let node = Node::open(NodeConfig { monitor, ..config(dir.path()) })?;
        Ok(Self { node, dir })
    }

    /// Answers for the node's figures on `listener`, until the future is dropped.
    pub fn figures(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + 'static {
        nacelle_node::stats::serve(Arc::clone(&self.node), listener)
    }

    /// Starts the pods of a manifest.
    ///
    /// # Errors
    /// When the manifest is not valid.
    pub fn start(&self, manifest: &str) -> Result<Vec<PodHandle>> {
        // Nobody listens: notices are dropped.
        self.start_with(manifest, mpsc::channel(1).0)
    }

    fn start_with(&self, manifest: &str, notices: mpsc::Sender<Notice>) -> Result<Vec<PodHandle>> {
        let loaded = load(&[Source { name: "bench.yaml".to_owned(), bytes: manifest.as_bytes().to_vec() }]);
        if loaded.has_errors() {
            bail!("{:?}", loaded.diagnostics);
        }
        let objects = Arc::new(loaded.objects);
        let base_dir = PathBuf::from(self.dir.path());
        let start =
            |pod| PodStart { pod, objects: Arc::clone(&objects), base_dir: base_dir.clone(), publish: Vec::new() };
        Ok(loaded.pods.into_iter().map(|loaded| self.node.start_pod(start(loaded.pod), notices.clone())).collect())
    }

    /// Starts the pods and waits until nothing of them is left.
    ///
    /// # Errors
    /// When the manifest is not valid or a pod does not succeed.
    pub async fn run(&self, manifest: &str) -> Result<()> {
        for pod in self.start(manifest)? {
            let status = pod.finished().await;
            if status.phase.as_deref() != Some("Succeeded") {
                bail!("{status:?}");
            }
        }
        Ok(())
    }

    /// Runs the pods to their end and returns what a container printed.
    ///
    /// # Errors
    /// When the manifest is not valid or a pod does not succeed.
    pub async fn output(&self, manifest: &str, container: &str) -> Result<String> {
        let (sender, mut notices) = mpsc::channel(64);
        let pods = self.start_with(manifest, sender)?;
        let (mut output, mut all) = (String::new(), String::new());
        while let Some(notice) = notices.recv().await {
            let Notice::Log { container: from, line, .. } = notice else { continue };
            let text = String::from_utf8_lossy(&line.bytes);
            all.push_str(&format!("{from}: {text}\n"));
            if from == container {
                output.push_str(&text);
            }
        }
        for pod in pods {
            let status = pod.finished().await;
            if status.phase.as_deref() != Some("Succeeded") {
                bail!("{all}{status:?}");
            }
        }
        Ok(output)
    }

    /// Runs the pods to their end and returns what each printed, by name.
    ///
    /// # Errors
    /// When the manifest is not valid or a pod does not succeed.
    pub async fn outputs(&self, manifest: &str) -> Result<HashMap<String, String>> {
        let (sender, mut notices) = mpsc::channel(64);
        let pods = self.start_with(manifest, sender)?;
        let mut outputs = HashMap::<_, String>::new();
        while let Some(notice) = notices.recv().await {
            let Notice::Log { pod, line, .. } = notice else { continue };
            let output = outputs.entry(pod.name).or_default();
            output.push_str(&String::from_utf8_lossy(&line.bytes));
            output.push('\n');
        }
        for pod in pods {
            let status = pod.finished().await;
            if status.phase.as_deref() != Some("Succeeded") {
                bail!("{outputs:?}{status:?}");
            }
        }
        Ok(outputs)
    }

    /// Starts the one pod of a manifest and waits until it has printed something.
    ///
    /// # Errors
    /// When the manifest is not valid, or the pod ends before.
    pub async fn start_and_hear(&self, manifest: &str) -> Result<PodHandle> {
        let (sender, mut notices) = mpsc::channel(64);
        let pod = self.start_with(manifest, sender)?.pop().context("no pod in the manifest")?;
        loop {
            match notices.recv().await {
                Some(Notice::Log { .. }) => break,
                Some(_) => {}
                None => bail!("it ended without a word: {:?}", pod.finished().await),
            }
        }
        // The rest is read and dropped, so that nobody waits for it.
        tokio::spawn(async move { while notices.recv().await.is_some() {} });
        Ok(pod)
    }

    /// Starts the pods and waits until all their containers run.
    ///
    /// # Errors
    /// When the manifest is not valid or a pod ends.
    pub async fn start_and_wait(&self, manifest: &str) -> Result<Vec<PodHandle>> {
        let pods = self.start(manifest)?;
        for pod in &pods {
            let mut status = pod.watch();
            status.wait_for(|status| status.phase.as_deref() == Some("Running")).await?;
        }
        Ok(pods)
    }
}

fn config(dir: &Path) -> NodeConfig {
    // What a case asks for is a weight, whatever the machine has.
    let resources = ResourceConfig { requests: HeldAgainst::Settings, ..ResourceConfig::default() };
    NodeConfig { resources, ..NodeConfig::new(dir.join("state"), "bench") }
}

/// Stops pods at once and waits until nothing of them is left.
pub async fn stop(pods: Vec<PodHandle>) {
    for pod in &pods {
        pod.delete(Some(std::time::Duration::ZERO));
    }
    for pod in pods {
        pod.finished().await;
    }
}
