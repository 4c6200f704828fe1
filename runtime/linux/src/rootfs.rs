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
pub mod mounts;
mod overlay;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, Uid};
use rustix::io::Errno;

const ROOT: &str = "root";
const UPPER: &str = "upper";
const WORK: &str = "work";

/// Makes a container's root of its image's layers, lowest first, and gives its directory. `scratch` is an empty directory
/// of the container's own. Blocking.
///
/// # Errors
/// When the layers can neither be mounted nor copied; what was made so far stays in `scratch`, to be removed with it.
pub fn mount(layers: &[PathBuf], scratch: &Path) -> io::Result<PathBuf> {
    let Some(top) = layers.last() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an image has one layer at least"));
    };
    let root = make(scratch, ROOT, top)?;
    let upper = make(scratch, UPPER, top)?;
    let work = make(scratch, WORK, top)?;
    match overlay::mount(layers, &upper, &work, &root) {
        Ok(()) => Ok(root),
        // Not built into the kernel; not allowed, as without root on older kernels; not on this filesystem, as where the
        // state directory is on an overlay itself.
        Err(error @ (Errno::NODEV | Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            tracing::warn!(%error, "overlayfs cannot be used for containers' roots here: images are copied");
            copy::merge(layers, &root)?;
            Ok(root)
        }
        Err(error) => Err(error.into()),
    }
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
