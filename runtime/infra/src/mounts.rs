//! What a volume mount shows, and how it gets into a container.
//!
//! A WASI preopen is a directory, so a directory is mounted as it is, and a single file (a `subPath` that names one,
//! a hostPath that is one) is put into the container's own root instead:
//!
//! | source | mount | what the container gets |
//! |---|---|---|
//! | content volume, image | (read-only) | a copy; Kubernetes does not update `subPath` mounts either |
//! | emptyDir, hostPath | read-only | a copy; where the whole root is read-only, the file itself if it can be linked |
//! | emptyDir, hostPath | writable | the file itself, by a hard link; on another filesystem an error |
//!
//! A copy whose source must stay in memory is in memory too: see [`crate::ContainerFs`].

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{AtFlags, CWD, OFlags};

use crate::Infra;
use crate::error::{DirsError, IoContext as _, MountError};
use crate::tree::{copy_file, in_root, is_escape, open_dir};
use crate::volume::{Volume, is_plain_relative};

/// A volume, or a part of one, at a path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountConfig {
    /// The volume's name in the pod.
    pub volume: String,
    /// Where it appears; a relative path is taken from `/`.
    pub path: String,
    /// The part of the volume that appears; `None` or empty for all of it.
    pub sub_path: Option<String>,
    /// No write goes through this mount.
    pub read_only: bool,
}

/// What a mount shows, found and held open.
#[derive(Debug)]
pub(crate) enum MountSource {
    /// A directory.
    Dir {
        /// Its path in this process.
        path: PathBuf,
        /// Keeps `path` meaning the directory that was checked, if `path` goes through it.
        pin: Option<Dir>,
        /// No write goes through.
        read_only: bool,
    },
    /// A file.
    File(FileSource),
}

/// A single file that is to appear in a container.
#[derive(Debug)]
pub(crate) struct FileSource {
    file: File,
    mode: u32,
    /// For messages.
    path: PathBuf,
    /// The container may write to the file itself.
    writable: bool,
    /// The container may be given the file itself at all.
    linkable: bool,
    /// Its content must not reach a disk.
    pub(crate) in_memory: bool,
}

impl Infra {
    /// Finds what a mount shows. A missing `subPath` of a writable volume becomes a directory, as the kubelet does.
    pub(crate) fn resolve_mount(&self, mount: &MountConfig) -> Result<MountSource, MountError> {
        let volume = self.volume(&mount.volume).ok_or_else(|| MountError::NoVolume(mount.volume.clone()))?;
        let read_only = mount.read_only || !volume.kind.writable();
        match mount.sub_path.as_deref() {
            None | Some("") => whole(volume, read_only),
            Some(sub_path) => part(volume, sub_path, read_only),
        }
    }
}

fn whole(volume: &Volume, read_only: bool) -> Result<MountSource, MountError> {
    let path = &volume.path;
    let metadata = std::fs::metadata(path).context("mount", path)?;
    if metadata.is_dir() {
        return Ok(MountSource::Dir { path: path.clone(), pin: None, read_only });
    }
    if !metadata.is_file() {
        return Err(MountError::Special(path.clone()));
    }
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(nonblocking()).open(path).context("mount", path)?;
    FileSource::new(file, path.clone(), volume, read_only).map(MountSource::File)
}

/// Everything goes through the volume's directory, which lets no link out, and what was found is held open: a
/// container that changes the volume meanwhile changes nothing about what is mounted (CVE-2017-1002101).
fn part(volume: &Volume, sub_path: &str, read_only: bool) -> Result<MountSource, MountError> {
    if !is_plain_relative(sub_path) {
        return Err(MountError::BadSubPath(sub_path.to_owned()));
    }
    let shown = volume.path.join(sub_path);
    let failed = |error: io::Error| {
        if is_escape(&error) {
            MountError::Escape { sub_path: sub_path.to_owned(), volume: volume.name.clone() }
        } else {
            DirsError::io("mount", &shown, error).into()
        }
    };
    let dir = open_dir(&volume.path).context("mount", &volume.path)?;
    let is_dir = match dir.metadata(sub_path) {
        Ok(metadata) if metadata.is_dir() => true,
        Ok(metadata) if metadata.is_file() => false,
        Ok(_) => return Err(MountError::Special(shown)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && volume.kind.writable() => {
            dir.create_dir_all(sub_path).map_err(failed)?;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(MountError::NoSubPath { sub_path: sub_path.to_owned(), volume: volume.name.clone() });
        }
        Err(error) => return Err(failed(error)),
    };
    if is_dir {
        let pin = dir.open_dir(sub_path).map_err(failed)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", pin.as_raw_fd()));
        return Ok(MountSource::Dir { path, pin: Some(pin), read_only });
    }
    let mut options = OpenOptions::new();
    let file = dir.open_with(sub_path, options.read(true).custom_flags(nonblocking())).map_err(failed)?;
    FileSource::new(file.into_std(), shown, volume, read_only).map(MountSource::File)
}

/// For opening what may have become a pipe since it was looked at: opening one would wait for its writer.
pub(crate) fn nonblocking() -> i32 {
    // A flag far below 2^31 on every platform.
    i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default()
}

impl FileSource {
    fn new(file: File, path: PathBuf, volume: &Volume, read_only: bool) -> Result<Self, MountError> {
        let metadata = file.metadata().context("mount", &path)?;
        if !metadata.is_file() {
            return Err(MountError::Special(path));
        }
        Ok(Self {
            file,
            mode: metadata.permissions().mode(),
            path,
            writable: !read_only,
            linkable: volume.kind.writable(),
            in_memory: Infra::in_memory(volume),
        })
    }

    /// Puts the file into a container's root at `path`, in place of a file that is there. Links in the root are
    /// followed as if the root were all there is.
    pub(crate) fn place(&self, root: &Dir, path: &Path, root_read_only: bool) -> Result<(), MountError> {
        let target = in_root(root, path).context("mount a file at", path)?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(MountError::OverRoot);
        };
        root.create_dir_all(parent).context("create", parent)?;
        let parent = if parent.as_os_str().is_empty() { root.try_clone() } else { root.open_dir(parent) };
        let parent = parent.context("open", &target)?;
        match parent.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DirsError::io("mount a file at", path, error).into());
            }
            _ => {}
        }
        if self.linkable && (self.writable || root_read_only) {
            let source = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            match rustix::fs::linkat(CWD, source, &parent, name, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(()),
                Err(error) if self.writable => {
                    tracing::debug!(path = %self.path.display(), %error, "cannot link a file into a container's root");
                    return Err(MountError::WritableFile(self.path.clone()));
                }
                // A copy shows the same.
                Err(_) => {}
            }
        }
        let mut options = OpenOptions::new();
        let copy = parent.open_with(name, options.write(true).create_new(true).mode(0o600)).context("create", path)?;
        Ok(copy_file(&self.file, &copy.into_std(), self.mode).context("copy", &self.path)?)
    }
}
