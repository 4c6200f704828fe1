//! One container's tree: the mount table, and the walk along a path through it.
//!
//! A mount point is a place in the table, not in a tree: it is found by the names that lead to it, so the same volume
//! can be mounted twice, and what is mounted is seen although nothing of that name may be in the tree below. Directories
//! on the way to a mount point that are nowhere else are shown from a tree of the namespace's own, which is read-only.
//!
//! Every name on the way to a mount point stays: removing or renaming it is EBUSY, also where Linux would take the mount
//! along. So the table never changes once it is built.

mod build;
mod error;
mod listing;
mod trail;
mod walk;

pub use build::NamespaceBuilder;
pub use error::NamespaceError;
pub use listing::ReadDir;
pub(crate) use trail::Trail;
pub(crate) use walk::{Last, Name, Walk};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::descriptor::Descriptor;
use super::memory::{MemDir, MemTree, Payer};
use super::node::{Dir, Found, Leaf};
use super::{Errno, FsResult, OpenHow};

/// What a container's writable root takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootUsage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files, directories and links that the container made.
    pub inodes: u64,
}

/// One container's tree. The longest mount point that is a prefix of a path wins; `..` and links cannot leave.
#[derive(Debug)]
pub struct MountNamespace {
    mounts: Vec<Mount>,
    /// The names that lead to mount points; the first is the root.
    points: Vec<Point>,
    /// The directory `/`.
    top: Arc<Trail>,
    /// The container's root, if it is one of ours.
    root: Option<MemTree>,
}

/// A mounted tree, or a part of one.
#[derive(Debug)]
struct Mount {
    root: Root,
    read_only: bool,
}

/// What can be mounted.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// A directory.
    Directory(Dir),
    /// A single file.
    Leaf(Leaf),
}

impl Root {
    /// The same, for a container that pays for what it writes, where that is memory.
    pub(crate) fn paid_by(self, payer: &Payer) -> Self {
        match self {
            Self::Directory(Dir::Memory(dir)) => Self::Directory(Dir::Memory(dir.paid_by(payer))),
            Self::Leaf(Leaf::Memory(leaf)) => Self::Leaf(Leaf::Memory(leaf.paid_by(payer))),
            on_host => on_host,
        }
    }
}

/// A directory on the way to a mount point, or a mount point.
#[derive(Debug)]
struct Point {
    children: BTreeMap<Box<str>, PointId>,
    /// What lies over it.
    mount: Option<MountId>,
    /// Shows it where nothing else does.
    shadow: MemDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PointId(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MountId(usize);

/// The mount of the namespace's own directories. That of `/` is the next.
const SHADOWS: MountId = MountId(0);
const ROOT: MountId = MountId(1);

/// A directory somewhere in a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dir: Dir,
    mount: MountId,
    /// None if no mount point lies below.
    point: Option<PointId>,
}

/// What a step along a path leads to.
pub(crate) enum Step {
    Directory(Place),
    Symlink(Arc<str>),
    Leaf(Leaf),
}

impl MountNamespace {
    /// The root directory, for reading and for changing what is in it.
    #[must_use]
    pub fn root(self: &Arc<Self>) -> Descriptor {
        Descriptor::root(self.clone())
    }

    /// Opens a directory by an absolute path. Links are followed.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_dir(self: &Arc<Self>, path: &str) -> FsResult<Descriptor> {
        let how = OpenHow { directory: true, follow: true, read: true, mutate_directory: true, ..OpenHow::default() };
        self.open(path, how)
    }

    /// Opens an absolute path.
    ///
    /// # Errors
    /// As open(2). A path that is not absolute is EINVAL.
    pub fn open(self: &Arc<Self>, path: &str, how: OpenHow) -> FsResult<Descriptor> {
        Descriptor::open_absolute(self, path, how)
    }

    /// What the writable root takes.
    #[must_use]
    pub fn usage(&self) -> RootUsage {
        let Some(root) = &self.root else { return RootUsage::default() };
        let bytes = root.store().map_or(0, |store| store.spool.bytes());
        RootUsage { bytes, inodes: root.inodes() }
    }

    /// One with nothing but `root`.
    pub(crate) fn of(root: Dir, read_only: bool) -> Self {
        let shadow = MemTree::shadows().root();
        let shadows = Mount { root: Root::Directory(Dir::Memory(shadow.clone())), read_only: true };
        let point = Point { children: BTreeMap::new(), mount: Some(ROOT), shadow };
        let top = Trail::root(Place { dir: root.clone(), mount: ROOT, point: Some(PointId(0)) });
        let mounts = vec![shadows, Mount { root: Root::Directory(root), read_only }];
        Self { mounts, points: vec![point], top, root: None }
    }

    /// The directory `/`.
    pub(crate) fn top(&self) -> &Arc<Trail> {
        &self.top
    }

    /// What `name` in `place` is.
    pub(crate) fn step(&self, place: &Place, name: &str) -> FsResult<Step> {
        let Some(id) = self.child(place, name) else {
            return Ok(match place.dir.lookup(name)? {
                Found::Directory(dir) => Step::Directory(place.below(dir)),
                Found::Symlink(target) => Step::Symlink(target),
                Found::Leaf(leaf) => Step::Leaf(leaf),
            });
        };
        let point = &self.points[id.0];
        if let Some(mount) = point.mount {
            return Ok(match &self.mounts[mount.0].root {
                Root::Directory(dir) => Step::Directory(Place { dir: dir.clone(), mount, point: Some(id) }),
                Root::Leaf(leaf) => Step::Leaf(leaf.clone()),
            });
        }
        let (dir, mount) = match place.dir.lookup(name) {
            Ok(Found::Directory(dir)) => (dir, place.mount),
            // It is not there, or no longer: what is mounted below stays.
            _ => (Dir::Memory(point.shadow.clone()), SHADOWS),
        };
        Ok(Step::Directory(Place { dir, mount, point: Some(id) }))
    }

    /// A mount point, or something on the way to one.
    fn child(&self, place: &Place, name: &str) -> Option<PointId> {
        self.points[place.point?.0].children.get(name).copied()
    }

    /// Whether `name` must stay what it is.
    pub(crate) fn is_pinned(&self, place: &Place, name: &str) -> bool {
        self.child(place, name).is_some()
    }

    /// Whether no mount point lies below.
    pub(crate) fn is_plain(place: &Place) -> bool {
        place.point.is_none()
    }

    /// EROFS where nothing may be changed.
    pub(crate) fn check_writable(&self, place: &Place) -> FsResult<()> {
        if self.mounts[place.mount.0].read_only { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Whether the single file mounted as `name` in `place` may not be written to.
    pub(crate) fn leaf_is_read_only(&self, place: &Place, name: &str) -> bool {
        let over = self.child(place, name).and_then(|id| self.points[id.0].mount);
        self.mounts[over.unwrap_or(place.mount).0].read_only
    }
}

impl Place {
    /// A directory in this one in which, and below which, nothing is mounted.
    pub(crate) fn below(&self, dir: Dir) -> Self {
        Self { dir, mount: self.mount, point: None }
    }

    /// Whether both are in the same mount.
    pub(crate) fn same_mount(&self, other: &Self) -> bool {
        self.mount == other.mount
    }
}
