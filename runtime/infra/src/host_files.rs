//! What a Linux container is given of its pod's files: paths of the host that are mounted into it.
//!
//! The same volumes as in [`fs`](crate::fs) trees, as the kernel can mount them:
//!
//! | volume | on the host |
//! |---|---|
//! | emptyDir, hostPath, image | where it is |
//! | emptyDir of medium Memory | `mounts/volume-NAME`, a tmpfs that wasm containers use as well |
//! | content: configMap, secret, downwardAPI, projected | `mounts/content/NAME`, in one tmpfs for the pod, made when the first Linux container comes |
//!
//! `/dev/shm` is none of it: it belongs to the namespaces that the containers share, and whoever makes those.
//!
//! A `subPath` is found by whoever mounts ([`HostMount::sub_path`]), as what it leads to could be exchanged until then.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use crate::error::{DirsError, FsError, IoContext as _, MountError};
use crate::incarnation::{Incarnation, MountConfig, normalize_path};
use crate::tmpfs::{self, Mounted};
use crate::volume::{Volume, VolumeKind};
use crate::{FsConfig, Infra};

/// A file or directory of the host that appears in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMount {
    /// What appears, or holds what does. No container can change this path.
    pub source: PathBuf,
    /// What appears of the source: a relative path without `..`. A container may put links on the way at any time, so it
    /// must be opened below the source (`RESOLVE_BENEATH`) and mounted by descriptor.
    pub sub_path: Option<String>,
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

/// The directory of managed files in an incarnation's own.
const MANAGED: &str = "managed";
/// The file of a termination log in it.
const TERMINATION_LOG: &str = "termination-log";

/// The most files of content volumes.
const INODES: u64 = 1 << 20;

impl Incarnation {
    /// The host's file that a Linux container has for its termination log; there is none where a volume is mounted at its
    /// place. A container can change what is in it, and nothing else.
    pub fn host_termination_log(&self) -> Option<PathBuf> {
        let path = self.home().join(MANAGED).join(TERMINATION_LOG);
        path.is_file().then_some(path)
    }
}

impl Infra {
    /// What is mounted into a Linux container, in the order in which mounts are made: managed files, the termination
    /// log, volumes. `own` is its incarnation, made from the same `config`. Blocks on file I/O.
    ///
    /// # Errors
    /// [`FsError`] when a mount does not fit the pod.
    pub fn host_mounts(&self, config: &FsConfig, own: &Incarnation) -> Result<Vec<HostMount>, FsError> {
        let managed = own.home().join(MANAGED);
        std::fs::create_dir(&managed).context("create", &managed)?;
        let mut mounts = Vec::new();
        let content = self.network.managed_files();
        for (target, name, bytes) in [
            ("/etc/hosts", "hosts", &content.hosts),
            ("/etc/hostname", "hostname", &content.hostname),
            ("/etc/resolv.conf", "resolv.conf", &content.resolv_conf),
        ] {
            mounts.extend(own_file(&managed, name, bytes.as_bytes(), target, config)?);
        }
        if let Some(target) = config.termination_log.as_deref().map(normalize_path) {
            let log = own_file(&managed, TERMINATION_LOG, &[], &target, config)?;
            if let Some(mount) = &log {
                // Whatever user the container is.
                crate::dirs::set_mode(&mount.source, 0o666)?;
            }
            mounts.extend(log);
        }
        let content = self.content().map_err(FsError::Dirs)?;
        let mut volumes = Vec::new();
        for mount in &config.mounts {
            let target = normalize_path(&mount.path);
            let volume = self.volume(&mount.volume).ok_or_else(|| FsError::Mount {
                path: target.clone(),
                source: MountError::NoVolume(mount.volume.clone()),
            })?;
            let source =
                host_source(volume, &self.state.path().join("volumes"), content.as_deref())?.ok_or_else(|| {
                    FsError::Mount { path: target.clone(), source: MountError::NotOnHost(volume.name.clone()) }
                })?;
            let MountConfig { recursive_read_only, propagation, .. } = *mount;
            let read_only = mount.read_only || !volume.is_writable();
            let sub_path = mount.sub_path.clone().filter(|sub_path| !sub_path.is_empty());
            volumes.push(HostMount { source, sub_path, target, read_only, recursive_read_only, propagation });
        }
        volumes.sort_by(|a, b| a.target.cmp(&b.target));
        mounts.extend(volumes);
        Ok(mounts)
    }

    /// Where content volumes are, by name, if the pod has any. Made once, before the first Linux container: what mounts
    /// those sees only what was mounted before it began.
    fn content(&self) -> Result<Option<PathBuf>, DirsError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let has_any = self.volumes.iter().any(|volume| matches!(volume.kind, VolumeKind::Files { .. }));
        if content.is_some() || !has_any {
            return Ok(content.clone());
        }
        let limits = tmpfs::Limits { bytes: None, inodes: INODES };
        let path = match tmpfs::mount(&self.state, "content", 0o755, limits)? {
            Mounted::Tmpfs(path) => path,
            Mounted::NotAllowed(path) => {
                // A plain directory, closed to other users by the state directory's mode.
                crate::dirs::set_mode(&path, 0o755)?;
                path
            }
        };
        Ok(Some(content.insert(path).clone()))
    }
}

/// Where the kernel finds a volume; `None` if it cannot. `disk` is where emptyDirs are.
fn host_source(volume: &Volume, disk: &Path, content: Option<&Path>) -> Result<Option<PathBuf>, DirsError> {
    Ok(match &volume.kind {
        VolumeKind::EmptyDir(_) => Some(disk.join(&volume.name)),
        VolumeKind::HostPath { path } => Some(path.clone()),
        VolumeKind::Image { root } => Some(root.clone()),
        VolumeKind::EmptyTmpfs { path } => Some(path.clone()),
        VolumeKind::EmptyMemory { .. } => None,
        VolumeKind::Files { .. } => match content {
            Some(content) => volume.show_on_host(&content.join(&volume.name))?,
            None => None,
        },
    })
}

/// All of `source`, writable.
fn plain(source: PathBuf, target: &str) -> HostMount {
    HostMount {
        source,
        sub_path: None,
        target: target.to_owned(),
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
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
    Ok(Some(plain(source, target)))
}
