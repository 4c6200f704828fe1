//! A tree of files that can be mounted.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{ContentFile, ContentTree};
use super::host::{DiskQuota, HostDir, HostLeaf};
use super::memory::{Lower, MemTree, RootStore, Spool};
use super::namespace::{Last, MountNamespace, Root, Step, Walk};
use super::node::{Dir, Leaf};
use super::open_files::OpenFiles;
use super::usage::DiskUsage;
use super::{ContentError, Errno, FsResult};
use crate::budget::Budget;
use crate::config::VolumeFile;
use crate::stats::FileUsage;

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
    /// Files, directories and links that the container makes; beyond is ENOSPC.
    pub inodes: u64,
}

/// Whose files they are, as stat shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The pod's fsGroup: the group of everything, which may then read (and write, where the volume is writable), and
    /// which what is made in a directory inherits.
    pub fs_group: Option<u32>,
}

impl Ownership {
    /// The mode of a directory of content: as the kubelet makes them, and changes them for an fsGroup; the setgid bit
    /// comes by inheritance.
    pub(crate) fn content_dir_mode(self) -> u32 {
        if self.fs_group.is_some() { 0o2755 } else { 0o755 }
    }

    /// The mode of a file of content that is asked for with `mode`.
    pub(crate) fn content_file_mode(self, mode: u32) -> u32 {
        (mode & 0o777) | if self.fs_group.is_some() { 0o440 } else { 0 }
    }
}

/// A container's root cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RootTreeError {
    /// The image.
    #[error("cannot open the image's directory {path:?}: {source}")]
    Lower {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        source: Errno,
    },
    /// Where the container's files are to be written.
    #[error("cannot open the directory {path:?} for what the container writes: {source}")]
    Spool {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: Errno,
    },
}

/// A directory or file of the host cannot be mounted.
#[derive(Debug, thiserror::Error)]
#[error("cannot use it as a volume: {0}")]
pub struct HostTreeError(#[from] pub Errno);

/// A tree of files that can be mounted, any number of times. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tree {
    kind: Kind,
    protection: Protection,
}

/// Who may change a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    /// Whoever mounts it so that it may.
    None,
    /// Nobody, however it is mounted.
    ReadOnly,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A volume in memory, or a container's root.
    Own(MemTree),
    Content(Arc<ContentTree>),
    /// Something of the host, or a part of any tree.
    Other(Root),
}

impl From<Kind> for Tree {
    fn from(kind: Kind) -> Self {
        Self { kind, protection: Protection::None }
    }
}

impl Tree {
    /// An empty tree whose content is in memory: an emptyDir of medium Memory. Names, inodes and content are charged
    /// to `budget`. Anybody may write to it, as the kubelet makes it.
    #[must_use]
    pub fn memory(limits: MemLimits, owner: Ownership, budget: Arc<Budget>) -> Tree {
        Kind::Own(MemTree::new(limits, owner, 0o777, budget)).into()
    }

    /// Content that the front end gives, read-only, in the kubelet's layout: configMap, secret, downwardAPI, projected.
    ///
    /// # Errors
    /// Names that cannot be, or more than fits.
    pub fn content(files: &[VolumeFile], owner: Ownership, budget: Arc<Budget>) -> Result<Tree, ContentError> {
        Ok(Tree::from(Kind::Content(Arc::new(ContentTree::new(files, owner, budget)?))).read_only())
    }

    /// Gives a content tree other content, atomically. Returns whether anything changed.
    ///
    /// # Errors
    /// As [`Tree::content`], or if this is another kind of tree. The old content then stays.
    pub fn update(&self, files: &[VolumeFile]) -> Result<bool, ContentError> {
        match &self.kind {
            Kind::Content(content) => content.update(files),
            Kind::Own(_) | Kind::Other(_) => Err(ContentError::NotContent),
        }
    }

    /// What a content tree shows now; `None` for any other.
    pub(crate) fn content_files(&self) -> Option<Vec<ContentFile>> {
        match &self.kind {
            Kind::Content(content) => Some(content.files()),
            Kind::Own(_) | Kind::Other(_) => None,
        }
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
        let in_lower = |source| RootTreeError::Lower { path: lower.unwrap_or(Path::new("")).to_owned(), source };
        let store = RootStore {
            lower: lower.map(Lower::open_dir).transpose().map_err(in_lower)?,
            spool: Spool::open_dir(spool, usage)
                .map_err(|source| RootTreeError::Spool { path: spool.to_owned(), source })?,
            files: OpenFiles::new(),
        };
        Ok(Kind::Own(MemTree::over(store, limits.inodes, budget).map_err(in_lower)?).into())
    }

    /// A directory of the host, by descriptor: emptyDir on disk, hostPath, an image as a volume.
    ///
    /// # Errors
    /// What is not a directory, or cannot be asked.
    pub fn host(dir: OwnedFd, quota: Option<Arc<DiskQuota>>) -> Result<Tree, HostTreeError> {
        Ok(Kind::Other(Root::Directory(Dir::Host(HostDir::new(dir, quota)?))).into())
    }

    /// A file of the host, by descriptor (`O_PATH` will do): a hostPath that is a file, a socket or a device.
    ///
    /// # Errors
    /// What is a directory, or cannot be asked.
    pub fn host_file(file: OwnedFd) -> Result<Tree, HostTreeError> {
        Ok(Kind::Other(Root::Leaf(Leaf::Host(HostLeaf::new(file)?))).into())
    }

    /// The same tree, that nobody may change however it is mounted: what belongs to an image.
    #[must_use]
    pub fn read_only(self) -> Tree {
        Tree { protection: Protection::ReadOnly, ..self }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.protection == Protection::ReadOnly
    }

    /// Finds what `sub_path` is in the tree, following links inside it, for a mount of only that.
    ///
    /// # Errors
    /// As open(2); EPERM when a link leads out of the tree.
    pub fn sub_path(&self, sub_path: &str) -> FsResult<Tree> {
        let Root::Directory(root) = self.root_of() else { return Err(Errno::NOTDIR) };
        let namespace = MountNamespace::of(root, true);
        let mut walk = Walk::relative(&namespace, namespace.top(), sub_path)?;
        let root = loop {
            let name = match walk.advance()? {
                Last::Here { .. } => break Root::Directory(walk.place().dir.clone()),
                Last::Name(name) => name,
            };
            match namespace.step(walk.place(), walk.text(&name))? {
                Step::Directory(place) => break Root::Directory(place.dir),
                Step::Symlink(target) => walk.follow(&target)?,
                Step::Leaf(_) if name.slash => return Err(Errno::NOTDIR),
                Step::Leaf(leaf) => break Root::Leaf(leaf),
            }
        };
        Ok(Tree { kind: Kind::Other(root), protection: self.protection })
    }

    /// As [`Tree::sub_path`]; directories that are missing are made, as the kubelet does, unless nobody may change the tree.
    ///
    /// # Errors
    /// As open(2) and mkdir(2).
    pub fn make_sub_path(&self, sub_path: &str) -> FsResult<Tree> {
        match self.sub_path(sub_path) {
            Err(Errno::NOENT) if !sub_path.is_empty() && !self.is_read_only() => {}
            found => return found,
        }
        let (parent, name) = sub_path.trim_end_matches('/').rsplit_once('/').unwrap_or((".", sub_path));
        let name = name.trim_end_matches('/');
        let parent = self.make_sub_path(parent.trim_end_matches('/'))?;
        let Root::Directory(dir) = parent.root_of() else { return Err(Errno::NOTDIR) };
        // `..` was found, or cannot be made; a link that points to nothing is EEXIST.
        if name == "." || name == ".." || name.len() > 255 {
            return Err(Errno::INVAL);
        }
        match dir.create_directory(name) {
            // Somebody was faster.
            Ok(()) | Err(Errno::EXIST) => parent.sub_path(name),
            Err(error) => Err(error),
        }
    }

    /// What a tree of ours holds in memory: content, and inodes that were made in it.
    #[must_use]
    pub fn memory_usage(&self) -> FileUsage {
        match &self.kind {
            Kind::Own(tree) => FileUsage { bytes: tree.bytes(), inodes: tree.inodes() },
            Kind::Content(content) => content.usage(),
            Kind::Other(_) => FileUsage::default(),
        }
    }

    /// What is mounted when it is.
    pub(crate) fn root_of(&self) -> Root {
        match &self.kind {
            Kind::Own(tree) => Root::Directory(Dir::Memory(tree.root())),
            Kind::Content(content) => Root::Directory(Dir::Memory(content.root())),
            Kind::Other(root) => root.clone(),
        }
    }

    /// The tree, if it is one of ours that containers may change.
    pub(crate) fn own(&self) -> Option<&MemTree> {
        match &self.kind {
            Kind::Own(tree) => Some(tree),
            Kind::Content(_) | Kind::Other(_) => None,
        }
    }
}
