//! Directories of the host.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::count::file_id;
use super::file::{HostFile, HostLeaf};
use super::listing::HostListing;
use super::quota::DiskQuota;
use super::stat;
use super::sys;
use crate::fs::node::{Dir, File, Found, Leaf, OpenNode, Opened};
use crate::fs::open_files::{OpenFiles, Slot};
use crate::fs::{FileKind, FsResult, SetTime, Stat};

/// How often making a file is tried when it comes and goes meanwhile.
const TRIES: usize = 16;

/// What all directories and files of one tree share.
#[derive(Debug)]
struct HostTree {
    quota: Option<Arc<DiskQuota>>,
    files: Arc<OpenFiles>,
}

/// A descriptor's place in its tree.
#[derive(Debug)]
pub(super) struct Held {
    tree: Arc<HostTree>,
    _slot: Slot,
}

impl Held {
    /// The first one of a new tree.
    pub(super) fn first(quota: Option<Arc<DiskQuota>>) -> FsResult<Self> {
        let files = OpenFiles::new();
        let _slot = files.take()?;
        Ok(Self { tree: Arc::new(HostTree { quota, files }), _slot })
    }

    /// Another one of the same tree.
    pub(super) fn another(&self) -> FsResult<Self> {
        let _slot = self.tree.files.take()?;
        Ok(Self { tree: Arc::clone(&self.tree), _slot })
    }

    /// How many the tree may hold.
    #[cfg(test)]
    pub(super) fn most(&self) -> usize {
        self.tree.files.most()
    }

    pub(super) fn quota(&self) -> Option<&DiskQuota> {
        self.tree.quota.as_deref()
    }

    /// Something was removed or cut.
    pub(super) fn freed(&self) {
        if let Some(quota) = self.quota() {
            quota.freed();
        }
    }
}

/// A directory, held open.
#[derive(Clone, Debug)]
pub(crate) struct HostDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `O_PATH`.
    fd: OwnedFd,
    /// Device and inode.
    id: (u64, u64),
    held: Held,
}

/// What was found under a name.
enum Located {
    Directory(HostDir),
    Symlink(Arc<str>),
    Leaf(HostLeaf),
}

impl HostDir {
    /// The tree of a directory; `O_PATH` will do. What is written into it counts against `quota`.
    ///
    /// # Errors
    /// `ENOTDIR`; `EACCES` for a directory of procfs.
    pub(crate) fn new(fd: OwnedFd, quota: Option<Arc<DiskQuota>>) -> FsResult<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        if stat::kind(stat.st_mode) != FileKind::Directory {
            return Err(Errno::NOTDIR);
        }
        if sys::is_proc(&fd)? {
            return Err(Errno::ACCESS);
        }
        Ok(Self(Arc::new(Inner { fd, id: file_id(&stat), held: Held::first(quota)? })))
    }

    /// How many descriptors its tree may hold.
    #[cfg(test)]
    pub(super) fn most(&self) -> usize {
        self.0.held.most()
    }

    /// What is below this directory, where `locate` finds it.
    fn locate(&self, locate: impl FnOnce(&OwnedFd) -> FsResult<OwnedFd>) -> FsResult<Located> {
        let held = self.0.held.another()?;
        let fd = locate(&self.0.fd)?;
        let found = rustix::fs::fstat(&fd)?;
        sys::check_crossing(self.0.id.0, &found, &fd)?;
        let id = file_id(&found);
        Ok(match stat::kind(found.st_mode) {
            FileKind::Directory => Located::Directory(Self(Arc::new(Inner { fd, id, held }))),
            FileKind::Symlink => Located::Symlink(target(&fd, "")?),
            kind => Located::Leaf(HostLeaf::located(fd, kind, id, held)),
        })
    }

    /// What `name` is. For a component on the way.
    pub(crate) fn lookup(&self, name: &str) -> FsResult<Found> {
        Ok(match self.locate(|dir| sys::locate(dir, name))? {
            Located::Directory(dir) => Found::Directory(Dir::Host(dir)),
            Located::Symlink(target) => Found::Symlink(target),
            Located::Leaf(leaf) => Found::Leaf(Leaf::Host(leaf)),
        })
    }

    /// Opens `name`. A link is given back, whatever `how` says (EEXIST if exclusive).
    pub(crate) fn open(&self, name: &str, how: OpenNode) -> FsResult<Opened> {
        if how.create && how.exclusive {
            return self.create(name, how).map(|file| Opened::File(File::Host(file)));
        }
        for _ in 0..TRIES {
            match self.locate(|dir| sys::locate(dir, name)) {
                Ok(found) => return open_located(found, how),
                Err(Errno::NOENT) if how.create => {}
                Err(error) => return Err(error),
            }
            match self.create(name, how) {
                Ok(file) => return Ok(Opened::File(File::Host(file))),
                // Somebody else made it meanwhile.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::AGAIN)
    }

    /// Makes a file where there is nothing, and opens it.
    fn create(&self, name: &str, how: OpenNode) -> FsResult<HostFile> {
        let access = match (how.read, how.write) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        };
        let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = self.0.held.another()?;
        self.making(false, || {
            let fd = rustix::fs::openat(&self.0.fd, name, flags, Mode::from_raw_mode(0o666))?;
            HostFile::made(fd, held)
        })
    }

    /// Makes something that counts as an inode.
    fn making<T>(&self, block: bool, make: impl FnOnce() -> FsResult<T>) -> FsResult<T> {
        let Some(quota) = self.0.held.quota() else { return make() };
        quota.reserve_inode(block)?;
        let made = make();
        match &made {
            Ok(_) => quota.named(),
            Err(_) => quota.release_inode(block),
        }
        made
    }

    /// Another name was made for something.
    fn named(&self) {
        if let Some(quota) = self.0.held.quota() {
            quota.named();
        }
    }

    /// Opens a file several components down in one step, if no component is a link and it is not a directory;
    /// `None` when that is not known, or where it would take several system calls.
    pub(crate) fn open_beneath(&self, path: &str, how: OpenNode) -> Option<HostFile> {
        if how.create || how.directory {
            return None;
        }
        match self.locate(|dir| sys::locate_beneath(dir, path)).ok()? {
            Located::Leaf(leaf) => leaf.open(how).ok(),
            Located::Directory(_) | Located::Symlink(_) => None,
        }
    }

    /// As [`HostDir::open_beneath`], for stat; directories, too.
    pub(crate) fn stat_beneath(&self, path: &str) -> Option<Stat> {
        let fd = sys::locate_beneath(&self.0.fd, path).ok()?;
        let found = rustix::fs::fstat(&fd).ok()?;
        (stat::kind(found.st_mode) != FileKind::Symlink).then(|| stat::stat(&found))
    }

    /// Of the directory itself.
    pub(crate) fn stat(&self) -> FsResult<Stat> {
        Ok(stat::stat(&rustix::fs::fstat(&self.0.fd)?))
    }

    /// Of `name`, which is not followed.
    pub(crate) fn stat_name(&self, name: &str) -> FsResult<Stat> {
        Ok(stat::stat(&rustix::fs::statat(&self.0.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Of the directory itself.
    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        // Through the directory: a descriptor of `O_PATH` cannot.
        rustix::fs::utimensat(&self.0.fd, ".", &stat::timestamps(accessed, modified)?, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Of `name`, which is not followed.
    pub(crate) fn set_times_name(&self, name: &str, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        rustix::fs::utimensat(&self.0.fd, name, &stat::timestamps(accessed, modified)?, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Writes the directory itself to disk.
    pub(crate) fn sync(&self) -> FsResult<()> {
        rustix::fs::fsync(self.reopen()?)
    }

    /// The directory, open for reading.
    fn reopen(&self) -> FsResult<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0.fd, ".", flags, Mode::empty())
    }

    /// mkdir(2).
    pub(crate) fn create_directory(&self, name: &str) -> FsResult<()> {
        self.making(true, || rustix::fs::mkdirat(&self.0.fd, name, Mode::from_raw_mode(0o777)))
    }

    /// rmdir(2).
    pub(crate) fn remove_directory(&self, name: &str) -> FsResult<()> {
        rustix::fs::unlinkat(&self.0.fd, name, AtFlags::REMOVEDIR).inspect(|()| self.0.held.freed())
    }

    /// unlink(2): EISDIR for a directory.
    pub(crate) fn unlink(&self, name: &str) -> FsResult<()> {
        rustix::fs::unlinkat(&self.0.fd, name, AtFlags::empty()).inspect(|()| self.0.held.freed())
    }

    /// symlink(2).
    pub(crate) fn symlink(&self, target: &str, name: &str) -> FsResult<()> {
        // Short ones lie in the inode.
        self.making(target.len() > 59, || rustix::fs::symlinkat(target, &self.0.fd, name))
    }

    /// readlink(2): EINVAL if it is no link.
    pub(crate) fn readlink(&self, name: &str) -> FsResult<Arc<str>> {
        target(&self.0.fd, name)
    }

    /// rename(2) within the tree; EXDEV otherwise.
    pub(crate) fn rename(&self, from: &str, to_dir: &Self, to: &str) -> FsResult<()> {
        self.check_same_tree(to_dir)?;
        rustix::fs::renameat(&self.0.fd, from, &to_dir.0.fd, to)?;
        // What it replaces is gone; its directory may have grown.
        self.0.held.freed();
        if !self.is_same(to_dir) {
            self.named();
        }
        Ok(())
    }

    /// link(2) within the tree, of what `from` is itself (a link is not followed); EXDEV otherwise.
    pub(crate) fn link(&self, from: &str, to_dir: &Self, to: &str) -> FsResult<()> {
        self.check_same_tree(to_dir)?;
        rustix::fs::linkat(&self.0.fd, from, &to_dir.0.fd, to, AtFlags::empty()).inspect(|()| self.named())
    }

    /// Two trees may be on one filesystem, where the kernel would allow it.
    fn check_same_tree(&self, other: &Self) -> FsResult<()> {
        if Arc::ptr_eq(&self.0.held.tree, &other.0.held.tree) { Ok(()) } else { Err(Errno::XDEV) }
    }

    /// The entries, from the first.
    pub(crate) fn list(&self) -> FsResult<HostListing> {
        HostListing::new(self.reopen()?, self.0.held.another()?)
    }

    /// Whether both are the same directory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }

    /// Whether its operations may wait for a disk.
    #[expect(clippy::unused_self, reason = "as other trees have it")]
    pub(crate) fn on_disk(&self) -> bool {
        true
    }
}

fn open_located(found: Located, how: OpenNode) -> FsResult<Opened> {
    match found {
        Located::Symlink(target) => Ok(Opened::Symlink(target)),
        Located::Directory(_) if how.write || how.create || how.truncate => Err(Errno::ISDIR),
        Located::Directory(dir) => Ok(Opened::Directory(Dir::Host(dir))),
        Located::Leaf(_) if how.directory => Err(Errno::NOTDIR),
        Located::Leaf(leaf) => leaf.open(how).map(|file| Opened::File(File::Host(file))),
    }
}

/// Where a link points to. `name` may be empty for `dir` itself.
fn target(dir: &OwnedFd, name: &str) -> FsResult<Arc<str>> {
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
    target.to_str().map(Arc::from).map_err(|_| Errno::ILSEQ)
}
