//! What a node is told at its start.

use std::path::PathBuf;

use ipnet::IpNet;
pub use nacelle_linux::MonitorCommand;
pub use nacelle_wasm::{AddressSpace, Compiler, Pooling};

use crate::capacity::ResourceConfig;

/// A node's settings.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Everything that must survive the process: images, compiled code, pods' directories.
    pub state_dir: PathBuf,
    /// Where compiled guests are kept; below `state_dir` when this is `None`.
    pub compile_cache: Option<PathBuf>,
    /// The name that `spec.nodeName` shows.
    pub node_name: String,
    /// How guests are compiled.
    pub compiler: Compiler,
    /// What is run beside a pod of Linux containers; `None` for a node that runs WebAssembly only.
    pub monitor: Option<MonitorCommand>,
    /// How much address space the engine may take.
    pub address_space: AddressSpace,
    /// How WebAssembly instances get their memory where there is ample address space.
    pub pooling: Pooling,
    /// Registries spoken to over plain http, besides those on loopback: `host` or `host:port`.
    pub insecure_registries: Vec<String>,
    /// Where pods' addresses come from: one block, or one of each IP version; 10.87.0.0/16 when there is none.
    pub pod_cidrs: Vec<IpNet>,
    /// A directory with the configurations of CNI plugins that connect pods with Linux containers; `None` for a bridge of
    /// the node's own.
    pub cni_configurations: Option<PathBuf>,
    /// What it has for pods, and when it puts them out.
    pub resources: ResourceConfig,
}

impl NodeConfig {
    /// A node that runs WebAssembly only and compiles it in this process, with all else as it is by default.
    pub fn new(state_dir: impl Into<PathBuf>, node_name: impl Into<String>) -> Self {
        Self {
            state_dir: state_dir.into(),
            compile_cache: None,
            node_name: node_name.into(),
            compiler: Compiler::InProcess,
            monitor: None,
            address_space: AddressSpace::Detect,
            pooling: Pooling::default(),
            insecure_registries: Vec::new(),
            pod_cidrs: Vec::new(),
            cni_configurations: None,
            resources: ResourceConfig::default(),
        }
    }
}
