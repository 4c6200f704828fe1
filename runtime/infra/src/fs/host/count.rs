//! Counts what a directory of the host holds, as du(1) does: allocated blocks, a file with several names once.
//!
//! A guest may have made the tree deep on purpose: counting costs one open directory, whatever the depth, and goes up
//! by `..`. It may change the tree meanwhile, too: what is met on the way up must be what was left on the way down,
//! or counting ends without a figure.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// What a directory holds, itself not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Allocated bytes.
    pub(super) bytes: u64,
    /// Files, directories and everything else.
    pub(super) inodes: u64,
}

/// What tells one file from another.
pub(super) type FileId = (u64, u64);

pub(super) fn file_id(stat: &Stat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

/// Allocated bytes of a file: blocks are of 512 bytes, whatever the filesystem's own are.
pub(super) fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// One directory on the way from the top to where counting is.
struct Level {
    id: FileId,
    /// Its directories that are still to be counted.
    pending: Vec<CString>,
}

/// Counts what is below `top`. Other filesystems mounted there are not counted, nor what cannot be opened.
///
/// # Errors
/// `EAGAIN` when directories were moved about meanwhile; `EOVERFLOW` when there are more than `max_inodes` things.
pub(super) fn count(top: BorrowedFd<'_>, max_inodes: u64) -> Result<Count, Errno> {
    let mut total = Count::default();
    let mut seen = HashSet::new();
    let mut here = open(top, c".")?;
    let top_stat = rustix::fs::fstat(&here)?;
    let id = file_id(&top_stat);
    let mut levels = vec![Level { id, pending: list(&here, id.0, &mut total, &mut seen)? }];
    while let Some(level) = levels.last_mut() {
        if total.inodes > max_inodes {
            return Err(Errno::OVERFLOW);
        }
        if let Some(name) = level.pending.pop() {
            let below = match open(here.as_fd(), &name) {
                Ok(below) => below,
                // Gone, replaced, or closed to us.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM) => continue,
                Err(error) => return Err(error),
            };
            let id = file_id(&rustix::fs::fstat(&below)?);
            here = below;
            let pending = list(&here, id.0, &mut total, &mut seen)?;
            levels.push(Level { id, pending });
        } else {
            levels.pop();
            if let Some(above) = levels.last() {
                let up = open(here.as_fd(), c"..")?;
                if file_id(&rustix::fs::fstat(&up)?) != above.id {
                    return Err(Errno::AGAIN);
                }
                here = up;
            }
        }
    }
    Ok(total)
}

fn open(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// Counts the entries of one directory, and returns its directories.
fn list(dir: &OwnedFd, dev: u64, total: &mut Count, seen: &mut HashSet<FileId>) -> Result<Vec<CString>, Errno> {
    let mut dirs = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        let is_dir = FileType::from_raw_mode(stat.st_mode).is_dir();
        if stat.st_dev != dev || (!is_dir && stat.st_nlink > 1 && !seen.insert(file_id(&stat))) {
            continue;
        }
        total.bytes = total.bytes.saturating_add(allocated(&stat));
        total.inodes = total.inodes.saturating_add(1);
        if is_dir {
            dirs.push(name.to_owned());
        }
    }
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn top(path: &std::path::Path) -> std::fs::File {
        std::fs::File::open(path).unwrap()
    }

    #[test]
    fn links_count_once_and_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let inside = temp.path().join("inside");
        std::fs::create_dir_all(inside.join("a/b")).unwrap();
        std::fs::write(temp.path().join("outside"), vec![1; 1 << 20]).unwrap();
        std::fs::write(inside.join("a/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(inside.join("a/file"), inside.join("a/b/again")).unwrap();
        std::os::unix::fs::symlink(temp.path().join("outside"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink("/", inside.join("root")).unwrap();
        std::fs::File::create(inside.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let blocks = |path: &str| std::fs::symlink_metadata(inside.join(path)).unwrap().blocks() * 512;
        let expected: u64 = ["a", "a/b", "a/file", "link", "root", "sparse"].into_iter().map(blocks).sum();
        let counted = count(top(&inside).as_fd(), 100).unwrap();
        assert_eq!(counted, Count { bytes: expected, inodes: 6 });
        assert!(counted.bytes < 1 << 20);
        assert_eq!(count(top(&inside).as_fd(), 5), Err(Errno::OVERFLOW));
    }

    #[test]
    fn depth_costs_neither_stack_nor_descriptors() {
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut dir: OwnedFd = top(temp.path()).into();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&dir, "1", Mode::RWXU).unwrap();
            dir = open(dir.as_fd(), c"1").unwrap();
        }
        assert_eq!(count(top(temp.path()).as_fd(), 10_000).unwrap().inodes, 5000);
        // tempfile's own removal follows the path, which is too long by now.
        crate::removal::remove_tree(top(temp.path()).as_fd(), "1").unwrap();
    }

    #[test]
    fn counting_never_leaves_the_tree_while_it_is_moved_about() {
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let inside = temp.path().join("inside");
        std::fs::create_dir_all(inside.join("a/deep/er")).unwrap();
        std::fs::create_dir(inside.join("b")).unwrap();
        std::fs::write(temp.path().join("outside"), vec![1; 1 << 20]).unwrap();
        std::thread::scope(|scope| {
            let mover = scope.spawn(|| {
                for _ in 0..2000 {
                    std::fs::rename(inside.join("a/deep"), inside.join("b/deep")).unwrap();
                    std::fs::rename(inside.join("b/deep"), inside.join("a/deep")).unwrap();
                }
            });
            while !mover.is_finished() {
                match count(top(&inside).as_fd(), 100) {
                    Ok(counted) => assert!(counted.bytes < 1 << 20 && counted.inodes <= 6, "{counted:?}"),
                    Err(error) => assert_eq!(error, Errno::AGAIN),
                }
            }
        });
    }
}
