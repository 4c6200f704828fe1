//! Files of the host.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::path::DecInt;

use super::count::file_id;
use super::dir::Held;
use super::stat;
use super::sys;
use crate::fs::node::OpenNode;
use crate::fs::{FileKind, FsResult, SetTime, Stat};

/// The most bytes of one read into a buffer of our own.
const MAX_READ: usize = 1 << 20;

/// Neither directory nor link, located but not open.
#[derive(Clone, Debug)]
pub(crate) struct HostLeaf(Arc<Located>);

#[derive(Debug)]
struct Located {
    /// `O_PATH`.
    fd: OwnedFd,
    kind: FileKind,
    /// Device and inode.
    id: (u64, u64),
    held: Held,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct HostFile {
    /// Shared with the quota, which looks at it while it is open.
    fd: Arc<OwnedFd>,
    /// Device and inode.
    id: (u64, u64),
    held: Held,
}

impl HostLeaf {
    /// The tree of a single file; `O_PATH` will do.
    ///
    /// # Errors
    /// `EISDIR` for a directory; `EACCES` for a file of procfs.
    pub(crate) fn new(fd: OwnedFd) -> FsResult<Self> {
        let found = rustix::fs::fstat(&fd)?;
        let kind = stat::kind(found.st_mode);
        if kind == FileKind::Directory {
            return Err(Errno::ISDIR);
        }
        if sys::is_proc(&fd)? {
            return Err(Errno::ACCESS);
        }
        Ok(Self::located(fd, kind, file_id(&found), Held::first(None)?))
    }

    pub(super) fn located(fd: OwnedFd, kind: FileKind, id: (u64, u64), held: Held) -> Self {
        Self(Arc::new(Located { fd, kind, id, held }))
    }

    /// Opens it; `create`, `exclusive` and `directory` mean nothing here.
    pub(crate) fn open(&self, how: OpenNode) -> FsResult<HostFile> {
        let Located { fd, kind, id, held } = &*self.0;
        match kind {
            FileKind::File => {}
            FileKind::CharDevice | FileKind::BlockDevice => return Err(Errno::PERM),
            FileKind::Fifo | FileKind::Socket => return Err(Errno::NXIO),
            FileKind::Symlink => return Err(Errno::LOOP),
            FileKind::Directory => return Err(Errno::ISDIR),
        }
        let mut flags = match (how.read, how.write) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        };
        if how.truncate {
            flags |= OFlags::TRUNC;
        }
        let held = held.another()?;
        let fd = sys::reopen(fd.as_fd(), flags)?;
        if how.truncate {
            held.freed();
        }
        Ok(HostFile::open(fd, *id, held))
    }

    pub(crate) fn stat(&self) -> FsResult<Stat> {
        Ok(stat::stat(&rustix::fs::fstat(&self.0.fd)?))
    }

    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        let times = stat::timestamps(accessed, modified)?;
        // futimens(2) does not take `O_PATH`; the link of the kernel's leads to this file and no other.
        let fd = self.0.fd.as_fd();
        rustix::fs::utimensat(sys::own_descriptors()?, DecInt::from_fd(fd), &times, AtFlags::empty())
    }
}

impl HostFile {
    /// A file that was made just now.
    pub(super) fn made(fd: OwnedFd, held: Held) -> FsResult<Self> {
        let id = file_id(&rustix::fs::fstat(&fd)?);
        Ok(Self::open(fd, id, held))
    }

    fn open(fd: OwnedFd, id: (u64, u64), held: Held) -> Self {
        let fd = Arc::new(fd);
        if let Some(quota) = held.quota() {
            quota.opened(&fd);
        }
        Self { fd, id, held }
    }

    /// Of what was opened: nothing else is.
    #[expect(clippy::unused_self, reason = "as other trees have it")]
    pub(crate) fn kind(&self) -> FileKind {
        FileKind::File
    }

    pub(crate) fn stat(&self) -> FsResult<Stat> {
        Ok(stat::stat(&rustix::fs::fstat(&self.fd)?))
    }

    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        rustix::fs::futimens(&self.fd, &stat::timestamps(accessed, modified)?)
    }

    /// pread(2). The namespace has checked that the descriptor may read.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> FsResult<usize> {
        rustix::io::retry_on_intr(|| rustix::io::pread(&self.fd, &mut *buffer, offset))
    }

    /// At most `max` bytes; may be fewer, and none only at the end.
    pub(crate) fn read_bytes_at(&self, offset: u64, max: usize) -> FsResult<bytes::Bytes> {
        let mut buffer = Vec::with_capacity(max.min(MAX_READ));
        rustix::io::retry_on_intr(|| rustix::io::pread(&self.fd, rustix::buffer::spare_capacity(&mut buffer), offset))?;
        // What is kept takes no more than twice its size.
        if buffer.len() < buffer.capacity() / 2 {
            buffer.shrink_to_fit();
        }
        Ok(buffer.into())
    }

    /// pwrite(2). The namespace has checked that the descriptor may write.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> FsResult<usize> {
        self.write(Some(offset), bytes, |bytes| rustix::io::pwrite(&self.fd, bytes, offset))
    }

    /// write(2) with `O_APPEND`: where the end is is found out in the same step.
    pub(crate) fn append(&self, bytes: &[u8]) -> FsResult<usize> {
        self.write(None, bytes, |bytes| {
            rustix::io::pwritev2(&self.fd, &[std::io::IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND)
        })
    }

    /// `None` is the end.
    fn write(&self, offset: Option<u64>, bytes: &[u8], write: impl Fn(&[u8]) -> FsResult<usize>) -> FsResult<usize> {
        let Some(quota) = self.held.quota() else { return rustix::io::retry_on_intr(|| write(bytes)) };
        let reserved = quota.reserve(self.fd.as_fd(), offset, len(bytes))?;
        let fitting = usize::try_from(reserved.len).unwrap_or(usize::MAX).min(bytes.len());
        let written = rustix::io::retry_on_intr(|| write(bytes.get(..fitting).unwrap_or_default()));
        reserved.written(written.map_or(0, |written| u64::try_from(written).unwrap_or(u64::MAX)));
        written
    }

    /// ftruncate(2).
    pub(crate) fn set_size(&self, size: u64) -> FsResult<()> {
        rustix::io::retry_on_intr(|| rustix::fs::ftruncate(&self.fd, size))?;
        self.held.freed();
        Ok(())
    }

    /// fsync(2) or fdatasync(2).
    pub(crate) fn sync(&self, data_only: bool) -> FsResult<()> {
        if data_only { rustix::fs::fdatasync(&self.fd) } else { rustix::fs::fsync(&self.fd) }
    }

    /// Whether both are the same file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Whether its operations may wait for a disk.
    #[expect(clippy::unused_self, reason = "as other trees have it")]
    pub(crate) fn on_disk(&self) -> bool {
        true
    }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
