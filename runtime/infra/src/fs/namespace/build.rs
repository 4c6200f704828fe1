//! Makes a namespace out of a root and what is mounted over it.
//!
//! Mount points are found as the container would find them: links are taken, within the container. Those above others
//! come first, whatever the order they are given in. Missing directories on the way are made in the container's root,
//! so that the container can use them as on Linux; in volumes nothing is made.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{Mount, MountId, MountNamespace, NamespaceError, Place, Point, PointId, ROOT, Root, Step};
use crate::budget::Budget;
use crate::fs::memory::{Device, MemDir, MemTree, PAGE};
use crate::fs::node::{Dir, Leaf};
use crate::fs::tree::Tree;
use crate::fs::{Errno, FsResult, MemLimits, Ownership};

/// As Linux's limit on links in one path.
const MAX_LINKS: u32 = 40;
/// Bytes of `/dev/shm`, as container runtimes make it.
const SHM: u64 = 64 << 20;
/// Bytes that a container may make of a managed file.
const MANAGED: u64 = 1 << 20;

/// Makes a [`MountNamespace`].
#[derive(Debug)]
pub struct NamespaceBuilder {
    root: Tree,
    read_only: bool,
    mounts: Vec<Pending>,
    directories: Vec<String>,
    payer: Option<Arc<Budget>>,
}

/// What is to be mounted.
#[derive(Debug)]
struct Pending {
    path: String,
    what: What,
    read_only: bool,
}

enum What {
    Tree { tree: Tree, sub_path: Option<String> },
    File(Bytes),
    Devices,
    Memory(Arc<Budget>),
}

// Managed files are not secret, but long.
impl std::fmt::Debug for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tree { .. } => "Tree",
            Self::File(_) => "File",
            Self::Devices => "Devices",
            Self::Memory(_) => "Memory",
        })
    }
}

impl NamespaceBuilder {
    /// With `tree` at `/`.
    #[must_use]
    pub fn new(tree: Tree, read_only: bool) -> Self {
        Self { root: tree, read_only, mounts: Vec::new(), directories: Vec::new(), payer: None }
    }

    /// Charges what the container writes into any tree in memory, and was not there, to `payer`; without it, each tree
    /// is charged to its own budget.
    #[must_use]
    pub fn paid_by(mut self, payer: Arc<Budget>) -> Self {
        self.payer = Some(payer);
        self
    }

    /// Mounts `tree`, or the part of it that `sub_path` names, at an absolute path. Of two at the same path the later
    /// one is seen. A subPath that is missing is made, as a directory, also if the mount is read-only, but not in a [`Tree::read_only`].
    #[must_use]
    pub fn mount(self, path: &str, tree: Tree, sub_path: Option<&str>, read_only: bool) -> Self {
        self.with(path, What::Tree { tree, sub_path: sub_path.map(str::to_owned) }, read_only)
    }

    /// A file of the runtime's own, such as `/etc/hosts`. The container may write to it, as it may to the kubelet's, up to
    /// 1 MiB, and nobody else sees that.
    #[must_use]
    pub fn managed_file(self, path: &str, content: impl Into<Bytes>) -> Self {
        self.with(path, What::File(content.into()), false)
    }

    /// `/dev` with its devices.
    #[must_use]
    pub fn devices(self) -> Self {
        self.with("/dev", What::Devices, true)
    }

    /// `/dev/shm`: 64 MiB of memory, charged to `budget`.
    #[must_use]
    pub fn shared_memory(self, budget: Arc<Budget>) -> Self {
        self.with("/dev/shm", What::Memory(budget), false)
    }

    /// A directory that has to be there, such as the working directory. Made in the root if it is missing.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.directories.push(path.to_owned());
        self
    }

    fn with(mut self, path: &str, what: What, read_only: bool) -> Self {
        self.mounts.push(Pending { path: path.to_owned(), what, read_only });
        self
    }

    /// Mounts everything, and makes `/tmp` if there is none.
    ///
    /// # Errors
    /// The first mount that cannot be, with its path.
    pub fn build(mut self) -> Result<Arc<MountNamespace>, NamespaceError> {
        let mine = |root: Root| match &self.payer {
            Some(payer) => root.paid_by(payer),
            None => root,
        };
        let Root::Directory(root) = mine(self.root.root_of()) else {
            return Err(NamespaceError::BadPath { path: "/".into(), reason: "the root must be a directory" });
        };
        let mut namespace = MountNamespace::of(root, self.read_only || self.root.is_read_only());
        namespace.root = self.root.own().cloned();
        // Stable: of two at the same path the later one lies over the other.
        self.mounts.sort_by_key(|pending| pending.path.split('/').filter(|name| !name.is_empty()).count());
        for pending in self.mounts {
            let Pending { path, what, read_only } = pending;
            let read_only = read_only || matches!(&what, What::Tree { tree, .. } if tree.is_read_only());
            let root = mine(what.root(&path)?);
            namespace.add(&path, Mount { root, read_only })?;
        }
        for path in &self.directories {
            let names = namespace.locate(path)?;
            namespace.make(&names, 0o755).map_err(|source| NamespaceError::Point { path: path.clone(), source })?;
        }
        let tmp = namespace.locate("/tmp")?;
        namespace.make(&tmp, 0o1777).map_err(|source| NamespaceError::Point { path: "/tmp".into(), source })?;
        Ok(Arc::new(namespace))
    }
}

impl What {
    fn root(self, path: &str) -> Result<Root, NamespaceError> {
        let point = |source| NamespaceError::Point { path: path.to_owned(), source };
        match self {
            Self::Tree { tree, sub_path: None } => Ok(tree.root_of()),
            Self::Tree { tree, sub_path: Some(sub_path) } => match tree.make_sub_path(&sub_path) {
                Ok(part) => Ok(part.root_of()),
                Err(source) => Err(NamespaceError::SubPath { path: path.to_owned(), sub_path, source }),
            },
            Self::File(content) => {
                let limits = MemLimits { bytes: Some(MANAGED.max(content.len() as u64 + PAGE)), inodes: 1 };
                let tree = MemTree::new(limits, Ownership::default(), 0o755, Budget::unlimited());
                Ok(Root::Leaf(Leaf::Memory(tree.loose_file(0o644, content).map_err(point)?)))
            }
            Self::Devices => devices().map_err(point),
            Self::Memory(budget) => {
                // A page each, so that empty files are bounded like full ones.
                let limits = MemLimits { bytes: Some(SHM), inodes: SHM / PAGE };
                Ok(directory(&MemTree::new(limits, Ownership::default(), 0o1777, budget)))
            }
        }
    }
}

fn directory(tree: &MemTree) -> Root {
    Root::Directory(Dir::Memory(tree.root()))
}

/// The devices, which are the same for all containers: nobody can change anything there.
fn devices() -> FsResult<Root> {
    static DEVICES: OnceLock<MemTree> = OnceLock::new();
    if let Some(tree) = DEVICES.get() {
        return Ok(directory(tree));
    }
    let tree = MemTree::shadows();
    for (name, device) in Device::ALL {
        tree.put_device(&tree.root(), name, device)?;
    }
    Ok(directory(DEVICES.get_or_init(|| tree)))
}

impl MountNamespace {
    /// Lies `mount` over `path`.
    fn add(&mut self, path: &str, mount: Mount) -> Result<(), NamespaceError> {
        let names = self.locate(path)?;
        let Some((_, parents)) = names.split_last() else {
            return Err(NamespaceError::BadPath { path: path.to_owned(), reason: "that is the container's root" });
        };
        let failed = |source| NamespaceError::Point { path: path.to_owned(), source };
        self.make(parents, 0o755).map_err(failed)?;
        let mut id = PointId(0);
        for name in &names {
            id = self.point(id, name);
        }
        self.points[id.0].mount = Some(MountId(self.mounts.len()));
        self.mounts.push(mount);
        Ok(())
    }

    /// The point `name` below another.
    fn point(&mut self, parent: PointId, name: &str) -> PointId {
        let place = match self.points[parent.0].find(name) {
            Ok(index) => return self.points[parent.0].children[index].1,
            Err(index) => index,
        };
        let id = PointId(self.points.len());
        self.points.push(Point { children: Vec::new(), mount: None });
        self.points[parent.0].children.insert(place, (name.into(), id));
        // Those that were looked at meanwhile do not have it.
        self.shadows.take();
        id
    }

    /// The names that lead to `path` once all links are taken, whether they are there or not.
    fn locate(&self, path: &str) -> Result<Vec<Box<str>>, NamespaceError> {
        let bad = |reason| NamespaceError::BadPath { path: path.to_owned(), reason };
        if !path.starts_with('/') {
            return Err(bad("the path must be absolute"));
        }
        if path.contains('\0') || path.len() >= 4096 || path.split('/').any(|name| name.len() > 255) {
            return Err(bad("the path is too long or has a NUL in it"));
        }
        let mut pending: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut found: Vec<(Box<str>, Option<Place>)> = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    found.pop();
                    continue;
                }
                _ => {}
            }
            let here = found.last().map_or(Some(&self.top().place), |(_, place)| place.as_ref());
            match here.map(|place| self.step(place, &name)) {
                Some(Ok(Step::Directory(place))) => found.push((name.into(), Some(place))),
                Some(Ok(Step::Symlink(target))) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(bad("there are too many links on the way"));
                    }
                    if target.starts_with('/') {
                        found.clear();
                    }
                    for name in target.split('/').rev() {
                        pending.push_front(name.to_owned());
                    }
                }
                Some(Ok(Step::Leaf(_))) if pending.iter().any(|name| !name.is_empty() && name != ".") => {
                    return Err(bad("there is a file on the way"));
                }
                // A file is fine to be mounted over.
                Some(Ok(Step::Leaf(_))) | None => found.push((name.into(), None)),
                Some(Err(Errno::NOENT)) => found.push((name.into(), None)),
                Some(Err(source)) => return Err(NamespaceError::Point { path: path.to_owned(), source }),
            }
        }
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    /// Makes the directories that `names`, which are no links, lead through, where they are in the container's own root.
    /// The last one gets `mode`.
    fn make(&self, names: &[Box<str>], mode: u32) -> FsResult<()> {
        let mut place = self.top().place.clone();
        for (index, name) in names.iter().enumerate() {
            let missing = match self.step(&place, name) {
                Ok(Step::Directory(next)) => {
                    place = next;
                    continue;
                }
                Ok(_) => return Ok(()),
                Err(Errno::NOENT) => place,
                Err(error) => return Err(error),
            };
            let (Some(root), Dir::Memory(dir), ROOT) = (&self.root, &missing.dir, missing.mount) else { return Ok(()) };
            let mode = if index + 1 == names.len() { mode } else { 0o755 };
            let made: MemDir = root.put_directory(dir, name, mode)?;
            place = missing.below(Dir::Memory(made));
        }
        Ok(())
    }
}
