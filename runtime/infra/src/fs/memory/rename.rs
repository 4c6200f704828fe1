//! Changes that concern more than one directory: rename, rmdir, link.

use std::sync::Arc;

use super::dir::MemDir;
use super::inode::{DirNode, Entries, Life, Slot};
use super::{lock, write};
use crate::fs::{Errno, FileKind, FsResult};

impl MemDir {
    pub(crate) fn remove_directory(&self, name: &str) -> FsResult<()> {
        let tree = &self.0.head.tree;
        let _change = lock(&tree.change);
        let mut entries = self.entries_mut()?;
        let Slot::Directory(child) = self.0.get_mut(&mut entries, name)? else { return Err(Errno::NOTDIR) };
        self.other(child).retire()?;
        entries.remove(name);
        lock(&self.0.head.attributes).touch();
        Ok(())
    }

    /// Removes an empty directory from the world: nothing can be put into it from now on. The tree's `change` is held.
    fn retire(&self) -> FsResult<()> {
        let mut entries = self.entries_mut()?;
        if !entries.names.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        entries.life = Life::Removed;
        Ok(())
    }

    pub(crate) fn rename(&self, from: &str, to_dir: &MemDir, to: &str) -> FsResult<()> {
        let tree = &self.0.head.tree;
        if !Arc::ptr_eq(tree, &to_dir.0.head.tree) {
            return Err(Errno::XDEV);
        }
        let _change = lock(&tree.change);
        // Files come and go without `change`: what is found may be something else when it is to be moved.
        while !self.try_rename(from, to_dir, to)? {}
        Ok(())
    }

    /// False if one of the names meanwhile stands for something else. The tree's `change` is held.
    fn try_rename(&self, from: &str, to_dir: &MemDir, to: &str) -> FsResult<bool> {
        // Both directories' images are read here, before two of them are locked.
        let slot = self.get(from)?;
        let old = match to_dir.get(to) {
            Err(Errno::NOENT) => None,
            old => Some(old?),
        };
        if let Slot::Directory(moved) = &slot
            && to_dir.is_in(moved)
        {
            return Err(Errno::INVAL);
        }
        if let Some(Slot::Directory(old)) = &old
            && self.is_in(old)
        {
            return Err(Errno::NOTEMPTY);
        }

        let mut source = write(&self.0.state);
        let mut target = if self.is_same(to_dir) { None } else { Some(write(&to_dir.0.state)) };
        if !is_at(&source, from, Some(&slot)) || !is_at(target.as_deref().unwrap_or(&source), to, old.as_ref()) {
            return Ok(false);
        }
        if let Some(old) = &old {
            match (&slot, old) {
                (slot, old) if is_same(slot, old) => return Ok(true),
                (Slot::Directory(_), Slot::Directory(old)) => self.other(old.clone()).retire()?,
                (Slot::Directory(_), _) => return Err(Errno::NOTDIR),
                (_, Slot::Directory(_)) => return Err(Errno::ISDIR),
                _ => {}
            }
        }
        let into = target.as_deref_mut().unwrap_or(&mut source);
        // What can fail comes first.
        let replaced = into.replace(&self.1, to, slot.clone())?;
        source.remove(from);
        if let Slot::Directory(moved) = &slot {
            write(&moved.state).parent = Arc::downgrade(&to_dir.0);
        }
        lock(&self.0.head.attributes).touch();
        lock(&to_dir.0.head.attributes).touch();
        drop((source, target));
        if let Some(head) = slot.head() {
            lock(&head.attributes).changed = std::time::SystemTime::now();
        }
        if let Some(head) = replaced.as_ref().and_then(Slot::head) {
            lock(&head.attributes).unlink();
        }
        Ok(true)
    }

    /// Whether it is `above`, or somewhere below that. The tree's `change` is held.
    fn is_in(&self, above: &Arc<DirNode>) -> bool {
        let mut dir = self.0.clone();
        loop {
            if Arc::ptr_eq(&dir, above) {
                return true;
            }
            let parent = super::read(&dir.state).parent.upgrade();
            match parent {
                Some(parent) if !Arc::ptr_eq(&parent, &dir) => dir = parent,
                _ => return false,
            }
        }
    }

    pub(crate) fn link(&self, from: &str, to_dir: &MemDir, to: &str) -> FsResult<()> {
        let tree = &self.0.head.tree;
        if !Arc::ptr_eq(tree, &to_dir.0.head.tree) {
            return Err(Errno::XDEV);
        }
        let slot = self.get(from)?;
        let mut entries = to_dir.entries_mut()?;
        if entries.names.contains_key(to) {
            return Err(Errno::EXIST);
        }
        if slot.kind() == FileKind::Directory {
            return Err(Errno::PERM);
        }
        let head = slot.head().ok_or(Errno::IO)?;
        {
            let mut attributes = lock(&head.attributes);
            // Its last name went away since.
            if attributes.links == 0 {
                return Err(Errno::NOENT);
            }
            attributes.links += 1;
            attributes.changed = std::time::SystemTime::now();
        }
        let put = entries.replace(&to_dir.1, to, slot.clone());
        drop(entries);
        match put {
            Ok(_) => lock(&to_dir.0.head.attributes).touch(),
            Err(_) => lock(&head.attributes).unlink(),
        }
        put.map(drop)
    }
}

/// Whether `name` still stands for `slot`, or for nothing.
fn is_at(entries: &Entries, name: &str, slot: Option<&Slot>) -> bool {
    match (entries.names.get(name), slot) {
        (Some(there), Some(slot)) => is_same(&there.slot, slot),
        (None, None) => true,
        _ => false,
    }
}

fn is_same(one: &Slot, other: &Slot) -> bool {
    match (one, other) {
        (Slot::Directory(one), Slot::Directory(other)) => Arc::ptr_eq(one, other),
        (Slot::File(one), Slot::File(other)) => Arc::ptr_eq(one, other),
        (Slot::Symlink(one), Slot::Symlink(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}
