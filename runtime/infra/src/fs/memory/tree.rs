//! A whole tree: what its inodes have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::account::{Account, Payer, take_names};
use super::device::Device;
use super::dir::MemDir;
use super::file::MemLeaf;
use super::inode::{Attributes, DirNode, FileBody, FileNode, Head, LinkNode, Slot};
use super::lower::Lower;
use super::spool::Spool;
use super::{content::Content, lock, write};
use crate::budget::Budget;
use crate::fs::open_files::OpenFiles;
use crate::fs::{FsResult, MemLimits, Ownership};

/// Numbers of trees, as stat shows them. Those of the host are small in comparison.
static NEXT_DEV: AtomicU64 = AtomicU64::new(1 << 48);

/// What the inodes of one tree share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dev: u64,
    next_ino: AtomicU64,
    /// Held while directories move or go away: the way up from one stays what it is.
    pub(super) change: Mutex<()>,
    pub(super) account: Account,
    pub(super) store: Store,
    owner: Ownership,
}

/// Where the content of regular files lies.
#[derive(Debug)]
pub(super) enum Store {
    /// In memory.
    Memory,
    /// On disk, over an image.
    Root(RootStore),
}

/// Where the content of a container's root lies.
#[derive(Debug)]
pub(crate) struct RootStore {
    /// The image, if there is one.
    pub(crate) lower: Option<Lower>,
    /// What the container writes.
    pub(crate) spool: Spool,
    /// The descriptors of both that open files hold.
    pub(crate) files: Arc<OpenFiles>,
}

impl Shared {
    pub(super) fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// Of something new in a directory with these attributes.
    pub(super) fn attributes(&self, mode: u32, parent: &Attributes) -> Attributes {
        let gid = if parent.mode & SETGID == 0 { self.owner.gid } else { parent.gid };
        Attributes::new(mode, self.owner.uid, gid)
    }

    /// The image and the spool of a container's root.
    pub(super) fn root(&self) -> Option<&RootStore> {
        match &self.store {
            Store::Memory => None,
            Store::Root(root) => Some(root),
        }
    }
}

/// What is made in a directory with this bit gets its group.
pub(super) const SETGID: u32 = 0o2000;

/// A tree with its root directory. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MemTree {
    shared: Arc<Shared>,
    root: Arc<DirNode>,
}

impl MemTree {
    /// An empty tree whose content is in memory. `mode` is the root's.
    pub(crate) fn new(limits: MemLimits, owner: Ownership, mode: u32, budget: Arc<Budget>) -> Self {
        let mode = if owner.fs_group.is_some() { mode | SETGID | 0o770 } else { mode };
        let attributes = Attributes::new(mode, owner.uid, owner.fs_group.unwrap_or(owner.gid));
        Self::with(Store::Memory, attributes, owner, Account::new(limits, budget), None)
    }

    /// What shows directories that are nowhere: as large as the mount table makes it.
    pub(crate) fn shadows() -> Self {
        let limits = MemLimits { bytes: None, inodes: u64::MAX };
        Self::new(limits, Ownership::default(), 0o755, Budget::unlimited())
    }

    /// A container's root.
    pub(crate) fn over(store: RootStore, inodes: u64, budget: Arc<Budget>) -> FsResult<Self> {
        let account = Account::new(MemLimits { bytes: None, inodes }, budget);
        let (attributes, below) = match &store.lower {
            Some(lower) => (lower.stat("")?.attributes, Some(Box::from(""))),
            None => (Attributes::new(0o755, 0, 0), None),
        };
        Ok(Self::with(Store::Root(store), attributes, Ownership::default(), account, below))
    }

    fn with(store: Store, attributes: Attributes, owner: Ownership, account: Account, below: Option<Box<str>>) -> Self {
        let dev = NEXT_DEV.fetch_add(1, Ordering::Relaxed);
        let shared =
            Arc::new(Shared { dev, next_ino: AtomicU64::new(1), change: Mutex::new(()), account, store, owner });
        // The root is not charged: whoever makes a tree has decided to.
        let root = DirNode::root(Head::free(shared.clone(), attributes), below);
        Self { shared, root }
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> MemDir {
        MemDir(self.root.clone(), self.payer().clone())
    }

    fn payer(&self) -> &Payer {
        self.shared.account.payer()
    }

    /// Inodes that guests made.
    pub(crate) fn inodes(&self) -> u64 {
        self.shared.account.inodes()
    }

    /// Bytes of content in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.account.bytes()
    }

    /// What the root's content on disk is counted in.
    pub(crate) fn store(&self) -> Option<&RootStore> {
        self.shared.root()
    }

    /// Puts a file with content that nobody changes into `dir`, a directory of this tree.
    pub(crate) fn put_fixed(&self, dir: &MemDir, name: &str, mode: u32, bytes: Bytes) -> FsResult<()> {
        self.shared.account.take_memory(bytes.len() as u64)?;
        let len = bytes.len() as u64;
        let head = self.head(mode, dir).inspect_err(|_| self.shared.account.give_memory(len))?;
        // From here on the charge for the content belongs to the inode.
        dir.put(name, Slot::File(Arc::new(FileNode::new(head, FileBody::Fixed(bytes)))))
    }

    /// A directory of this tree that is to be put into `parent`.
    pub(crate) fn directory(&self, parent: &MemDir, mode: u32) -> FsResult<MemDir> {
        Ok(MemDir(DirNode::below(self.head(mode, parent)?, &parent.0), self.payer().clone()))
    }

    /// Puts a directory into `parent`.
    pub(crate) fn put_directory(&self, parent: &MemDir, name: &str, mode: u32) -> FsResult<MemDir> {
        let dir = self.directory(parent, mode)?;
        parent.put(name, Slot::Directory(dir.0.clone()))?;
        Ok(dir)
    }

    /// Puts a device into `dir`.
    pub(crate) fn put_device(&self, dir: &MemDir, name: &str, device: Device) -> FsResult<()> {
        dir.put(name, Slot::File(Arc::new(FileNode::new(self.head(0o666, dir)?, FileBody::Device(device)))))
    }

    /// A regular file that is in no directory. Its content is copied when somebody changes it.
    pub(crate) fn loose_file(&self, mode: u32, bytes: Bytes) -> FsResult<MemLeaf> {
        let head = self.head(mode, &self.root())?;
        let node = FileNode::new(head, FileBody::Regular(Content::Given(bytes).into()));
        Ok(MemLeaf(Arc::new(node), self.payer().clone()))
    }

    /// A link that is to be put into `parent`. If it points to a directory, it does so whatever that is called.
    pub(crate) fn link(&self, parent: &MemDir, target: &str, to: Option<&MemDir>) -> FsResult<Slot> {
        let head = self.head(0o777, parent)?;
        Ok(Slot::Symlink(LinkNode::charged(head, target, to.map(|dir| dir.0.clone()))?))
    }

    fn head(&self, mode: u32, parent: &MemDir) -> FsResult<Head> {
        let attributes = self.shared.attributes(mode, &lock(&parent.0.head.attributes));
        Head::charged(self.shared.clone(), attributes, self.payer())
    }

    /// Changes several names of `dir` in one step: nobody sees some of them changed and others not. What is removed
    /// lives on as long as somebody has it open.
    /// Either all of it is done, or nothing.
    pub(crate) fn swap(&self, dir: &MemDir, put: Vec<(Box<str>, Slot)>, remove: &[Box<str>]) -> FsResult<()> {
        let _change = lock(&self.shared.change);
        let mut gone = Vec::new();
        {
            let mut entries = write(&dir.0.state);
            // What can fail comes first: afterwards each name is paid for.
            let new = put.iter().filter(|(name, _)| !entries.names.contains_key(name));
            let (count, bytes) = new.fold((0, 0), |(count, bytes), (name, _)| (count + 1, bytes + name.len()));
            take_names(self.payer(), count, bytes)?;
            for (name, slot) in put {
                gone.extend(entries.insert_paid(self.payer(), name, slot));
            }
            for name in remove {
                gone.extend(entries.remove(name));
            }
            lock(&dir.0.head.attributes).touch();
        }
        // A large version may take a while to give back; nobody waits for it.
        drop(gone);
        Ok(())
    }
}
