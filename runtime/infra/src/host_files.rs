//! What a Linux container is given of its pod's files: paths of the host that are mounted into it.
//!
//! The same volumes as in [`fs`](crate::fs) trees, as the kernel can mount them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{FsError, IoContext as _, MountError};
use crate::incarnation::{Incarnation, MountConfig, normalize_path};
use crate::volume::{Volume, VolumeKind};
use crate::{FsConfig, Infra};

/// A file or directory of the host that appears in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMount {
    /// What appears. A `subPath` is resolved already, and the path cannot be changed by a container.
    pub source: PathBuf,
    /// Where: an absolute path in the container.
    pub target: String,
    /// No write goes through this mount.
    pub read_only: bool,
    /// Kubernetes' `recursiveReadOnly`: mounts below the source are read-only as well.
    pub recursive_read_only: bool,
    /// Kubernetes' `mountPropagation`.
    pub propagation: Propagation,
}

/// Kubernetes' `mountPropagation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Propagation {
    /// Mounts made later on either side are not seen on the other: `None`.
    #[default]
    Private,
    /// The container sees mounts that the host makes later.
    HostToContainer,
    /// The host sees the container's as well; for privileged containers.
    Bidirectional,
}

impl Infra {
    /// What is mounted into a Linux container, in the order in which mounts are made: managed files, the termination
    /// log, volumes. `own` is its incarnation, made from the same `config`. Blocks on file I/O.
    ///
    /// # Errors
    /// [`FsError`] when a mount does not fit the pod.
    pub fn host_mounts(&self, config: &FsConfig, own: &Incarnation) -> Result<Vec<HostMount>, FsError> {
        let managed = own.home().join("managed");
        std::fs::create_dir(&managed).context("create", &managed)?;
        let mut mounts = Vec::new();
        let content = self.network.managed_files();
        for (target, name, bytes) in [
            ("/etc/hosts", "hosts", &content.hosts),
            ("/etc/hostname", "hostname", &content.hostname),
            ("/etc/resolv.conf", "resolv.conf", &content.resolv_conf),
        ] {
            mounts.extend(own_file(&managed, name, bytes, target, config)?);
        }
        if let Some(target) = config.termination_log.as_deref().map(normalize_path) {
            let log = own_file(&managed, "termination-log", &[], &target, config)?;
            for mount in &log {
                // Whatever user the container is.
                crate::dirs::set_mode(&mount.source, 0o666)?;
            }
            mounts.extend(log);
        }
        let mut volumes = Vec::new();
        for mount in &config.mounts {
            let target = normalize_path(&mount.path);
            let source = self.host_source(mount).map_err(|source| FsError::Mount { path: target.clone(), source })?;
            let MountConfig { read_only, recursive_read_only, propagation, .. } = *mount;
            volumes.push(HostMount { source, target, read_only, recursive_read_only, propagation });
        }
        volumes.sort_by(|a, b| a.target.cmp(&b.target));
        mounts.extend(volumes);
        Ok(mounts)
    }

    fn host_source(&self, mount: &MountConfig) -> Result<PathBuf, MountError> {
        let Volume { name, kind, .. } =
            self.volume(&mount.volume).ok_or_else(|| MountError::NoVolume(mount.volume.clone()))?;
        let root = match kind {
            VolumeKind::EmptyDir(_) => self.state.path().join("volumes").join(name),
            VolumeKind::HostPath { path } => path.clone(),
            VolumeKind::Image { root } => root.clone(),
            VolumeKind::EmptyMemory { .. } | VolumeKind::Files => return Err(MountError::NotOnHost(name.clone())),
        };
        match mount.sub_path.as_deref().unwrap_or_default() {
            "" => Ok(root),
            _ => Err(MountError::NotOnHost(name.clone())),
        }
    }
}

/// A file that belongs to one incarnation, unless a volume is mounted exactly there.
fn own_file(
    dir: &Path,
    name: &str,
    content: &[u8],
    target: &str,
    config: &FsConfig,
) -> Result<Option<HostMount>, FsError> {
    if config.mounts.iter().any(|mount| normalize_path(&mount.path) == target) {
        return Ok(None);
    }
    let source = dir.join(name);
    std::fs::write(&source, content).context("write", &source)?;
    crate::dirs::set_mode(&source, 0o644)?;
    let (read_only, recursive_read_only, propagation) = (false, false, Propagation::Private);
    Ok(Some(HostMount { source, target: target.to_owned(), read_only, recursive_read_only, propagation }))
}
