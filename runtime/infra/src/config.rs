//! A pod's infra as plain data: it can cross a process boundary.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All that is needed to create the infra of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraConfig {
    /// The pod's `metadata.uid`. Names its directories.
    pub uid: String,
    /// The pod's hostname.
    pub hostname: String,
    /// Its volumes; names are unique.
    pub volumes: Vec<VolumeConfig>,
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
    },
    /// Something that exists on the host, and stays when the pod goes.
    HostPath {
        /// Its absolute path.
        path: PathBuf,
        /// What must be there, or is made there.
        kind: HostPathKind,
    },
    /// Files whose content the front end gives: configMap, secret, downwardAPI and projected volumes. Read-only.
    Files {
        /// The files.
        files: Vec<VolumeFile>,
        /// Where they are kept. Secrets belong into [`Medium::Memory`].
        medium: Medium,
    },
    /// The root filesystem of an image, as the image store unpacked it. Read-only.
    Image {
        /// Its directory in the store.
        root: PathBuf,
    },
}

/// Where a volume's bytes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Medium {
    /// In the state directory.
    #[default]
    Disk,
    /// In a memory-backed directory (tmpfs, ramfs): never on a disk.
    Memory,
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
