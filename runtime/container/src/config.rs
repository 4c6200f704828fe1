//! A container after everything in its manifest has been resolved: no reference is left to look up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ContainerId;

/// All that a backend needs to create a container. Plain data: it can cross a process boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Which incarnation of which container this is.
    pub id: ContainerId,
    /// What runs.
    pub program: Program,
    /// The arguments, `argv[0]` included; never empty.
    pub argv: Vec<String>,
    /// The environment, in order, without duplicates.
    pub env: Vec<(String, String)>,
    /// An absolute path in the container's tree.
    pub working_dir: String,
    /// Mounts, each at an absolute path; a longer mount path shadows a shorter one.
    pub mounts: Vec<Mount>,
    /// What the container may use.
    pub limits: Limits,
    /// Whether and how the container has a standard input.
    pub stdin: StdinMode,
    /// What the container may reach.
    pub network: NetworkAccess,
    /// The TCP port on which a component that exports an http handler is served.
    pub http_port: u16,
    /// The pod's hostname.
    pub hostname: String,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Program {
    /// A WebAssembly component or core module.
    Wasm {
        /// Where its bytes are.
        path: PathBuf,
        /// `sha256:…` of those bytes: the key of the ahead-of-time cache.
        digest: String,
    },
}

/// One mount of a container's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container, normalised: no `.`, `..`, empty or trailing component.
    pub path: String,
    /// What appears there.
    pub source: MountSource,
    /// No write goes through this mount.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MountSource {
    /// A directory of the host, already checked and resolved.
    HostDir(PathBuf),
}

/// Limits of one container; `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a CPU: 1000 is one core's full time.
    pub cpu_millis: Option<u64>,
}

/// Whether a container has a standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StdinMode {
    /// Reads end at once.
    #[default]
    Closed,
    /// A stream that a client may attach to; its end closes it for good when `once`.
    Open {
        /// Kubernetes' `stdinOnce`.
        once: bool,
    },
}

/// What a container may reach over the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkAccess {
    /// Nothing: every bind, connect and lookup is refused.
    #[default]
    None,
    /// The host's own network, as `hostNetwork: true` asks for.
    Host,
}
