//! A tree of files that can be mounted.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use super::host::{DiskQuota, HostDir, HostLeaf};
use super::usage::DiskUsage;
use crate::budget::Budget;
use crate::config::VolumeFile;
use crate::fs::Errno;

/// What a tree in memory may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemLimits {
    /// Bytes of content, counted in pages; beyond is ENOSPC.
    pub bytes: Option<u64>,
    /// Files, directories and links; beyond is ENOSPC.
    pub inodes: u64,
}

/// What a container's root may hold beyond its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootLimits {
    /// Files, directories and links that the container makes or changes; beyond is ENOSPC.
    pub inodes: u64,
}

/// Whose files they are, as stat shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The pod's fsGroup: the group of everything, which may then read (and write, where the owner may), and which what
    /// is made in a directory inherits.
    pub fs_group: Option<u32>,
}

/// A content volume cannot be as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {}

/// A container's root cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RootTreeError {}

/// A directory or file of the host cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum HostTreeError {}

/// A tree of files that can be mounted, any number of times. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tree {}

#[expect(clippy::todo, unused_variables, reason = "the shape comes first")]
impl Tree {
    /// An empty tree whose content is in memory: an emptyDir of medium Memory. Names, inodes and content are charged
    /// to `budget`.
    #[must_use]
    pub fn memory(limits: MemLimits, owner: Ownership, budget: Arc<Budget>) -> Tree {
        todo!()
    }

    /// Content that the front end gives, read-only, in the kubelet's layout: configMap, secret, downwardAPI, projected.
    ///
    /// # Errors
    /// Names that cannot be, or more than fits.
    pub fn content(files: &[VolumeFile], owner: Ownership, budget: Arc<Budget>) -> Result<Tree, ContentError> {
        todo!()
    }

    /// Gives a content tree other content, atomically. Returns whether anything changed.
    ///
    /// # Errors
    /// As [`Tree::content`], or if this is another kind of tree. The old content then stays.
    pub fn update(&self, files: &[VolumeFile]) -> Result<bool, ContentError> {
        todo!()
    }

    /// A container's root: copy-on-write over the directory `lower`, which nobody changes, or empty. What is written
    /// lies in `spool`, an empty directory of its own, and counts in `usage`; names and inodes are charged to `budget`.
    ///
    /// # Errors
    /// A directory that cannot be opened.
    pub fn root(
        lower: Option<&Path>,
        spool: &Path,
        limits: RootLimits,
        usage: Arc<DiskUsage>,
        budget: Arc<Budget>,
    ) -> Result<Tree, RootTreeError> {
        todo!()
    }

    /// A directory of the host, by descriptor: emptyDir on disk, hostPath, an image as a volume.
    ///
    /// # Errors
    /// What is not a directory, or cannot be asked.
    pub fn host(dir: OwnedFd, quota: Option<Arc<DiskQuota>>) -> Result<Tree, HostTreeError> {
        todo!()
    }

    /// A file of the host, by descriptor (`O_PATH` will do): a hostPath that is a file, a socket or a device.
    ///
    /// # Errors
    /// What is a directory, or cannot be asked.
    pub fn host_file(file: OwnedFd) -> Result<Tree, HostTreeError> {
        todo!()
    }

    /// Finds what `sub_path` is in the tree, following links inside it, for a mount of only that.
    ///
    /// # Errors
    /// As open(2); EXDEV when a link leads out of the tree.
    pub fn sub_path(&self, sub_path: &str) -> Result<Tree, Errno> {
        todo!()
    }

    /// As [`Tree::sub_path`]; what is missing is made, as directories.
    ///
    /// # Errors
    /// As open(2) and mkdir(2).
    pub fn make_sub_path(&self, sub_path: &str) -> Result<Tree, Errno> {
        todo!()
    }
}

/// Where the two kinds come together; what [`Tree::host`] and [`Tree::host_file`] are made with.
#[expect(dead_code, reason = "the shape comes first")]
enum HostRoot {
    Directory(HostDir),
    File(HostLeaf),
}
