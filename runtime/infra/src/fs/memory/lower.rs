//! The image below a container's root: a directory that nobody changes.
//!
//! Paths are relative to it and never followed through links, whatever the image holds.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

use super::inode::Attributes;
use crate::fs::{Errno, FileKind, FsResult};

/// An image's directory, held open.
#[derive(Debug)]
pub(crate) struct Lower {
    path: PathBuf,
    dir: OwnedFd,
}

/// What is known of a file of the image.
pub(super) struct LowerStat {
    pub(super) kind: FileKind,
    pub(super) size: u64,
    pub(super) attributes: Attributes,
}

impl Lower {
    pub(crate) fn open_dir(path: &Path) -> FsResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { path: path.to_owned(), dir: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// Where the file of this path is on the host.
    pub(super) fn store_path(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// What `path` is; an empty one is the directory itself.
    pub(super) fn stat(&self, path: &str) -> FsResult<LowerStat> {
        let stat = rustix::fs::fstat(self.open(path, OFlags::PATH)?)?;
        let attributes = Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: 1,
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        };
        let kind = kind(FileType::from_raw_mode(stat.st_mode)).ok_or(Errno::IO)?;
        Ok(LowerStat { kind, size: u64::try_from(stat.st_size).unwrap_or(0), attributes })
    }

    /// The names in a directory. Those that are not UTF-8 no guest could say.
    pub(super) fn list(&self, path: &str) -> FsResult<Vec<(Box<str>, FileKind)>> {
        let mut names = Vec::new();
        for entry in Dir::new(self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match kind(entry.file_type()) {
                Some(kind) => kind,
                // Not every filesystem says so in its directories.
                None if path.is_empty() => self.stat(name)?.kind,
                None => self.stat(&format!("{path}/{name}"))?.kind,
            };
            names.push((name.into(), kind));
        }
        Ok(names)
    }

    pub(super) fn readlink(&self, path: &str) -> FsResult<Arc<str>> {
        let target = rustix::fs::readlinkat(self.open(path, OFlags::PATH)?, "", Vec::new())?;
        target.to_str().map(Arc::from).map_err(|_| Errno::ILSEQ)
    }

    /// Opens a regular file for reading.
    pub(super) fn open_file(&self, path: &str) -> FsResult<OwnedFd> {
        // Should it be a pipe after all, nobody waits for its other end.
        self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    fn open(&self, path: &str, flags: OFlags) -> FsResult<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), resolve) {
            // An old kernel, or a sandbox that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => self.open_by_steps(path, flags),
            opened => opened,
        }
    }

    fn open_by_steps(&self, path: &str, flags: OFlags) -> FsResult<OwnedFd> {
        let Some((dirs, name)) = path.rsplit_once('/') else {
            return rustix::fs::openat(&self.dir, path, flags, Mode::empty());
        };
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut dir: Option<OwnedFd> = None;
        for name in dirs.split('/') {
            dir = Some(rustix::fs::openat(dir.as_ref().unwrap_or(&self.dir), name, step, Mode::empty())?);
        }
        rustix::fs::openat(dir.as_ref().unwrap_or(&self.dir), name, flags, Mode::empty())
    }
}

fn kind(kind: FileType) -> Option<FileKind> {
    Some(match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::Unknown => return None,
    })
}

/// The types of the fields differ between platforms.
fn time(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<u64>) -> SystemTime {
    let seconds: i64 = seconds.try_into().unwrap_or(0);
    let nanoseconds = Duration::from_nanos(nanoseconds.try_into().unwrap_or(0));
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time =
        if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(whole) } else { SystemTime::UNIX_EPOCH.checked_add(whole) };
    time.and_then(|time| time.checked_add(nanoseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_old_kernel_finds_the_same_and_neither_follows_links() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        std::fs::write(temp.path().join("a/b/file"), "x").unwrap();
        symlink("a", temp.path().join("dir")).unwrap();
        symlink("file", temp.path().join("a/b/link")).unwrap();
        let lower = Lower::open_dir(temp.path()).unwrap();
        for path in [".", "a", "a/b", "a/b/file", "a/b/link", "dir", "dir/b", "dir/b/file", "none", "a/none/x"] {
            for flags in [OFlags::PATH, OFlags::RDONLY] {
                let ino = |opened: FsResult<OwnedFd>| opened.map(|file| rustix::fs::fstat(file).unwrap().st_ino);
                let steps = lower.open_by_steps(path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC);
                match (ino(lower.open(path, flags)), ino(steps)) {
                    (Ok(at_once), Ok(steps)) => assert_eq!(at_once, steps, "{path}"),
                    // Which error it is depends on the way.
                    (at_once, steps) => assert!(at_once.is_err() && steps.is_err(), "{path}: {at_once:?} {steps:?}"),
                }
            }
        }
        assert_eq!(&*lower.readlink("a/b/link").unwrap(), "file");
    }

    #[test]
    fn names_that_no_guest_can_say_are_not_shown() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        std::fs::write(temp.path().join("name"), "").unwrap();
        let names = Lower::open_dir(temp.path()).unwrap().list("").unwrap();
        assert_eq!(names, [("name".into(), FileKind::File)]);
    }
}
