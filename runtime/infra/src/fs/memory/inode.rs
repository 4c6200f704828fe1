//! Inodes: directories, files, links.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::SystemTime;

use bytes::Bytes;

use super::account::{Payer, charge, give_name, take_name};
use super::content::Content;
use super::device::Device;
use super::dir::MemDir;
use super::lock;
use super::tree::{RootStore, Shared};
use crate::fs::{Errno, FileKind, FsResult, SetTime, Stat};

/// What every inode has. Gives back what was charged for it when it goes.
pub(super) struct Head {
    pub(super) tree: Arc<Shared>,
    pub(super) ino: u64,
    pub(super) attributes: Mutex<Attributes>,
    /// Whom what belongs to the inode is charged to.
    payer: Payer,
    charge: Charge,
}

/// What was charged for an inode.
#[derive(Clone, Copy)]
enum Charge {
    None,
    /// It only shows what is in the image.
    Shown,
    Made,
}

/// What chmod, chown, link and time change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Names, but for directories.
    pub(super) links: u64,
    pub(super) accessed: SystemTime,
    pub(super) modified: SystemTime,
    pub(super) changed: SystemTime,
}

impl Attributes {
    pub(super) fn new(mode: u32, uid: u32, gid: u32) -> Self {
        let now = SystemTime::now();
        Self { mode, uid, gid, links: 1, accessed: now, modified: now, changed: now }
    }

    /// Its content changed.
    pub(super) fn touch(&mut self) {
        self.modified = SystemTime::now();
        self.changed = self.modified;
    }

    /// One name less.
    pub(super) fn unlink(&mut self) {
        self.links = self.links.saturating_sub(1);
        self.changed = SystemTime::now();
    }

    fn set_times(&mut self, accessed: SetTime, modified: SetTime) {
        let now = SystemTime::now();
        for (time, set) in [(&mut self.accessed, accessed), (&mut self.modified, modified)] {
            match set {
                SetTime::Keep => {}
                SetTime::Now => *time = now,
                SetTime::To(to) => *time = to,
            }
        }
        if (accessed, modified) != (SetTime::Keep, SetTime::Keep) {
            self.changed = now;
        }
    }
}

impl Head {
    /// One that nobody is charged for.
    pub(super) fn free(tree: Arc<Shared>, attributes: Attributes) -> Self {
        let payer = tree.account.payer().clone();
        Self::new(tree, attributes, payer, Charge::None)
    }

    /// One that is made, by `payer`.
    pub(super) fn charged(tree: Arc<Shared>, attributes: Attributes, payer: &Payer) -> FsResult<Self> {
        tree.account.take_inode(payer)?;
        Ok(Self::new(tree, attributes, payer.clone(), Charge::Made))
    }

    /// One that shows what is in the image, with the number that its name was given.
    pub(super) fn shown(tree: Arc<Shared>, attributes: Attributes, ino: u64) -> FsResult<Self> {
        tree.account.take_shown_inode()?;
        let payer = tree.account.payer().clone();
        Ok(Self { ino, attributes: Mutex::new(attributes), payer, charge: Charge::Shown, tree })
    }

    fn new(tree: Arc<Shared>, attributes: Attributes, payer: Payer, charge: Charge) -> Self {
        Self { ino: tree.next_ino(), attributes: Mutex::new(attributes), payer, charge, tree }
    }

    pub(super) fn stat(&self, kind: FileKind, size: u64, nlink: Option<u64>) -> Stat {
        let Attributes { mode, uid, gid, links, accessed, modified, changed } = *lock(&self.attributes);
        let nlink = nlink.unwrap_or(links);
        Stat { kind, dev: self.tree.dev, ino: self.ino, nlink, size, mode, uid, gid, accessed, modified, changed }
    }

    pub(super) fn set_times(&self, accessed: SetTime, modified: SetTime) {
        lock(&self.attributes).set_times(accessed, modified);
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        match self.charge {
            Charge::None => {}
            Charge::Shown => self.tree.account.give_shown_inode(),
            Charge::Made => self.tree.account.give_inode(&self.payer),
        }
    }
}

/// What a name stands for.
#[derive(Clone)]
pub(crate) enum Slot {
    Directory(Arc<DirNode>),
    File(Arc<FileNode>),
    Symlink(Arc<LinkNode>),
    /// Something of the image that nobody has looked at yet, except that it is there.
    Lower {
        kind: FileKind,
        ino: u64,
    },
}

impl Slot {
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::Directory(_) => FileKind::Directory,
            Self::File(file) => file.kind(),
            Self::Symlink(_) => FileKind::Symlink,
            Self::Lower { kind, .. } => *kind,
        }
    }

    /// Its number in the tree.
    pub(super) fn ino(&self) -> u64 {
        match self {
            Self::Lower { ino, .. } => *ino,
            slot => slot.head().map_or(0, |head| head.ino),
        }
    }

    /// None before anybody looked at it.
    pub(super) fn head(&self) -> Option<&Head> {
        match self {
            Self::Directory(dir) => Some(&dir.head),
            Self::File(file) => Some(&file.head),
            Self::Symlink(link) => Some(&link.head),
            Self::Lower { .. } => None,
        }
    }
}

impl From<&MemDir> for Slot {
    fn from(dir: &MemDir) -> Self {
        Self::Directory(dir.0.clone())
    }
}

/// What a name stands for, and who pays for the name: whoever gave it, which need not be who made what it stands for.
pub(super) struct Named {
    pub(super) slot: Slot,
    pub(super) payer: Payer,
}

/// A directory.
pub(crate) struct DirNode {
    pub(super) head: Head,
    pub(super) state: RwLock<Entries>,
}

/// What is in a directory.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) names: BTreeMap<Box<str>, Named>,
    /// Directories among them.
    pub(super) directories: u64,
    /// Where the directory is; itself for a root.
    pub(super) parent: Weak<DirNode>,
    pub(super) life: Life,
}

/// ```text
///   Below ──first look──► Loaded ──rmdir──► Removed
/// ```
#[derive(Default)]
pub(super) enum Life {
    /// `names` is all there is.
    #[default]
    Loaded,
    /// The image's directory of this path has not been read; `names` is empty.
    Below(Box<str>),
    /// Read from the image's directory of this path: `Slot::Lower`s are found there.
    LoadedFrom(Box<str>),
    /// Nothing can be put into it any more.
    Removed,
}

impl DirNode {
    pub(super) fn root(head: Head, below: Option<Box<str>>) -> Arc<Self> {
        let life = below.map_or(Life::Loaded, Life::Below);
        Arc::new_cyclic(|this| {
            let state = Entries { life, parent: this.clone(), ..Entries::default() };
            Self { head, state: RwLock::new(state) }
        })
    }

    /// An empty one, to be put into `parent`.
    pub(super) fn below(head: Head, parent: &Arc<DirNode>) -> Arc<Self> {
        Self::lower(head, parent, Life::Loaded)
    }

    pub(super) fn lower(head: Head, parent: &Arc<DirNode>, life: Life) -> Arc<Self> {
        let state = Entries { life, parent: Arc::downgrade(parent), ..Entries::default() };
        Arc::new(Self { head, state: RwLock::new(state) })
    }
}

impl Entries {
    /// Puts `slot` where nothing is, or in the place of what is given back.
    pub(super) fn replace(&mut self, payer: &Payer, name: &str, slot: Slot) -> FsResult<Option<Slot>> {
        if matches!(self.life, Life::Removed) {
            return Err(Errno::NOENT);
        }
        if !self.names.contains_key(name) {
            take_name(payer, name.len())?;
        }
        Ok(self.insert_paid(payer, name.into(), slot))
    }

    /// As [`Entries::replace`], when `payer` is charged for the name already if it is new.
    pub(super) fn insert_paid(&mut self, payer: &Payer, name: Box<str>, slot: Slot) -> Option<Slot> {
        let is_dir = |slot: &Slot| u64::from(slot.kind() == FileKind::Directory);
        self.directories += is_dir(&slot);
        let old = match self.names.get_mut(&name) {
            // The name stays, and so does who pays for it.
            Some(named) => Some(std::mem::replace(&mut named.slot, slot)),
            None => {
                self.names.insert(name, Named { slot, payer: payer.clone() });
                None
            }
        };
        self.directories -= old.as_ref().map_or(0, is_dir);
        old
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Slot> {
        let Named { slot, payer } = self.names.remove(name)?;
        give_name(&payer, name.len());
        if slot.kind() == FileKind::Directory {
            self.directories -= 1;
        }
        Some(slot)
    }
}

impl Drop for DirNode {
    /// Not by recursion: guests make trees as deep as they like.
    fn drop(&mut self) {
        let take =
            |dir: &mut DirNode| std::mem::take(&mut dir.state.get_mut().unwrap_or_else(PoisonError::into_inner).names);
        let mut pending = vec![take(self)];
        while let Some(names) = pending.pop() {
            for (name, Named { slot, payer }) in names {
                give_name(&payer, name.len());
                if let Slot::Directory(dir) = slot
                    && let Some(mut dir) = Arc::into_inner(dir)
                {
                    pending.push(take(&mut dir));
                }
            }
        }
    }
}

/// Anything that is neither directory nor link.
pub(crate) struct FileNode {
    pub(super) head: Head,
    pub(super) body: FileBody,
}

/// What a file is made of.
pub(super) enum FileBody {
    /// A regular file.
    Regular(RwLock<Content>),
    /// A regular file that nobody changes.
    Fixed(Bytes),
    /// A device that works.
    Device(Device),
    /// Something of an image that is only shown: a device, a pipe, a socket.
    Special(FileKind),
}

impl FileNode {
    pub(super) fn new(head: Head, body: FileBody) -> Self {
        Self { head, body }
    }

    /// Where its content lies, if that is not in memory.
    pub(super) fn on_disk(&self) -> Option<&RootStore> {
        match &self.body {
            FileBody::Regular(_) => self.head.tree.root(),
            FileBody::Fixed(_) | FileBody::Device(_) | FileBody::Special(_) => None,
        }
    }

    pub(super) fn kind(&self) -> FileKind {
        match &self.body {
            FileBody::Regular(_) | FileBody::Fixed(_) => FileKind::File,
            FileBody::Device(_) => FileKind::CharDevice,
            FileBody::Special(kind) => *kind,
        }
    }
}

impl Drop for FileNode {
    fn drop(&mut self) {
        match &mut self.body {
            FileBody::Regular(content) => {
                content.get_mut().unwrap_or_else(PoisonError::into_inner).release(&self.head.tree);
            }
            FileBody::Fixed(bytes) => self.head.tree.account.give_memory(bytes.len() as u64),
            FileBody::Device(_) | FileBody::Special(_) => {}
        }
    }
}

/// A symbolic link.
pub(crate) struct LinkNode {
    pub(super) head: Head,
    pub(super) target: Arc<str>,
    /// The directory that it points to, whatever happens to the directory's name. Whoever goes through the link while it
    /// is replaced gets there.
    pub(super) to: Option<Arc<DirNode>>,
}

impl LinkNode {
    pub(super) fn charged(head: Head, target: &str, to: Option<Arc<DirNode>>) -> FsResult<Arc<Self>> {
        charge(&head.payer, target.len() as u64)?;
        Ok(Arc::new(Self { head, target: target.into(), to }))
    }
}

impl Drop for LinkNode {
    fn drop(&mut self) {
        self.head.payer.release(self.target.len() as u64);
    }
}

// Neither what is below nor content, which may be secret.
macro_rules! debug {
    ($($type:ident)*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({}:{})"), self.head.tree.dev, self.head.ino)
            }
        }
    )*};
}
debug!(DirNode FileNode LinkNode);
