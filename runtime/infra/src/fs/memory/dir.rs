//! A directory: what is done in one step within it.

use std::sync::{Arc, RwLockReadGuard, RwLockWriteGuard};

use super::account::{Payer, take_names};
use super::content::Content;
use super::file::{MemFile, MemLeaf};
use super::inode::{DirNode, Entries, FileBody, FileNode, Head, Life, LinkNode, Named, Slot};
use super::listing::MemListing;
use super::{lock, read, write};
use crate::fs::node::{Dir, File, Found, Leaf, OpenNode, Opened};
use crate::fs::{Errno, FileKind, FsResult, SetTime, Stat};

/// A directory of a tree of ours, as somebody sees it who pays for what is made in it.
#[derive(Clone, Debug)]
pub(crate) struct MemDir(pub(super) Arc<DirNode>, pub(super) Payer);

impl MemDir {
    /// The same directory for somebody else. What is found from it is theirs to pay for, too.
    pub(crate) fn paid_by(&self, payer: &Payer) -> Self {
        Self(self.0.clone(), payer.clone())
    }

    /// Another directory of the tree, for the same payer.
    pub(super) fn other(&self, dir: Arc<DirNode>) -> Self {
        Self(dir, self.1.clone())
    }

    /// The entries, read from the image if they have not been.
    pub(super) fn entries(&self) -> FsResult<RwLockReadGuard<'_, Entries>> {
        let entries = read(&self.0.state);
        if !matches!(entries.life, Life::Below(_)) {
            return Ok(entries);
        }
        drop(entries);
        drop(self.entries_mut()?);
        Ok(read(&self.0.state))
    }

    /// As [`MemDir::entries`], to be changed.
    pub(super) fn entries_mut(&self) -> FsResult<RwLockWriteGuard<'_, Entries>> {
        let mut entries = write(&self.0.state);
        self.0.load(&mut entries)?;
        Ok(entries)
    }

    /// What `name` stands for; never `Slot::Lower`.
    pub(super) fn get(&self, name: &str) -> FsResult<Slot> {
        match &self.entries()?.names.get(name).ok_or(Errno::NOENT)?.slot {
            Slot::Lower { .. } => {}
            slot => return Ok(slot.clone()),
        }
        self.0.get_mut(&mut *self.entries_mut()?, name)
    }

    pub(crate) fn lookup(&self, name: &str) -> FsResult<Found> {
        Ok(match self.get(name)? {
            Slot::Directory(dir) => Found::Directory(Dir::Memory(self.other(dir))),
            Slot::Symlink(link) => match &link.to {
                Some(dir) => Found::Directory(Dir::Memory(self.other(dir.clone()))),
                None => Found::Symlink(link.target.clone()),
            },
            Slot::File(file) => Found::Leaf(Leaf::Memory(MemLeaf(file, self.1.clone()))),
            Slot::Lower { .. } => return Err(Errno::IO),
        })
    }

    pub(crate) fn open(&self, name: &str, how: OpenNode) -> FsResult<Opened> {
        let slot = match self.get(name) {
            Err(Errno::NOENT) if how.create => match self.create_file(name)? {
                Created::New(file) => return Ok(Opened::File(File::Memory(file))),
                Created::Already(slot) => slot,
            },
            slot => slot?,
        };
        if how.create && how.exclusive {
            return Err(Errno::EXIST);
        }
        match slot {
            Slot::Symlink(link) => Ok(Opened::Symlink(link.target.clone())),
            Slot::Directory(_) if how.write || how.truncate || how.create => Err(Errno::ISDIR),
            Slot::Directory(dir) => Ok(Opened::Directory(Dir::Memory(self.other(dir)))),
            Slot::File(_) if how.directory => Err(Errno::NOTDIR),
            Slot::File(file) => Ok(Opened::File(File::Memory(MemLeaf(file, self.1.clone()).open(how)?))),
            Slot::Lower { .. } => Err(Errno::IO),
        }
    }

    fn create_file(&self, name: &str) -> FsResult<Created> {
        let tree = &self.0.head.tree;
        let mut entries = self.entries_mut()?;
        // Somebody may have been faster.
        if entries.names.contains_key(name) {
            return Ok(Created::Already(self.0.get_mut(&mut entries, name)?));
        }
        let attributes = tree.attributes(0o644, &lock(&self.0.head.attributes));
        let head = Head::charged(tree.clone(), attributes, &self.1)?;
        let file = Arc::new(FileNode::new(head, FileBody::Regular(Content::new(tree).into())));
        let open = MemFile::new(file.clone(), &self.1)?;
        self.put_new(&mut entries, name, Slot::File(file))?;
        Ok(Created::New(open))
    }

    /// Puts something new where nothing may be.
    fn put_new(&self, entries: &mut Entries, name: &str, slot: Slot) -> FsResult<()> {
        if entries.names.contains_key(name) {
            return Err(Errno::EXIST);
        }
        entries.replace(&self.1, name, slot)?;
        lock(&self.0.head.attributes).touch();
        Ok(())
    }

    /// Puts `slot`, which belongs to the same tree, where nothing may be.
    pub(crate) fn put(&self, name: &str, slot: Slot) -> FsResult<()> {
        self.put_new(&mut *self.entries_mut()?, name, slot)
    }

    pub(crate) fn stat(&self) -> FsResult<Stat> {
        let entries = self.entries()?;
        let links = if matches!(entries.life, Life::Removed) { 0 } else { 2 + entries.directories };
        // As a tmpfs: 20 bytes for each entry.
        let size = 20 * (2 + entries.names.len() as u64);
        Ok(self.0.head.stat(FileKind::Directory, size, Some(links)))
    }

    pub(crate) fn stat_name(&self, name: &str) -> FsResult<Stat> {
        match self.get(name)? {
            Slot::Directory(dir) => self.other(dir).stat(),
            Slot::File(file) => MemLeaf(file, self.1.clone()).stat(),
            Slot::Symlink(link) => Ok(link.head.stat(FileKind::Symlink, link.target.len() as u64, None)),
            Slot::Lower { .. } => Err(Errno::IO),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the host's may fail")]
    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        self.0.head.set_times(accessed, modified);
        Ok(())
    }

    pub(crate) fn set_times_name(&self, name: &str, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        let slot = self.get(name)?;
        slot.head().ok_or(Errno::IO)?.set_times(accessed, modified);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the host's has something to write")]
    pub(crate) fn sync(&self) -> FsResult<()> {
        Ok(())
    }

    pub(crate) fn create_directory(&self, name: &str) -> FsResult<()> {
        let tree = &self.0.head.tree;
        let mut entries = self.entries_mut()?;
        let parent = *lock(&self.0.head.attributes);
        if entries.names.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let mode = 0o755 | (parent.mode & super::tree::SETGID);
        let head = Head::charged(tree.clone(), tree.attributes(mode, &parent), &self.1)?;
        let child = DirNode::below(head, &self.0);
        self.put_new(&mut entries, name, Slot::Directory(child))
    }

    pub(crate) fn symlink(&self, target: &str, name: &str) -> FsResult<()> {
        let tree = &self.0.head.tree;
        let mut entries = self.entries_mut()?;
        if entries.names.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let attributes = tree.attributes(0o777, &lock(&self.0.head.attributes));
        let link = LinkNode::charged(Head::charged(tree.clone(), attributes, &self.1)?, target, None)?;
        self.put_new(&mut entries, name, Slot::Symlink(link))
    }

    pub(crate) fn readlink(&self, name: &str) -> FsResult<Arc<str>> {
        match self.get(name)? {
            Slot::Symlink(link) => Ok(link.target.clone()),
            _ => Err(Errno::INVAL),
        }
    }

    pub(crate) fn unlink(&self, name: &str) -> FsResult<()> {
        let mut entries = self.entries_mut()?;
        if entries.names.get(name).ok_or(Errno::NOENT)?.slot.kind() == FileKind::Directory {
            return Err(Errno::ISDIR);
        }
        let gone = entries.remove(name);
        lock(&self.0.head.attributes).touch();
        drop(entries);
        // It may be the last of it, which takes time.
        if let Some(head) = gone.as_ref().and_then(Slot::head) {
            lock(&head.attributes).unlink();
        }
        Ok(())
    }

    pub(crate) fn list(&self) -> MemListing {
        MemListing::new(self.clone())
    }

    pub(crate) fn is_same(&self, other: &MemDir) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn on_disk(&self) -> bool {
        self.0.head.tree.root().is_some()
    }
}

/// What came of making a file.
enum Created {
    New(MemFile),
    Already(Slot),
}

impl DirNode {
    /// Reads the names from the image, if that is still to be done.
    fn load(&self, entries: &mut Entries) -> FsResult<()> {
        let Life::Below(path) = &entries.life else { return Ok(()) };
        let lower = self.head.tree.root().and_then(|root| root.lower.as_ref()).ok_or(Errno::IO)?;
        let payer = self.head.tree.account.payer();
        let names = lower.list(path)?;
        let bytes = names.iter().map(|(name, _)| name.len()).sum();
        // All or none: a directory is never half read.
        take_names(payer, names.len(), bytes)?;
        entries.directories = names.iter().filter(|(_, kind)| *kind == FileKind::Directory).count() as u64;
        let slot = |kind| Slot::Lower { kind, ino: self.head.tree.next_ino() };
        let named = |kind| Named { slot: slot(kind), payer: payer.clone() };
        entries.names = names.into_iter().map(|(name, kind)| (name, named(kind))).collect();
        entries.life = Life::LoadedFrom(path.clone());
        Ok(())
    }

    /// What `name` stands for, with an inode for what is in the image.
    pub(super) fn get_mut(self: &Arc<Self>, entries: &mut Entries, name: &str) -> FsResult<Slot> {
        let slot = &mut entries.names.get_mut(name).ok_or(Errno::NOENT)?.slot;
        if let Slot::Lower { ino, .. } = *slot {
            let Life::LoadedFrom(dir) = &entries.life else { return Err(Errno::IO) };
            *slot = self.show(dir, name, ino)?;
        }
        Ok(slot.clone())
    }

    /// An inode for `name` of the image's directory `dir`.
    fn show(self: &Arc<Self>, dir: &str, name: &str, ino: u64) -> FsResult<Slot> {
        let tree = &self.head.tree;
        let lower = tree.root().and_then(|root| root.lower.as_ref()).ok_or(Errno::IO)?;
        let path: Box<str> = if dir.is_empty() { name.into() } else { format!("{dir}/{name}").into() };
        let found = lower.stat(&path)?;
        let head = Head::shown(tree.clone(), found.attributes, ino)?;
        Ok(match found.kind {
            FileKind::Directory => Slot::Directory(DirNode::lower(head, self, Life::Below(path))),
            FileKind::Symlink => Slot::Symlink(LinkNode::charged(head, &lower.readlink(&path)?, None)?),
            FileKind::File => {
                let content = Content::lower(tree, path, found.size)?;
                Slot::File(Arc::new(FileNode::new(head, FileBody::Regular(content.into()))))
            }
            kind => Slot::File(Arc::new(FileNode::new(head, FileBody::Special(kind)))),
        })
    }
}
