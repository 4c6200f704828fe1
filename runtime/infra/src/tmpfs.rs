//! Filesystems in memory that the kernel can mount into Linux containers: of medium Memory, and for content.
//!
//! They are mounted in this process's own mount namespace, in one directory of the pod's ([`DIR`]), so that wasm containers
//! use them through [`fs`](crate::fs) trees and whoever removes the pod's directory finds what a killed process left.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::dirs::PodDir;
use crate::error::{DirsError, IoContext as _};

/// The directory of a pod that all of its mounts are in.
pub(crate) const DIR: &str = "mounts";

/// What a tmpfs may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of content, in whole pages; none: half of the machine's memory, as the kernel has it.
    pub(crate) bytes: Option<u64>,
    /// Files, directories and links.
    pub(crate) inodes: u64,
}

/// Whether the kernel let one be mounted.
#[derive(Debug)]
pub(crate) enum Mounted {
    /// In this directory.
    Tmpfs(PathBuf),
    /// Mounting takes root: this is a plain directory.
    NotAllowed(PathBuf),
}

/// Mounts one called `name` for a pod; mode 0777 less nothing, as the kubelet makes volumes.
pub(crate) fn mount(pod: &PodDir, name: &str, mode: u32, limits: Limits) -> Result<Mounted, DirsError> {
    let path = pod.make(&[DIR, name])?;
    let size = limits.bytes.map(|bytes| format!(",size={}", bytes.max(4096))).unwrap_or_default();
    let options = format!("mode={mode:o},nr_inodes={}{size}", limits.inodes);
    let options = CString::new(options).map_err(|error| DirsError::io("mount a tmpfs at", &path, error.into()))?;
    // Programs in it can be run, as in any volume.
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    match rustix::mount::mount("nacelle", &path, "tmpfs", flags, options.as_c_str()) {
        Ok(()) => Ok(Mounted::Tmpfs(path)),
        Err(Errno::PERM) => Ok(Mounted::NotAllowed(path)),
        Err(error) => Err(DirsError::io("mount a tmpfs at", &path, error.into())),
    }
}

/// Unmounts all of a pod's, whose directory is `pod`. A pod without any costs one look.
pub(crate) fn unmount_all(pod: &Path) -> Result<(), DirsError> {
    let dir = pod.join(DIR);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DirsError::io("read", &dir, error)),
    };
    for entry in entries {
        let path = entry.context("read", &dir)?.path();
        loop {
            match rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                // One may lie over another.
                Ok(()) => {}
                // Nothing (any more); or this process may not, and so has not mounted anything either.
                Err(Errno::INVAL | Errno::NOENT | Errno::PERM) => break,
                Err(error) => return Err(DirsError::io("unmount", &path, error.into())),
            }
        }
    }
    Ok(())
}
