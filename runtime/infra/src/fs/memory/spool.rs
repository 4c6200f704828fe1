//! Where a container's root keeps what is written: one file for each inode, named by a number.
//!
//! The directory is private to one tree, which removes each file with its inode. What a dead process left goes with
//! the directory.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::fs::{DiskUsage, FsResult};

/// An open spool directory.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: OwnedFd,
    next: AtomicU64,
    bytes: AtomicU64,
    usage: Arc<DiskUsage>,
}

impl Spool {
    pub(crate) fn open_dir(dir: &Path, usage: Arc<DiskUsage>) -> FsResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        Ok(Self { dir, next: AtomicU64::new(0), bytes: AtomicU64::new(0), usage })
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
        if let Err(error) = rustix::fs::unlinkat(&self.dir, name(id), AtFlags::empty()) {
            tracing::warn!(%error, "cannot remove a file that a container has deleted; it goes with the container");
        }
        self.release(bytes);
    }
}

fn name(id: u64) -> String {
    format!("{id:x}")
}
