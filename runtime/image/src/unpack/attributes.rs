//! What of an entry's owner, mode, times and extended attributes reaches the disk.
//!
//! A WebAssembly program has no use for users, devices or set-user-id bits: its tree belongs to the runtime. A Linux
//! program's tree is as the image says, as far as the process that unpacks may do that: root may, others may not give
//! files away. The store is closed to other users (mode 0700), so that a set-user-id file in it raises nobody.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::tree::TreeError;

/// How much of what an image says about its files is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Permissions and times: the tree of a WebAssembly image.
    Plain,
    /// Owners, all mode bits, devices and extended attributes: a Linux image, unpacked by root.
    Everything,
    /// What a user may set: a Linux image, unpacked without root. The caller owns all files; whose they should be is noted on
    /// them ([`OWNER`]).
    Unprivileged,
}

/// The attribute that a user notes an owner in who is not root: `UID:GID`. Who runs the image makes it so, if it may: the
/// Linux backend's `rootfs/owners.rs`.
const OWNER: &str = "user.nacelle.owner";

/// The attributes of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The twelve permission bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Keep {
    /// The mode of a directory on the disk.
    pub(super) fn directory_mode(self, mode: u32) -> u32 {
        match self {
            Self::Plain => mode & 0o777 | 0o700,
            // The owner can always read, search and remove.
            Self::Unprivileged => mode & 0o7777 | 0o700,
            Self::Everything => mode & 0o7777,
        }
    }

    /// The mode of a file on the disk.
    pub(super) fn file_mode(self, mode: u32) -> u32 {
        match self {
            Self::Plain => mode & 0o777 | 0o600,
            Self::Unprivileged => mode & 0o7777 | 0o400,
            Self::Everything => mode & 0o7777,
        }
    }

    /// Whether devices are made. A user cannot; to a WebAssembly program they mean nothing.
    pub(super) fn devices(self) -> bool {
        self == Self::Everything
    }

    /// Whether pipes are made.
    pub(super) fn pipes(self) -> bool {
        self != Self::Plain
    }

    /// Gives what was just made at `path` its owner, `mode` (links have none), extended attributes and times, in the
    /// order in which the kernel lets them be: a change of owner takes set-user-id bits and file capabilities away.
    pub(super) fn apply(self, path: &Path, attributes: &Attributes, mode: Option<u32>) -> Result<(), TreeError> {
        let failed = |error: Errno| TreeError::Io(path.to_owned(), error.into());
        if self == Self::Everything {
            let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
            rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        if self == Self::Unprivileged {
            // Before the mode, which may let nobody write.
            note_owner(path, attributes).map_err(failed)?;
        }
        if let Some(mode) = mode {
            // Never a link: `mode` is none for those, and nobody else writes here.
            rustix::fs::chmod(path, Mode::from_bits_truncate(mode)).map_err(failed)?;
        }
        if self != Self::Plain {
            for (name, value) in &attributes.xattrs {
                self.set_xattr(path, name, value)?;
            }
        }
        set_mtime(path, attributes.mtime)
    }

    fn set_xattr(self, path: &Path, name: &[u8], value: &[u8]) -> Result<(), TreeError> {
        if !is_allowed(name) {
            tracing::debug!(name = %String::from_utf8_lossy(name), "an extended attribute of an image is left out");
            return Ok(());
        }
        match rustix::fs::lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            // Links and devices take no `user.` attributes, some file systems none at all, and users no capabilities.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => Ok(()),
            Err(error) => Err(TreeError::Io(path.to_owned(), error.into())),
        }
    }
}

/// Root's files have no note.
fn note_owner(path: &Path, attributes: &Attributes) -> Result<(), Errno> {
    let noted = match (attributes.uid, attributes.gid) {
        (0, 0) => rustix::fs::lremovexattr(path, OWNER),
        (uid, gid) => rustix::fs::lsetxattr(path, OWNER, format!("{uid}:{gid}").as_bytes(), XattrFlags::empty()),
    };
    match noted {
        // There was none; or links and pipes, whose owners hardly matter, and some file systems take none.
        Err(Errno::NODATA | Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => Ok(()),
        noted => noted,
    }
}

/// Which extended attributes an image may set: file capabilities, and what programs note for themselves. All others
/// speak to the host: `trusted.overlay.*` and `user.overlay.*` direct overlayfs itself, `user.nacelle.*` this program,
/// `security.selinux` and the like are the host's policy.
fn is_allowed(name: &[u8]) -> bool {
    let overlay = name.starts_with(b"user.overlay.") || name == b"user.overlay";
    let ours = name.starts_with(b"user.nacelle.");
    name == b"security.capability" || (name.starts_with(b"user.") && !overlay && !ours && !name.contains(&0))
}

/// Sets the time of modification of `path` itself. A time that the file system cannot keep is no reason to refuse an image.
pub(super) fn set_mtime(path: &Path, seconds: u64) -> Result<(), TreeError> {
    let seconds = i64::from(u32::try_from(seconds).unwrap_or(u32::MAX));
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| TreeError::Io(path.to_owned(), io::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_direct_the_host_are_left_out() {
        for name in ["security.capability", "user.note", "user.overlays"] {
            assert!(is_allowed(name.as_bytes()), "{name}");
        }
        for name in [
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "user.overlay.opaque",
            "user.nacelle.owner",
            "security.selinux",
            "security.ima",
            "system.posix_acl_access",
            "user.a\0b",
            "",
        ] {
            assert!(!is_allowed(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn only_a_linux_tree_has_more_than_permissions() {
        assert_eq!(Keep::Plain.file_mode(0o4555), 0o755);
        assert_eq!(Keep::Plain.directory_mode(0o1077), 0o777);
        assert_eq!(Keep::Everything.file_mode(0o4511), 0o4511);
        assert_eq!(Keep::Everything.directory_mode(0o1777), 0o1777);
        assert_eq!(Keep::Unprivileged.directory_mode(0o555), 0o755);
    }
}
