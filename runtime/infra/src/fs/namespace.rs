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

use std::sync::{Arc, OnceLock};

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
    /// The names that lead to mount points; the first is the root, and none comes before the one it is below.
    points: Vec<Point>,
    /// For each of them a directory that shows it where nothing else does. Made when one is seen first: few ever are, since
    /// most roots have what is mounted over.
    shadows: OnceLock<Box<[MemDir]>>,
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
    /// By name.
    children: Vec<(Box<str>, PointId)>,
    /// What lies over it.
    mount: Option<MountId>,
}

impl Point {
    /// Where the child of this name is, or would be.
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.children.binary_search_by(|(child, _)| (**child).cmp(name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PointId(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MountId(usize);

/// The mount of `/`.
const ROOT: MountId = MountId(0);
/// That of the namespace's own directories, which is in no table: nobody can change anything there.
const SHADOWS: MountId = MountId(usize::MAX);

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
        let point = Point { children: Vec::new(), mount: Some(ROOT) };
        let top = Trail::root(Place { dir: root.clone(), mount: ROOT, point: Some(PointId(0)) });
        let mounts = vec![Mount { root: Root::Directory(root), read_only }];
        Self { mounts, points: vec![point], shadows: OnceLock::new(), top, root: None }
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
            _ => (Dir::Memory(self.shadow(id)?), SHADOWS),
        };
        Ok(Step::Directory(Place { dir, mount, point: Some(id) }))
    }

    /// What shows a point where nothing else does.
    fn shadow(&self, id: PointId) -> FsResult<MemDir> {
        if let Some(shadow) = self.shadows.get().and_then(|shadows| shadows.get(id.0)) {
            return Ok(shadow.clone());
        }
        let tree = MemTree::shadows();
        let mut shadows = vec![tree.root(); self.points.len()];
        for (above, point) in self.points.iter().enumerate() {
            for (name, below) in &point.children {
                shadows[below.0] = tree.put_directory(&shadows[above], name, 0o755)?;
            }
        }
        // Two that make them at once agree on one.
        self.shadows.get_or_init(|| shadows.into()).get(id.0).cloned().ok_or(Errno::IO)
    }

    /// A mount point, or something on the way to one.
    fn child(&self, place: &Place, name: &str) -> Option<PointId> {
        let point = &self.points[place.point?.0];
        point.find(name).ok().map(|index| point.children[index].1)
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
        if self.is_read_only(place.mount) { Err(Errno::ROFS) } else { Ok(()) }
    }

    fn is_read_only(&self, mount: MountId) -> bool {
        mount == SHADOWS || self.mounts[mount.0].read_only
    }

    /// Whether the single file mounted as `name` in `place` may not be written to.
    pub(crate) fn leaf_is_read_only(&self, place: &Place, name: &str) -> bool {
        let over = self.child(place, name).and_then(|id| self.points[id.0].mount);
        self.is_read_only(over.unwrap_or(place.mount))
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
