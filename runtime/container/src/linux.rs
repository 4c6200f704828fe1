//! What a Linux program needs beyond what every container needs. Plain data: it can cross a process boundary.
//!
//! Everything is resolved: the pod's and the container's `securityContext` are one here, and volumes are directories of
//! the host. What depends on the image's files (names of users) is looked up by the backend.

use std::path::PathBuf;

use nacelle_infra::HostMount;
use serde::{Deserialize, Serialize};

/// A program that the kernel runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxProgram {
    /// Its root filesystem and what is mounted into it.
    pub files: LinuxFiles,
    /// What it shares with the other Linux containers of its pod; the same for all of them.
    pub pod: LinuxPod,
    /// What its manifest and its image say of the process.
    pub options: LinuxOptions,
}

/// What a container's manifest and its image say of a Linux process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxOptions {
    /// As whom and how confined it runs.
    pub security: Security,
    /// The image's `User`: `user`, `user:group`, names or numbers; empty when the image names none.
    pub image_user: String,
    /// Kubernetes' `tty`.
    pub terminal: bool,
    /// The container of its pod whose processes it shares: `targetContainerName` of an ephemeral container.
    pub target: Option<String>,
}

/// A Linux container's files, as paths of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxFiles {
    /// The image's unpacked layers, lowest first; shared between containers and never written to.
    pub layers: Vec<PathBuf>,
    /// A directory that belongs to this incarnation alone: what it writes into its root, and where the root is mounted.
    pub scratch: PathBuf,
    /// Kubernetes' `readOnlyRootFilesystem`.
    pub read_only_root: bool,
    /// Volumes and managed files, in the order in which they are mounted.
    pub mounts: Vec<HostMount>,
}

impl LinuxFiles {
    /// Where what the container writes into its root lies, once it is created. Empty where the image was copied.
    pub fn written(&self) -> PathBuf {
        self.scratch.join("upper")
    }
}

/// What the Linux containers of a pod share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxPod {
    /// A directory of the pod's in which the backend keeps what it needs to find its processes again.
    pub dir: PathBuf,
    /// Its network namespace.
    pub network: NetworkNamespace,
    /// What the manifest says of the rest.
    pub options: LinuxPodOptions,
    /// Bytes of memory that all its containers may use together; `None` means no limit.
    pub memory: Option<u64>,
}

/// Which network namespace a pod's Linux containers are in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkNamespace {
    /// One of the pod's own that has a loopback and nothing else.
    #[default]
    Isolated,
    /// The one that this file stands for.
    Path(PathBuf),
    /// The host's: `hostNetwork`.
    Host,
}

/// What a pod's manifest says of the namespaces of its Linux containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxPodOptions {
    /// Whose processes a container sees.
    pub processes: ProcessNamespace,
    /// `hostIPC`.
    pub host_ipc: bool,
    /// `hostUsers: false` is [`UserNamespace::Pod`].
    pub users: UserNamespace,
    /// `securityContext.sysctls`, names with dots.
    pub sysctls: Vec<(String, String)>,
    /// How many processes and threads the pod may have, as the kubelet's `podPidsLimit`; `None` means no limit.
    pub pids_limit: Option<u64>,
}

/// Whose processes a container sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProcessNamespace {
    /// Its own; its program is process 1.
    #[default]
    Container,
    /// Those of all the pod's containers: `shareProcessNamespace`. Process 1 reaps orphans.
    Pod,
    /// All of the host: `hostPID`.
    Host,
}

/// Which user ids a pod's Linux containers have on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserNamespace {
    /// The ids that they see.
    #[default]
    Host,
    /// 65,536 ids that no other pod has; the backend chooses them.
    Pod,
}

/// The `securityContext` of a container, its pod's filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// `runAsUser`; the image's user when there is none.
    pub run_as_user: Option<u32>,
    /// `runAsGroup`; the user's own group when there is none.
    pub run_as_group: Option<u32>,
    /// `runAsNonRoot`: a container that would run as user 0 is not started.
    pub run_as_non_root: bool,
    /// `supplementalGroups`.
    pub supplemental_groups: Vec<u32>,
    /// `supplementalGroupsPolicy`.
    pub supplemental_groups_policy: SupplementalGroupsPolicy,
    /// `fsGroup`: a supplemental group of every process.
    pub fs_group: Option<u32>,
    /// `privileged`.
    pub privileged: bool,
    /// `allowPrivilegeEscalation`; `false` sets no_new_privs.
    pub allow_privilege_escalation: bool,
    /// `capabilities.add`, as written: with or without `CAP_`, or `ALL`.
    pub add_capabilities: Vec<String>,
    /// `capabilities.drop`, as written.
    pub drop_capabilities: Vec<String>,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
    /// `seccompProfile`.
    pub seccomp: SecurityProfile,
    /// `appArmorProfile`; `None` when the manifest says nothing.
    pub app_armor: Option<SecurityProfile>,
    /// `seLinuxOptions`.
    pub se_linux: Option<SeLinuxOptions>,
}

/// Kubernetes' `supplementalGroupsPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SupplementalGroupsPolicy {
    /// Groups that the image's `/etc/group` lists for the user count as well.
    #[default]
    Merge,
    /// Only what the manifest lists.
    Strict,
}

/// A profile of seccomp or AppArmor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecurityProfile {
    /// None.
    #[default]
    Unconfined,
    /// That of this runtime.
    RuntimeDefault,
    /// One of the node's.
    Localhost {
        /// A file in the node's directory of seccomp profiles, or the name of a loaded AppArmor profile.
        name: String,
    },
}

/// Kubernetes' `seLinuxOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeLinuxOptions {
    /// `user`.
    pub user: String,
    /// `role`.
    pub role: String,
    /// `type`.
    pub kind: String,
    /// `level`.
    pub level: String,
}
