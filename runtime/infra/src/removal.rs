//! Removes a tree that a guest filled: however deep it is, whatever links and modes it has.
//!
//! Recursion would run out of stack or of file descriptors on a tree that a guest made deep on purpose. So a tree is
//! flattened: its directories are moved, level by level, into one trash directory beside it, and removed there. A
//! crash leaves a trash directory, which is recognised by its name.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// What a trash directory's name begins with.
pub(crate) const TRASH: &str = ".removing-";

/// Removes `name`, a directory or anything else, from the directory `parent`. Nothing there is fine.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let trash_name = format!("{TRASH}{name}");
    match rustix::fs::mkdirat(parent, &trash_name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let trash = open(parent, &CString::new(trash_name.as_str())?)?;
    match discard(parent, &CString::new(name)?, &trash, &mut 0) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    drop(trash);
    drain(parent, &trash_name)
}

/// Empties a trash directory in `parent` and removes it. Several processes may do so at once.
pub(crate) fn drain(parent: BorrowedFd<'_>, trash_name: &str) -> io::Result<()> {
    let trash_name = CString::new(trash_name)?;
    let trash = match open(parent, &trash_name) {
        Ok(trash) => trash,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut counter = 0;
    loop {
        let entries = list(&trash)?;
        if entries.is_empty() {
            break;
        }
        for (name, kind) in entries {
            let removed = if kind.is_dir() {
                empty(&trash, &name, &mut counter)
            } else {
                rustix::fs::unlinkat(&trash, &name, AtFlags::empty())
            };
            match removed {
                // Not empty yet: the next round finds the rest.
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => {}
                Err(error) => return Err(named(error, &name)),
            }
        }
    }
    match rustix::fs::unlinkat(parent, &trash_name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the directory `name` from the trash, after its own directories were moved into the trash.
fn empty(trash: &OwnedFd, name: &CStr, counter: &mut u64) -> rustix::io::Result<()> {
    let dir = open(trash, name)?;
    for (child, kind) in list(&dir)? {
        let gone = if kind.is_dir() {
            // Most are empty, and then need not be moved.
            match rustix::fs::unlinkat(&dir, &child, AtFlags::REMOVEDIR) {
                Ok(()) => Ok(()),
                Err(_) => discard(&dir, &child, trash, counter),
            }
        } else {
            rustix::fs::unlinkat(&dir, &child, AtFlags::empty())
        };
        match gone {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::fs::unlinkat(trash, name, AtFlags::REMOVEDIR)
}

/// Moves `name` into the trash under a number that is free there.
fn discard(
    parent: impl std::os::fd::AsFd + Copy,
    name: &CStr,
    trash: &OwnedFd,
    counter: &mut u64,
) -> rustix::io::Result<()> {
    loop {
        *counter += 1;
        match rustix::fs::renameat(parent, name, trash, counter.to_string()) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR | Errno::NOTDIR) => {}
            // A directory that its owner may not write cannot be moved: its `..` would change.
            Err(Errno::ACCESS | Errno::PERM) if unlock(parent, name).is_ok() => {
                return rustix::fs::renameat(parent, name, trash, counter.to_string());
            }
            result => return result,
        }
    }
}

/// Opens a directory of which the name alone is known; never a link's target.
fn open(parent: impl std::os::fd::AsFd + Copy, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => unlock(parent, name)?,
        Ok(dir) => {
            // Entries can be removed only from a directory that its owner may write; root need not care.
            let _ = rustix::fs::fchmod(&dir, Mode::RWXU);
            return Ok(dir);
        }
        Err(error) => return Err(error),
    }
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Gives the owner of a directory all rights to it, even when it cannot be opened without them.
fn unlock(parent: impl std::os::fd::AsFd, name: &CStr) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", dir.as_raw_fd()), Mode::RWXU)
}

fn list(dir: &OwnedFd) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        entries.push((name.to_owned(), kind));
    }
    Ok(entries)
}

fn named(error: Errno, name: &CStr) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{}: {error}", name.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn removes_links_not_their_targets() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("outside/dir")).unwrap();
        std::fs::write(temp.path().join("outside/dir/file"), "kept").unwrap();
        let tree = temp.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        symlink(temp.path().join("outside"), tree.join("a/link")).unwrap();
        symlink("../../../outside/dir/file", tree.join("a/b/link")).unwrap();
        std::fs::hard_link(temp.path().join("outside/dir/file"), tree.join("a/b/hard")).unwrap();
        std::fs::set_permissions(tree.join("a/b"), std::fs::Permissions::from_mode(0o000)).unwrap();
        let parent = std::fs::File::open(temp.path()).unwrap();
        remove_tree(parent.as_fd(), "tree").unwrap();
        remove_tree(parent.as_fd(), "tree").unwrap();
        let left: Vec<_> = std::fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["outside"]);
        assert_eq!(std::fs::read(temp.path().join("outside/dir/file")).unwrap(), b"kept");
    }

    #[test]
    fn depth_costs_neither_stack_nor_descriptors() {
        // In memory: a journal makes each of these directories slow.
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let top = std::fs::File::open(temp.path()).unwrap();
        rustix::fs::mkdirat(&top, "tree", Mode::RWXU).unwrap();
        let mut dir = open(top.as_fd(), c"tree").unwrap();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&dir, "1", Mode::RWXU).unwrap();
            dir = open(dir.as_fd(), c"1").unwrap();
        }
        remove_tree(top.as_fd(), "tree").unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
