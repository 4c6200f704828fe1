//! What a node is told at its start.

use std::path::PathBuf;

pub use nacelle_host::Compiler;

/// A node's settings.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Everything that must survive the process: images, compiled code, pods' directories.
    pub state_dir: PathBuf,
    /// A memory-backed directory for secrets and memory volumes; one is looked for when this is `None`.
    pub runtime_dir: Option<PathBuf>,
    /// Where compiled guests are kept; below `state_dir` when this is `None`.
    pub compile_cache: Option<PathBuf>,
    /// The name that `spec.nodeName` shows.
    pub node_name: String,
    /// How guests are compiled.
    pub compiler: Compiler,
    /// Registries spoken to over plain http, besides those on loopback: `host` or `host:port`.
    pub insecure_registries: Vec<String>,
}
