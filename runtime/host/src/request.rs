//! What a front end asks of the host. Plain data: it can cross a process boundary.

use std::path::PathBuf;

use nacelle_container::log::LogConfig;
use nacelle_container::{
    ContainerId, Cpu, HttpConfig, LinuxOptions, LinuxPodOptions, PodInfo, PodUid, Propagation, Resources, StdinMode,
};
use nacelle_infra::VolumeConfig;
use nacelle_infra::network::PodNetworkConfig;
use serde::{Deserialize, Serialize};

/// How a host is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostConfig {
    /// Where pods keep their files: `$XDG_STATE_HOME/nacelle` or `/var/lib/nacelle`.
    pub state_dir: PathBuf,
    /// How much of each container's log is kept.
    pub log: LogConfig,
}

/// A pod to be created: what its containers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRequest {
    /// The pod's uid; unique on the host for as long as anything of the pod exists.
    pub uid: PodUid,
    /// What its containers may know of it.
    pub info: PodInfo,
    /// Its network, hostname included. The uid in it is taken from above.
    pub network: PodNetworkConfig,
    /// Its volumes.
    pub volumes: Vec<VolumeConfig>,
    /// Kubernetes' `securityContext.fsGroup`.
    pub fs_group: Option<u32>,
    /// What its containers may use together.
    pub resources: PodResources,
    /// Bytes that its containers, logs and emptyDirs may use on a disk together; `None` means no limit.
    pub ephemeral_storage_limit: Option<u64>,
    /// What its Linux containers share, if it has any.
    pub linux: LinuxPodOptions,
}

/// What the containers of a pod may use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodResources {
    /// CPU time; the request is the pod's weight against other pods.
    pub cpu: Cpu,
    /// Bytes of memory that its containers, memory volumes and sockets may use; `None` means no limit.
    pub memory: Option<u64>,
}

/// A container to be created and started in a pod that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRequest {
    /// Which incarnation of which container.
    pub id: ContainerId,
    /// What the image gives.
    pub image: ImageSource,
    /// The arguments, `argv[0]` included. For [`ImageSource::RootFs`] `argv[0]` names the program; for
    /// [`ImageSource::Component`] it is only a name.
    pub argv: Vec<String>,
    /// The environment, in order. A later entry replaces an earlier one of the same name.
    pub env: Vec<(String, String)>,
    /// An absolute path in the container; empty means `/`.
    pub working_dir: String,
    /// The volumes that appear in the container.
    pub mounts: Vec<VolumeMount>,
    /// Kubernetes' `readOnlyRootFilesystem`.
    pub read_only_root: bool,
    /// What the container may use.
    pub resources: Resources,
    /// Bytes that its root and its logs may use on a disk, over all of its incarnations; `None` means no limit.
    pub ephemeral_storage_limit: Option<u64>,
    /// Whether it has a standard input.
    pub stdin: StdinMode,
    /// How a component that exports an HTTP handler is served.
    pub http: HttpConfig,
    /// Kubernetes' `lifecycle.stopSignal`: the name of a signal.
    pub stop_signal: Option<String>,
    /// Kubernetes' `terminationMessagePath`: where it may leave a last word; see [`Host::last_words`](crate::Host::last_words).
    pub termination_log: Option<String>,
    /// Where its log is kept; by default in the pod's own directory, which goes with the pod.
    pub log_path: Option<PathBuf>,
    /// What matters only if it is a Linux program.
    pub linux: LinuxOptions,
}

/// What an image gives a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSource {
    /// A WebAssembly component (or core module) and nothing else: the container's root is empty.
    Component {
        /// Where its bytes are.
        path: PathBuf,
        /// `sha256:…` of those bytes.
        digest: String,
    },
    /// A root filesystem.
    RootFs {
        /// Its directory in the image store; never written to.
        dir: PathBuf,
        /// The image's digest. A directory's content never changes for the same digest.
        digest: String,
    },
    /// A root filesystem of Linux programs.
    Linux {
        /// Its unpacked layers in the image store, lowest first; never written to.
        layers: Vec<PathBuf>,
        /// The chain id of the layers.
        digest: String,
    },
}

/// A volume, or a part of one, at a path in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's name in the pod.
    pub volume: String,
    /// Where it appears. As the kubelet does, a relative path is taken from `/`.
    pub path: String,
    /// Kubernetes' `subPath`, already expanded.
    pub sub_path: Option<String>,
    /// Kubernetes' `readOnly`.
    pub read_only: bool,
    /// Kubernetes' `recursiveReadOnly`, where it can be done.
    pub recursive_read_only: bool,
    /// Kubernetes' `mountPropagation`.
    pub propagation: Propagation,
}
