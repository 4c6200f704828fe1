//! A whole tree: what its inodes have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::account::Account;
use super::device::Device;
use super::dir::MemDir;
use super::file::MemLeaf;
use super::inode::{Attributes, DirNode, FileBody, FileNode, Head, LinkNode, Slot};
use super::lower::Lower;
use super::spool::Spool;
use super::{content::Content, lock, write};
use crate::budget::Budget;
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

    /// A container's root.
    pub(crate) fn over(store: RootStore, inodes: u64, budget: Arc<Budget>) -> FsResult<Self> {
        let account = Account::new(MemLimits { bytes: None, inodes }, budget);
        let (attributes, below) = match &store.lower {
            Some(lower) => (lower.stat("")?.attributes, Some(Box::from(""))),
            None => (Attributes::new(0o755, 0, 0), None),
        };
        Ok(Self::with(Store::Root(store), attributes, Ownership::default(), account, below))
    }

    fn with(
        store: Store,
        attributes: Attributes,
        owner: Ownership,
        account: Account,
        below: Option<Box<str>>,
    ) -> Self {
        let dev = NEXT_DEV.fetch_add(1, Ordering::Relaxed);
        let shared =
            Arc::new(Shared { dev, next_ino: AtomicU64::new(1), change: Mutex::new(()), account, store, owner });
        // The root is not charged: whoever makes a tree has decided to.
        let root = DirNode::root(Head::free(shared.clone(), attributes), below);
        Self { shared, root }
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> MemDir {
        MemDir(self.root.clone())
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
    pub(crate) fn put_fixed(&self, dir: &MemDir, name: &str, mode: u32, gid: u32, bytes: Bytes) -> FsResult<()> {
        self.shared.account.take_memory(bytes.len() as u64)?;
        let mut attributes = self.shared.attributes(mode, &Attributes::new(0, 0, 0));
        attributes.gid = gid;
        // From here on the content's charge belongs to the inode.
        let head = Head::charged(self.shared.clone(), attributes);
        let fixed = FileBody::Fixed(bytes);
        match head {
            Ok(head) => dir.put(name, Slot::File(Arc::new(FileNode::new(head, fixed)))),
            Err(error) => {
                self.shared.account.give_memory(bytes_len(&fixed));
                Err(error)
            }
        }
    }

    /// Puts a directory into `dir`.
    pub(crate) fn put_directory(&self, dir: &MemDir, name: &str, mode: u32, gid: u32) -> FsResult<MemDir> {
        let mut attributes = self.shared.attributes(mode, &Attributes::new(0, 0, 0));
        attributes.gid = gid;
        let child = DirNode::below(Head::charged(self.shared.clone(), attributes)?, &dir.0);
        dir.put(name, Slot::Directory(child.clone()))?;
        Ok(MemDir(child))
    }

    /// Puts a device into `dir`.
    pub(crate) fn put_device(&self, dir: &MemDir, name: &str, device: Device) -> FsResult<()> {
        let head = Head::charged(self.shared.clone(), Attributes::new(0o666, 0, 0))?;
        dir.put(name, Slot::File(Arc::new(FileNode::new(head, FileBody::Device(device)))))
    }

    /// A regular file that is in no directory.
    pub(crate) fn loose_file(&self, mode: u32, bytes: &[u8]) -> FsResult<MemLeaf> {
        let head = Head::charged(self.shared.clone(), Attributes::new(mode, 0, 0))?;
        let node = FileNode::new(head, FileBody::Regular(Content::new(&self.shared).into()));
        let leaf = MemLeaf(Arc::new(node));
        leaf.fill(bytes)?;
        Ok(leaf)
    }

    /// A link, to be put somewhere.
    pub(crate) fn link(&self, target: &str, gid: u32) -> FsResult<Slot> {
        let mut attributes = Attributes::new(0o777, 0, 0);
        attributes.gid = gid;
        Ok(Slot::Symlink(LinkNode::charged(Head::charged(self.shared.clone(), attributes)?, target)?))
    }

    /// Changes several names of `dir` in one step: nobody sees some of them changed and others not. What is removed
    /// lives on as long as somebody has it open.
    pub(crate) fn swap(&self, dir: &MemDir, put: Vec<(Box<str>, Slot)>, remove: &[Box<str>]) -> FsResult<()> {
        let _change = lock(&self.shared.change);
        let mut gone = Vec::new();
        {
            let mut entries = write(&dir.0.state);
            for (name, slot) in put {
                gone.extend(entries.replace(&self.shared.account, name, slot)?);
            }
            for name in remove {
                gone.extend(entries.remove(&self.shared.account, name));
            }
            lock(&dir.0.head.attributes).touch();
        }
        // A large version may take a while to give back; nobody waits for it.
        drop(gone);
        Ok(())
    }
}

fn bytes_len(body: &FileBody) -> u64 {
    match body {
        FileBody::Fixed(bytes) => bytes.len() as u64,
        _ => 0,
    }
}
