//! Opening things of the host without being led astray.
//!
//! Everything is first opened with `O_PATH`, which does nothing to what is there: a pipe is not waited for, a device
//! does not notice. Only when it is known to be a regular file, that very file is opened again, through
//! `/proc/self/fd`, whose links are the kernel's own. So a name that stands for something else a moment later changes
//! nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, Stat};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::fs::FsResult;

const LOCATE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is at `name`, a single component, without following it.
pub(super) fn locate(dir: impl AsFd, name: &str) -> FsResult<OwnedFd> {
    rustix::fs::openat(dir, name, LOCATE, Mode::empty())
}

/// What is at `path` if no component of it is a link, nor the path leaves `dir` or its filesystem. One system call.
///
/// # Errors
/// As openat2(2); `ENOSYS` where that cannot be used.
pub(super) fn locate_beneath(dir: impl AsFd, path: &str) -> FsResult<OwnedFd> {
    /// Linux has it since 5.6, but containers' seccomp filters may not.
    static MISSING: AtomicBool = AtomicBool::new(false);
    if MISSING.load(Ordering::Relaxed) {
        return Err(Errno::NOSYS);
    }
    let resolve = ResolveFlags::BENEATH
        .union(ResolveFlags::NO_SYMLINKS)
        .union(ResolveFlags::NO_MAGICLINKS)
        .union(ResolveFlags::NO_XDEV);
    rustix::fs::openat2(dir, path, LOCATE, Mode::empty(), resolve).inspect_err(|error| {
        // Never an answer to opening with `O_PATH`, but of a filter.
        if matches!(*error, Errno::NOSYS | Errno::PERM) {
            MISSING.store(true, Ordering::Relaxed);
        }
    })
}

/// Opens again what `located` holds. Must be a regular file.
pub(super) fn reopen(located: BorrowedFd<'_>, flags: OFlags) -> FsResult<OwnedFd> {
    // Should it be something else after all, it is not waited for.
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(own_descriptors()?, DecInt::from_fd(located), flags, Mode::empty())
}

/// `/proc/self/fd`, opened once for the process, and known to be it.
pub(super) fn own_descriptors() -> FsResult<BorrowedFd<'static>> {
    static DIR: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(dir) = DIR.get() {
        return Ok(dir.as_fd());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open("/proc/self/fd", flags, Mode::empty())?;
    if !is_proc(&dir)? {
        return Err(Errno::NOENT);
    }
    Ok(DIR.get_or_init(|| dir).as_fd())
}

/// Whether this is on procfs. There, names stand for this very process: its memory, its descriptors.
pub(super) fn is_proc(fd: impl AsFd) -> FsResult<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == PROC_SUPER_MAGIC)
}

/// Refuses to go from a directory on the filesystem `dev` into procfs.
pub(super) fn check_crossing(dev: u64, stat: &Stat, fd: impl AsFd) -> FsResult<()> {
    if stat.st_dev != dev && is_proc(fd)? { Err(Errno::ACCESS) } else { Ok(()) }
}
