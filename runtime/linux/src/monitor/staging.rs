//! Where roots and volumes are mounted for containers with ids of their own: what they are mounted from may be in
//! directories that only the host's root may enter, and whoever sets such a container up is not that any more.
//!
//! A file system in memory, in the monitor's own mounts: nobody else sees it, and it ends with the monitor.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use crate::rootfs::mounts;

/// Reached by everybody on every machine. What is there otherwise is about other pods.
pub(super) const ROOT: &str = "/run/nacelle";

/// Makes it, in the mount namespace of the caller.
pub(super) fn make() -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(ROOT)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("nacelle", ROOT, "tmpfs", flags, c"mode=755,size=16m")?)
}

/// The directory for one container.
pub(super) fn of(key: &str) -> PathBuf {
    Path::new(ROOT).join(key)
}

/// Makes that directory, empty.
pub(super) fn make_for(key: &str) -> io::Result<PathBuf> {
    let dir = of(key);
    DirBuilder::new().mode(0o700).create(&dir)?;
    // Whatever the caller's mask is.
    std::fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
    Ok(dir)
}

/// Removes it with all that is mounted there; fine if there is none.
pub(super) fn remove(key: &str) -> io::Result<()> {
    let dir = of(key);
    mounts::detach_below(&dir)?;
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
