//! Layers put together by copying, where overlayfs cannot be used. Costs the image's size for each container.
//!
//! Nobody else sees the copy while it grows. Every path is a directory of ours and one name, so no link is followed.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

const OPAQUE: &str = "trusted.overlay.opaque";

/// Copies all layers, lowest first, into the directory `root`.
pub(super) fn merge(layers: &[PathBuf], root: &Path) -> io::Result<()> {
    for layer in layers {
        Copy { links: HashMap::new() }.layer(layer, root)?;
    }
    Ok(())
}

/// One layer on its way.
struct Copy {
    /// Files with several names, by inode, and where the first one went.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    fn layer(&mut self, layer: &Path, root: &Path) -> io::Result<()> {
        let mut directories = Vec::new();
        let mut pending = vec![(layer.to_owned(), root.to_owned())];
        while let Some((from, to)) = pending.pop() {
            if is_opaque(&from)? {
                empty(&to)?;
            }
            for entry in fs::read_dir(&from)? {
                let entry = entry?;
                let (source, target) = (entry.path(), to.join(entry.file_name()));
                let metadata = fs::symlink_metadata(&source)?;
                if metadata.is_dir() {
                    if !fs::symlink_metadata(&target).is_ok_and(|there| there.is_dir()) {
                        remove(&target)?;
                        DirBuilder::new().mode(0o700).create(&target)?;
                    }
                    pending.push((source, target));
                } else {
                    remove(&target)?;
                    self.leaf(&source, &target, &metadata)?;
                }
            }
            directories.push((from, to));
        }
        // What is put into a directory changes its time; and one that its owner may not write takes nothing more.
        for (from, to) in directories.iter().rev() {
            attributes(from, to, &fs::symlink_metadata(from)?)?;
        }
        Ok(())
    }

    fn leaf(&mut self, source: &Path, target: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        if kind.is_char_device() && metadata.rdev() == 0 {
            // It hides what was there, which is gone.
            return Ok(());
        }
        let inode = (metadata.dev(), metadata.ino());
        if metadata.nlink() > 1
            && let Some(first) = self.links.get(&inode)
        {
            return fs::hard_link(first, target);
        }
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(source)?, target)?;
        } else if kind.is_file() {
            // By copy_file_range(2): filesystems that can share the blocks do.
            fs::copy(source, target)?;
        } else {
            let kind = FileType::from_raw_mode(metadata.mode());
            match rustix::fs::mknodat(CWD, target, kind, Mode::from_bits_truncate(0o600), metadata.rdev()) {
                Ok(()) => {}
                // A device, which this process may not make.
                Err(Errno::PERM) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        attributes(source, target, metadata)?;
        if metadata.nlink() > 1 {
            self.links.insert(inode, target.to_owned());
        }
        Ok(())
    }
}

/// Owner, mode, extended attributes and times, in the order in which the kernel lets them be.
fn attributes(source: &Path, target: &Path, metadata: &Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    match rustix::fs::chownat(CWD, target, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
        // Files of a user who is not root are all theirs.
        Ok(()) | Err(Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    if !metadata.is_symlink() {
        rustix::fs::chmod(target, Mode::from_bits_truncate(metadata.mode() & 0o7777))?;
    }
    xattrs(source, target)?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: metadata.atime(), tv_nsec: metadata.atime_nsec() as _ },
        last_modification: Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() as _ },
    };
    Ok(rustix::fs::utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn xattrs(source: &Path, target: &Path) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(source, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let names = names.get(..length).unwrap_or_default();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && !name.starts_with(b"trusted.")) {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(source, name, &mut value[..])?;
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::lsetxattr(target, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_opaque(dir: &Path) -> io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::lgetxattr(dir, OPAQUE, &mut value[..]) {
        Ok(length) => Ok(value.get(..length) == Some(b"y")),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn empty(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        remove(&entry?.path())?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
