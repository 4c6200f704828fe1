//! A pod's infra as plain data: it can cross a process boundary.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::network::PodNetworkConfig;

/// All that is needed to create the infra of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraConfig {
    /// The pod's `metadata.uid`. Names its directories.
    pub uid: String,
    /// Its network. The uid in it is taken from above.
    pub network: PodNetworkConfig,
    /// Its volumes; names are unique.
    pub volumes: Vec<VolumeConfig>,
    /// `securityContext.fsGroup`: the group that the pod's own volumes show.
    pub fs_group: Option<u32>,
    /// Bytes of memory that the pod's containers, memory volumes and sockets may use together; `None` means no limit.
    pub memory_limit: Option<u64>,
    /// Bytes that the pod's containers, logs and emptyDirs may use on a disk together; `None` means no limit.
    pub ephemeral_storage_limit: Option<u64>,
}

/// One volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeConfig {
    /// What mounts refer to it by; a DNS label, as Kubernetes requires.
    pub name: String,
    /// What it holds.
    pub source: VolumeSource,
}

/// What a volume holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    /// A directory that lives and dies with the pod.
    EmptyDir {
        /// Where it is kept.
        medium: Medium,
        /// `sizeLimit`: bytes that it may hold.
        size_limit: Option<u64>,
    },
    /// Something that exists on the host, and stays when the pod goes.
    HostPath {
        /// Its absolute path.
        path: PathBuf,
        /// What must be there, or is made there.
        kind: HostPathKind,
    },
    /// Files whose content the front end gives: configMap, secret, downwardAPI and projected volumes. Read-only, and
    /// always in memory.
    Files {
        /// The files.
        files: Vec<VolumeFile>,
    },
    /// The root filesystem of an image, as the image store unpacked it. Read-only.
    Image {
        /// Its directory in the store.
        root: PathBuf,
    },
}

/// Where the bytes of an emptyDir are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Medium {
    /// In the state directory.
    #[default]
    Disk,
    /// In the memory of this process, counted as the pod's: never on a disk.
    Memory,
    /// In a tmpfs, which Linux containers can mount as well; without the right to mount one, as [`Medium::Memory`].
    Tmpfs,
}

/// Kubernetes' `hostPath.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostPathKind {
    /// Nothing is checked; a missing path becomes a directory, as container runtimes do.
    #[default]
    Unset,
    /// A directory, made (0755) when nothing is there.
    DirectoryOrCreate,
    /// A directory.
    Directory,
    /// A file, made empty (0644) when nothing is there; its directory must exist.
    FileOrCreate,
    /// A file.
    File,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// One file of a [`VolumeSource::Files`] volume.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFile {
    /// Its path in the volume: relative, without `..`.
    pub path: String,
    /// Its permission bits, as in `0o644`.
    pub mode: u32,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Content may be secret: it is never shown.
impl fmt::Debug for VolumeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VolumeFile")
            .field("path", &self.path)
            .field("mode", &format_args!("{:04o}", self.mode))
            .field("bytes", &format_args!("({} bytes)", self.bytes.len()))
            .finish()
    }
}
