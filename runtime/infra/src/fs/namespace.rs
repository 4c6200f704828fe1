//! One container's tree: the mount table, and the walk along a path through it.

use std::sync::Arc;

use super::descriptor::Descriptor;
use super::tree::Tree;
use super::{Errno, FsResult, OpenHow};

/// What a container's writable root takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootUsage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files, directories and links that the container made or changed.
    pub inodes: u64,
}

/// A namespace cannot be as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// A mount point that cannot be one.
    #[error("cannot mount at {path}: {reason}")]
    BadPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part of a volume that cannot be found.
    #[error("cannot mount subPath {sub_path} at {path}: {source}")]
    SubPath {
        /// Where it was to be mounted.
        path: String,
        /// What was to be mounted.
        sub_path: String,
        /// Why not.
        source: Errno,
    },
    /// A place that cannot be made or reached.
    #[error("cannot make the mount point {path}: {source}")]
    Point {
        /// The path.
        path: String,
        /// Why not.
        source: Errno,
    },
}

/// One container's tree. The longest mount point that is a prefix of a path wins; `..` and links cannot leave.
#[derive(Debug)]
pub struct MountNamespace {}

#[expect(clippy::todo, unused_variables, reason = "the shape comes first")]
impl MountNamespace {
    /// The root directory, for reading and for changing what is in it.
    #[must_use]
    pub fn root(self: &Arc<Self>) -> Descriptor {
        todo!()
    }

    /// Opens a directory by an absolute path. Links are followed.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_dir(self: &Arc<Self>, path: &str) -> FsResult<Descriptor> {
        todo!()
    }

    /// Opens an absolute path.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(self: &Arc<Self>, path: &str, how: OpenHow) -> FsResult<Descriptor> {
        todo!()
    }

    /// What the writable root takes.
    #[must_use]
    pub fn usage(&self) -> RootUsage {
        todo!()
    }
}

/// Makes a [`MountNamespace`].
#[derive(Debug)]
pub struct NamespaceBuilder {}

#[expect(clippy::todo, unused_variables, reason = "the shape comes first")]
impl NamespaceBuilder {
    /// With `tree` at `/`.
    #[must_use]
    pub fn new(tree: Tree, read_only: bool) -> Self {
        todo!()
    }

    /// Mounts `tree`, or the part of it that `sub_path` names, at an absolute path. Later mounts lie over earlier ones.
    #[must_use]
    pub fn mount(self, path: &str, tree: Tree, sub_path: Option<&str>, read_only: bool) -> Self {
        todo!()
    }

    /// A file of the runtime's own, such as `/etc/hosts`. Containers may write to it, as to the kubelet's.
    #[must_use]
    pub fn managed_file(self, path: &str, content: impl Into<bytes::Bytes>) -> Self {
        todo!()
    }

    /// `/dev` with its devices, and `/dev/shm`.
    #[must_use]
    pub fn devices(self) -> Self {
        todo!()
    }

    /// Mounts everything, and makes `/tmp` if there is none.
    ///
    /// # Errors
    /// The first mount that cannot be, with its path.
    pub fn build(self) -> Result<Arc<MountNamespace>, NamespaceError> {
        todo!()
    }
}
