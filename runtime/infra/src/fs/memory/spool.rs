//! Where a container's root keeps what is written: one file for each inode, named by a number.
//!
//! The directory is private to one tree, which removes each file with its inode. What a dead process left goes with
//! the directory.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::fs::{DiskUsage, Errno, FsResult};

/// The most files that one container has open in its root: the descriptors of the process are few, and shared by all
/// pods. Each takes at most two, one in the image and one here.
const MAX_OPEN: u32 = 1024;

/// An open spool directory.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: OwnedFd,
    next: AtomicU64,
    bytes: AtomicU64,
    open: AtomicU32,
    usage: Arc<DiskUsage>,
}

impl Spool {
    pub(crate) fn open_dir(dir: &Path, usage: Arc<DiskUsage>) -> FsResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        Ok(Self { dir, next: AtomicU64::new(0), bytes: AtomicU64::new(0), open: AtomicU32::new(0), usage })
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts `bytes` that are to be written; ENOSPC beyond the limit.
    pub(super) fn charge(&self, bytes: u64) -> FsResult<()> {
        self.usage.charge(bytes)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Counts `bytes` that are no longer there.
    pub(super) fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.usage.release(bytes);
    }

    /// For a file of the root that is opened; EMFILE beyond the limit.
    pub(super) fn take_descriptor(&self) -> FsResult<()> {
        let more = |open: u32| (open < MAX_OPEN).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map(drop).map_err(|_| Errno::MFILE)
    }

    pub(super) fn give_descriptor(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A new, empty file.
    pub(super) fn create(&self) -> FsResult<(u64, OwnedFd)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, name(id), flags, Mode::RUSR | Mode::WUSR)?;
        Ok((id, file))
    }

    pub(super) fn open(&self, id: u64) -> FsResult<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name(id), flags, Mode::empty())
    }

    /// Removes a file of `bytes` bytes.
    pub(super) fn remove(&self, id: u64, bytes: u64) {
        // Where it is not there, it has gone with the container's directory.
        if let Err(error) = rustix::fs::unlinkat(&self.dir, name(id), AtFlags::empty())
            && error != Errno::NOENT
        {
            tracing::warn!(%error, "cannot remove a file that a container has deleted; it goes with the container");
        }
        self.release(bytes);
    }
}

fn name(id: u64) -> String {
    format!("{id:x}")
}
