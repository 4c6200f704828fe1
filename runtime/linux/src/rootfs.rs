//! A container's root filesystem: its image's layers with a writable one above.
//!
//! ```text
//!   layers (image store, read-only) ─┐
//!   scratch/upper  what it writes ───┼─ overlayfs ─► scratch/root
//!   scratch/work   overlayfs' own ───┘
//!                                      or a copy of all layers in scratch/root, where there is no overlayfs
//! ```
//!
//! The layers are in overlayfs' own form, as the image store unpacks them. Mounts are made in the mount namespace of the
//! caller, which is best one of its own, so that they end with it; what a process that was killed left in another one is
//! found by its path ([`mounts::detach_below`]).
//!
//! Must not depend on what an image or a container is.

mod copy;
pub(crate) mod mapped;
pub mod mounts;
mod overlay;
pub(crate) mod owners;

use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, Uid};
use rustix::io::Errno;

use self::mapped::Access;
use crate::se_linux;
use crate::users::Users;

const ROOT: &str = "root";
const UPPER: &str = "upper";
const WORK: &str = "work";

/// Makes a container's root of its image's layers, lowest first, and gives its directory. `scratch` is an empty directory
/// of the container's own. All files in it have SELinux' `label`, if there is one. Blocking.
///
/// # Errors
/// When the layers can neither be mounted nor copied; what was made so far stays in `scratch`, to be removed with it.
pub fn mount(layers: &[PathBuf], scratch: &Path, label: Option<&str>) -> io::Result<PathBuf> {
    let top = layers.last().ok_or_else(no_layers)?;
    let root = make(scratch, ROOT, top)?;
    let upper = make(scratch, UPPER, top)?;
    let work = make(scratch, WORK, top)?;
    match overlay::mount(layers, &upper, &work, &root, label) {
        Ok(()) => Ok(root),
        // Not built into the kernel; not allowed, as without root on older kernels; not on this filesystem, as where the
        // state directory is on an overlay itself.
        Err(error @ (Errno::NODEV | Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            tracing::warn!(%error, "overlayfs cannot be used for containers' roots here: images are copied");
            copy::merge(layers, &root)?;
            label.map_or(Ok(()), |label| se_linux::label_files(&root, label))?;
            Ok(root)
        }
        Err(error) => Err(error.into()),
    }
}

/// As [`mount`], for containers whose ids are those of `users`: what the image's root owns is owned by theirs. Gives
/// `staging/root`; `staging` is an empty directory that is reached by everybody, and what is mounted in it is the
/// container's.
///
/// ```text
///   layers ─ translated ─► staging/0, 1, … ─┐
///   scratch/upper  owned by the pod's ids ──┼─ overlayfs ─► staging/root
///   scratch/work ───────────────────────────┘
/// ```
pub(crate) fn mount_for(
    users: &Users,
    layers: &[PathBuf],
    scratch: &Path,
    staging: &Path,
    label: Option<&str>,
) -> io::Result<PathBuf> {
    let top = layers.last().ok_or_else(no_layers)?;
    let mut translated = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let target = staging.join(format!("layer-{index}"));
        mapped::mount(layer, users.namespace().as_fd(), &target, Access::ReadOnly)?;
        translated.push(target);
    }
    let upper = make(scratch, UPPER, top)?;
    let work = make(scratch, WORK, top)?;
    for dir in [&upper, &work] {
        let metadata = std::fs::symlink_metadata(dir)?;
        let on_host = |id| users.ids().on_host(id).unwrap_or(users.ids().first());
        let (uid, gid) = (Uid::from_raw(on_host(metadata.uid())), Gid::from_raw(on_host(metadata.gid())));
        rustix::fs::chown(dir, Some(uid), Some(gid))?;
    }
    let root = staging.join(ROOT);
    DirBuilder::new().mode(0o700).create(&root)?;
    match overlay::mount(&translated, &upper, &work, &root, label) {
        Ok(()) => Ok(root),
        // As above, or a kernel whose overlayfs takes no translated layers (before 5.19).
        Err(error @ (Errno::NODEV | Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            tracing::warn!(%error, "overlayfs cannot be used for containers' roots here: images are copied");
            let copied = make(scratch, ROOT, top)?;
            copy::merge(layers, &copied)?;
            label.map_or(Ok(()), |label| se_linux::label_files(&copied, label))?;
            std::fs::remove_dir(&root)?;
            mapped::mount(&copied, users.namespace().as_fd(), &root, Access::Writable)?;
            Ok(root)
        }
        Err(error) => Err(error.into()),
    }
}

fn no_layers() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "an image has one layer at least")
}

/// Unmounts what [`mount`] mounted; fine where that is nothing. Blocking.
///
/// # Errors
/// When the kernel refuses to.
pub fn unmount(scratch: &Path) -> io::Result<()> {
    mounts::detach(&scratch.join(ROOT))
}

/// A directory with the owner and mode of the image's `/`: overlayfs shows those of the upper one.
fn make(scratch: &Path, name: &str, top: &Path) -> io::Result<PathBuf> {
    let path = scratch.join(name);
    DirBuilder::new().mode(0o700).create(&path)?;
    let metadata = std::fs::symlink_metadata(top)?;
    match rustix::fs::chown(&path, Some(Uid::from_raw(metadata.uid())), Some(Gid::from_raw(metadata.gid()))) {
        // Files of a user who is not root are all theirs.
        Ok(()) | Err(Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::fs::chmodat(CWD, &path, Mode::from_bits_truncate(metadata.mode() & 0o7777), rustix::fs::AtFlags::empty())?;
    Ok(path)
}

#[cfg(test)]
mod tests;
