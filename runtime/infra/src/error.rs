//! What can go wrong with a pod's files.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::{ContentError, Errno, HostTreeError, NamespaceError, RootTreeError};
use crate::network::AttachError;

/// A directory of a pod cannot be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum DirsError {
    /// A name that cannot be a directory's.
    #[error("{name:?} cannot name a directory: letters, digits, '-', '_' and '.' are allowed, at most 200")]
    BadName {
        /// The name, cut short.
        name: String,
    },
    /// Another process, or this one, runs a pod with this uid.
    #[error("pod {uid} is being run already")]
    InUse {
        /// The pod's uid.
        uid: String,
    },
    /// A system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DirsError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// Says what an I/O error was about.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DirsError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DirsError> {
        self.map_err(|source| DirsError::io(action, path, source))
    }
}

/// A pod's infra cannot be created. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum InfraError {
    /// The pod's directories.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// One of its volumes.
    #[error("volume {volume:?}: {source}")]
    Volume {
        /// The volume's name.
        volume: String,
        /// What is wrong with it.
        source: VolumeError,
    },
    /// Its network.
    #[error(transparent)]
    Network(#[from] AttachError),
    /// The thread that made its files failed.
    #[error("cannot make the pod's files: {0}")]
    Thread(String),
}

/// A volume cannot be set up or updated.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Two volumes have its name, or there is none.
    #[error("{0}")]
    Name(&'static str),
    /// The path of a hostPath volume is not absolute or has `..` in it.
    #[error("hostPath {} must be absolute and must not contain '..'", .0.display())]
    BadHostPath(PathBuf),
    /// Something else is there than `hostPath.type` says. The words are Kubernetes'.
    #[error("hostPath type check failed: {} is not {expected}", path.display())]
    HostPathType {
        /// The path on the host.
        path: PathBuf,
        /// What was expected, with its article.
        expected: &'static str,
    },
    /// The files of a content volume, or their size.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A directory or file of the host.
    #[error(transparent)]
    Host(#[from] HostTreeError),
    /// Only content volumes have content to update.
    #[error("has no content of its own to update")]
    NotFiles,
    /// A system call failed.
    #[error(transparent)]
    Dirs(#[from] DirsError),
}

/// The files of a container cannot be made. Nothing of them is left.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// A mount does not fit the pod or cannot be made.
    #[error("mount at {path}: {source}")]
    Mount {
        /// Where it was to appear.
        path: String,
        /// What is wrong with it.
        source: MountError,
    },
    /// The mounts do not fit the container's root, or each other.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The container's own directory.
    #[error("container root: {0}")]
    Dirs(#[from] DirsError),
    /// The container's root.
    #[error("container root: {0}")]
    Root(#[from] RootTreeError),
}

/// A mount cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The pod has no such volume.
    #[error("the pod has no volume {0:?}")]
    NoVolume(String),
    /// Nothing on the host that the kernel could mount.
    #[error(
        "volume {0:?} is in the memory of this process, and cannot be mounted into a Linux container: a tmpfs is used \
         where the process may mount one (as root), and where an image is known to be for Linux when the pod is made"
    )]
    NotOnHost(String),
    /// Over the container's root.
    #[error("a volume cannot be mounted over the container's root")]
    OverRoot,
    /// Two mounts at one path.
    #[error("there is another mount at this path")]
    Duplicate,
    /// A `subPath` that Kubernetes does not allow.
    #[error("subPath {0:?} must be a relative path without '..'")]
    BadSubPath(String),
    /// A link in the volume leads out of it.
    #[error("subPath {sub_path:?} leads out of volume {volume:?} through a symbolic link")]
    Escape {
        /// The `subPath`.
        sub_path: String,
        /// The volume's name.
        volume: String,
    },
    /// A read-only volume has nothing at the `subPath`, and it cannot be made there.
    #[error("volume {volume:?} is read-only and has nothing at subPath {sub_path:?}")]
    NoSubPath {
        /// The `subPath`.
        sub_path: String,
        /// The volume's name.
        volume: String,
    },
    /// Anything else that the system says to a `subPath`.
    #[error("subPath {sub_path:?} of volume {volume:?}: {source}")]
    SubPath {
        /// The `subPath`.
        sub_path: String,
        /// The volume's name.
        volume: String,
        /// What it says.
        source: Errno,
    },
}
