//! Mounts found by where they are: what a process left that was killed.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// Unmounts what is mounted at `path`, as far as that goes: fine where that is nothing. Whoever still uses it keeps it.
///
/// # Errors
/// When the kernel refuses to.
pub fn detach(path: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // There may be several, one over the other.
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            // Without root there are no mounts of ours in this namespace.
            Err(Errno::PERM) if !is_mounted(path)? => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Unmounts all that is mounted below `dir` in the calling thread's mount namespace, the innermost first.
///
/// # Errors
/// When the kernel refuses to, or does not say what is mounted.
pub fn detach_below(dir: &Path) -> io::Result<()> {
    let dir = match dir.canonicalize() {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let found = below(&dir)?;
    found.iter().rev().try_for_each(|path| detach(path))
}

/// What is mounted below `dir`, a path without links, in the order in which it was.
///
/// # Errors
/// When the kernel does not say.
pub fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    let points = table.split(|byte| *byte == b'\n').filter_map(mount_point);
    Ok(points.filter(|point| point.starts_with(dir) && point != dir).collect())
}

/// The mount that `path`, without links, is in, if that is not a shared one.
pub(crate) fn not_shared(path: &Path) -> io::Result<Option<PathBuf>> {
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    let mut found = None;
    for line in table.split(|byte| *byte == b'\n') {
        // Of several at one place the last one is seen.
        if let Some(point) = mount_point(line).filter(|point| path.starts_with(point))
            && found.as_ref().is_none_or(|(longest, _): &(PathBuf, _)| point.starts_with(longest))
        {
            found = Some((point, is_shared(line)));
        }
    }
    Ok(found.and_then(|(point, is_shared)| (!is_shared).then_some(point)))
}

/// Whether one of the fields between the sixth and a hyphen says so.
fn is_shared(line: &[u8]) -> bool {
    let mut fields = line.split(|byte| *byte == b' ').skip(6).take_while(|field| *field != b"-");
    fields.any(|field| field.starts_with(b"shared:"))
}

fn is_mounted(path: &Path) -> io::Result<bool> {
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(mount_point).any(|point| point == path))
}

/// The fifth field of a line of mountinfo (proc_pid_mountinfo(5)): blanks and backslashes are octal.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let octal = || std::str::from_utf8(behind.get(..3)?).ok().and_then(|text| u8::from_str_radix(text, 8).ok());
        match (*first == b'\\').then(octal).flatten() {
            Some(byte) => {
                path.push(byte);
                rest = behind.get(3..)?;
            }
            None => path.push(*first),
        }
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from(r"/mnt 2\x")));
        assert_eq!(mount_point(b""), None);
        assert!(!is_shared(line) && is_shared(br"36 35 98:0 / /mnt rw shared:7 master:1 - ext3 /dev/root rw"));
        assert!(below(Path::new("/")).unwrap().contains(&PathBuf::from("/proc")));
    }

    #[test]
    fn where_nothing_is_mounted_there_is_nothing_to_do() {
        let dir = tempfile::tempdir().unwrap();
        detach(dir.path()).unwrap();
        detach(&dir.path().join("none")).unwrap();
        detach_below(dir.path()).unwrap();
        detach_below(&dir.path().join("none")).unwrap();
    }
}
