//! Mounts of files whose owners are a pod's own ids (mount_setattr(2)): on the host they stay what they are.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, FileType};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use crate::sys::{self, MountChange};

/// Whether a container can write to a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Writable,
    ReadOnly,
    /// With all that is mounted below it.
    RecursivelyReadOnly,
}

/// Mounts what is at `source`, with all below it, at the new place `target`: what belongs to an id on the host belongs to
/// the same id of this user namespace. As in other runtimes, what is mounted below it is not translated.
///
/// # Errors
/// When the kernel or the file system cannot translate ids.
pub(crate) fn mount(source: &Path, users: BorrowedFd<'_>, target: &Path, access: Access) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_NO_AUTOMOUNT;
    let mount = rustix::mount::open_tree(CWD, source, flags)?;
    sys::change_mount(mount.as_fd(), MountChange { ids: Some(users), ..MountChange::default() }).map_err(|error| {
        let why = match error {
            Errno::INVAL | Errno::OPNOTSUPP => "the file system there cannot translate ids (idmapped mounts)",
            Errno::NOSYS => "this kernel cannot translate ids (idmapped mounts, Linux 5.12)",
            other => return other.into(),
        };
        let what = format!(
            "spec.hostUsers: false: {}: {why}: move it to one that can, such as ext4, xfs, btrfs or tmpfs",
            source.display()
        );
        io::Error::new(io::ErrorKind::Unsupported, what)
    })?;
    if access != Access::Writable {
        let recursive = access == Access::RecursivelyReadOnly;
        sys::change_mount(mount.as_fd(), MountChange { read_only: true, recursive, ids: None })?;
    }
    if FileType::from_raw_mode(rustix::fs::fstat(&mount)?.st_mode) == FileType::Directory {
        DirBuilder::new().mode(0o700).create(target)?;
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    }
    Ok(rustix::mount::move_mount(&mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}
