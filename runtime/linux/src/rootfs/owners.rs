//! Owners of an image's files, where whoever unpacked it may not give files away.
//!
//! The image store then notes on each file whose it should be, in an attribute that users may set. In a user namespace
//! of its user's it can be made so, in the container's own writable layer: those files are copied there.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

/// The attribute, with `UID:GID`. The image store's `unpack` has the same name.
const OWNER: &str = "user.nacelle.owner";

/// The longest pair of ids.
const MAX_OWNER: usize = 32;

/// Gives the files of these layers, which are shown at `root`, the owners that are noted. Those whose ids are not in this
/// user namespace stay what they are.
pub(crate) fn restore(layers: &[PathBuf], root: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let shown = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    for layer in layers {
        let mut pending = vec![PathBuf::new()];
        while let Some(below) = pending.pop() {
            give(&layer.join(&below), &below, &shown)?;
            for entry in std::fs::read_dir(layer.join(&below))? {
                let entry = entry?;
                let (kind, below) = (entry.file_type()?, below.join(entry.file_name()));
                if kind.is_dir() {
                    pending.push(below);
                } else if kind.is_file() {
                    // Others can have no such attribute.
                    give(&entry.path(), &below, &shown)?;
                }
            }
        }
    }
    Ok(())
}

/// `noted` is a file of a layer, which is `below` in the root.
fn give(noted: &Path, below: &Path, root: &OwnedFd) -> io::Result<()> {
    let mut value = [0; MAX_OWNER];
    let length = match rustix::fs::lgetxattr(noted, OWNER, &mut value[..]) {
        Ok(length) => length,
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let Some((uid, gid)) = value.get(..length).and_then(parse) else { return Ok(()) };
    let below = if below == Path::new("") { Path::new(".") } else { below };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = match rustix::fs::openat2(root, below, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Ok(file) => file,
        // A layer above has something else there.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let before: Metadata = std::fs::metadata(&path)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    match rustix::fs::chownat(&file, OsStr::new(""), Some(uid), Some(gid), AtFlags::EMPTY_PATH) {
        Ok(()) => {}
        // No id of this namespace.
        Err(Errno::INVAL) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if before.mode() & 0o6000 != 0 && before.is_file() {
        // The kernel takes these bits away from a file that gets another owner.
        rustix::fs::chmod(&path, Mode::from_bits_truncate(before.mode() & 0o7777))?;
    }
    Ok(())
}

fn parse(value: &[u8]) -> Option<(u32, u32)> {
    let (uid, gid) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_two_numbers() {
        assert_eq!(parse(b"1000:50"), Some((1000, 50)));
        for bad in [&b""[..], b"1000", b"1000:", b"-1:0", b"1:2:3", b"\xff:1"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn a_layer_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["layer/dir", "root", "outside"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("layer/dir/file"), "").unwrap();
        std::fs::write(path("outside/file"), "").unwrap();
        std::os::unix::fs::symlink(path("outside"), path("root/dir")).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::lsetxattr(path("layer/dir/file"), OWNER, b"4242:4242", flags) {
            // Not on this file system.
            Err(Errno::OPNOTSUPP) => return,
            set => set.unwrap(),
        }
        restore(&[path("layer")], &path("root")).unwrap();
        assert_ne!(std::fs::metadata(path("outside/file")).unwrap().uid(), 4242);
    }
}
