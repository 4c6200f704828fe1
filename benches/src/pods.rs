//! nacelle as a library: pods from YAML on a node of their own.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use nacelle_node::{Compiler, Node, NodeConfig, PodHandle, PodStart};
use nacelle_spec::{Source, load};
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
        let dir = tempfile::tempdir()?;
        let node = Node::open(NodeConfig {
            state_dir: dir.path().join("state"),
            compile_cache: None,
            node_name: "bench".to_owned(),
            compiler: Compiler::InProcess,
            insecure_registries: Vec::new(),
            pod_cidrs: Vec::new(),
        })?;
        Ok(Self { node, dir })
    }

    /// Starts the pods of a manifest.
    ///
    /// # Errors
    /// When the manifest is not valid.
    pub fn start(&self, manifest: &str) -> Result<Vec<PodHandle>> {
        let loaded = load(&[Source { name: "bench.yaml".to_owned(), bytes: manifest.as_bytes().to_vec() }]);
        if loaded.has_errors() {
            bail!("{:?}", loaded.diagnostics);
        }
        let objects = Arc::new(loaded.objects);
        let base_dir = PathBuf::from(self.dir.path());
        // Nobody listens: notices are dropped.
        let (notices, _) = mpsc::channel(1);
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

/// Stops pods at once and waits until nothing of them is left.
pub async fn stop(pods: Vec<PodHandle>) {
    for pod in &pods {
        pod.delete(Some(std::time::Duration::ZERO));
    }
    for pod in pods {
        pod.finished().await;
    }
}
