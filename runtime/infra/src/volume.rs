//! A pod's volumes: set up with the pod, removed with it.

mod files;
mod host_path;

pub(crate) use files::{MAX_BYTES, MAX_FILES, is_plain_relative};

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::{Medium, VolumeConfig, VolumeFile, VolumeSource};
use crate::error::{DirsError, IoContext as _, VolumeError};

/// A volume that has been set up.
#[derive(Debug)]
pub(crate) struct Volume {
    /// Its name in the pod.
    pub(crate) name: String,
    /// Where its content is.
    pub(crate) path: PathBuf,
    /// What that is.
    pub(crate) kind: VolumeKind,
}

/// What differs between volumes once they are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VolumeKind {
    /// A directory of the pod.
    EmptyDir(Medium),
    /// Anything of the host.
    HostPath,
    /// Content that the front end gives.
    Files(Medium),
    /// An image.
    Image,
}

impl VolumeKind {
    /// Whether a container can be allowed to write to it.
    pub(crate) fn writable(self) -> bool {
        matches!(self, Self::EmptyDir(_) | Self::HostPath)
    }
}

impl Volume {
    /// Sets a volume up. `own` makes a directory for it in a medium.
    pub(crate) fn create(
        config: &VolumeConfig,
        own: impl FnOnce(Medium) -> Result<PathBuf, VolumeError>,
    ) -> Result<Self, VolumeError> {
        let (kind, path) = match &config.source {
            VolumeSource::EmptyDir { medium } => {
                let path = own(*medium)?;
                // As the kubelet does: containers of any user may write.
                set_mode(&path, 0o777)?;
                (VolumeKind::EmptyDir(*medium), path)
            }
            VolumeSource::HostPath { path, kind } => {
                host_path::check(path, *kind)?;
                (VolumeKind::HostPath, path.clone())
            }
            VolumeSource::Files { files, medium } => {
                files::validate(files)?;
                let path = own(*medium)?;
                set_mode(&path, 0o755)?;
                files::write(&path, files)?;
                (VolumeKind::Files(*medium), path)
            }
            VolumeSource::Image { root } => {
                let is_dir = std::fs::metadata(root).context("open", root)?.is_dir();
                if !is_dir {
                    let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
                    return Err(DirsError::io("open", root, error).into());
                }
                (VolumeKind::Image, root.clone())
            }
        };
        Ok(Self { name: config.name.clone(), path, kind })
    }

    /// Gives a content volume other content, atomically. Returns whether anything changed.
    pub(crate) fn update(&self, files: &[VolumeFile]) -> Result<bool, VolumeError> {
        let VolumeKind::Files(_) = self.kind else { return Err(VolumeError::NotFiles) };
        files::validate(files)?;
        files::write(&self.path, files)
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), DirsError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).context("set the mode of", path)
}
