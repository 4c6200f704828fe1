//! A container after everything in its manifest has been resolved: no reference is left to look up.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, LinuxProgram};

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
    /// What the container may use.
    pub resources: Resources,
    /// What all containers of its pod may use together.
    pub pod_cpu: Cpu,
    /// Whether and how the container has a standard input.
    pub stdin: StdinMode,
    /// How a component that exports an HTTP handler is served.
    pub http: HttpConfig,
    /// The pod's hostname.
    pub hostname: String,
    /// Kubernetes' `lifecycle.stopSignal`, else a Linux image's `StopSignal`: a name such as `SIGUSR1`; `None` for SIGTERM.
    /// A guest that has no signals is told the name.
    pub stop_signal: Option<String>,
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
    /// A program of the container's root filesystem, which `argv[0]` names.
    Linux(Box<LinuxProgram>),
}

/// What one container may use; `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU time.
    pub cpu: Cpu,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Kubernetes' request in bytes of memory: kept by the node when it gives room, and told to guests.
    pub memory_request: u64,
    /// Units of fuel, roughly instructions, that its guest may execute in this incarnation: a total, not a rate.
    pub fuel: Option<u64>,
}

/// A share of the CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// At most so many thousandths of a CPU, over each period of 100 ms: 1000 is one core's full time.
    pub limit_millis: Option<u64>,
    /// Kubernetes' request in thousandths of a CPU: the weight when there is less than all want. 0 gets what is left.
    pub request_millis: u64,
}

/// What the containers of a pod that one backend runs may use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodLimits {
    /// CPU time; the request is the pod's weight against other pods.
    pub cpu: Cpu,
    /// Bytes of memory; `None` means no limit.
    pub memory: Option<u64>,
    /// Bytes of that memory which the pod's containers of other backends hold.
    pub memory_elsewhere: u64,
}

impl PodLimits {
    /// Bytes of memory that the containers of this backend may use; `None` means no limit.
    pub fn memory_left(&self) -> Option<u64> {
        self.memory.map(|memory| memory.saturating_sub(self.memory_elsewhere))
    }
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

/// How a component that exports an HTTP handler is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpConfig {
    /// The TCP port, on all addresses of the pod.
    pub port: u16,
    /// How many requests an instance may serve before it is thrown away; `None` for a fresh instance per request.
    pub reuse: Option<NonZeroU32>,
    /// Whether each request is a line in the container's log.
    pub access_log: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { port: 8080, reuse: None, access_log: false }
    }
}
