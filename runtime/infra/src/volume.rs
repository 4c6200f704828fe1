//! A pod's volumes: set up with the pod, removed with it. Each is a tree that containers mount.

mod host_path;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, Gid, Mode, OFlags};

use crate::budget::Budget;
use crate::config::{Medium, VolumeConfig, VolumeFile, VolumeSource};
use crate::dirs::{PodDir, set_mode};
use crate::error::{DirsError, IoContext as _, VolumeError};
use crate::fs::{DiskQuota, MemLimits, Ownership, Tree};
use crate::storage::PodStorage;
use crate::{host_content, tmpfs};

/// The most files, directories and links of a volume in memory.
pub(crate) const MAX_INODES: u64 = 1 << 20;

/// A volume that has been set up.
#[derive(Debug)]
pub(crate) struct Volume {
    /// Its name in the pod.
    pub(crate) name: String,
    /// Its files.
    pub(crate) tree: Tree,
    /// What it is.
    pub(crate) kind: VolumeKind,
}

/// What differs between volumes once they are set up.
#[derive(Debug)]
pub(crate) enum VolumeKind {
    /// A directory of the pod.
    EmptyDir(Arc<DiskQuota>),
    /// The same in memory, of at most so many bytes.
    EmptyMemory { limit: Option<u64> },
    /// The same in a tmpfs that is mounted at `path`.
    EmptyTmpfs { path: PathBuf },
    /// Anything of the host.
    HostPath { path: PathBuf },
    /// Content that the front end gives; `on_host` is where Linux containers see it, once there is one.
    Files { on_host: Mutex<Option<PathBuf>>, owner: Ownership },
    /// An image.
    Image { root: PathBuf },
}

/// What a volume is made in and counted against.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) state: &'a PodDir,
    pub(crate) memory: &'a Arc<Budget>,
    pub(crate) storage: &'a PodStorage,
    pub(crate) fs_group: Option<u32>,
}

impl Volume {
    /// Sets a volume up.
    pub(crate) fn create(config: &VolumeConfig, around: &Surroundings<'_>) -> Result<Self, VolumeError> {
        let owner = Ownership { fs_group: around.fs_group, ..Ownership::default() };
        let memory = || Arc::clone(around.memory);
        let (tree, kind) = match &config.source {
            VolumeSource::EmptyDir { medium: Medium::Disk, size_limit } => {
                let path = around.state.make(&["volumes", &config.name])?;
                let dir = make_shared(&path, around.fs_group)?;
                let account = around.storage.empty_dir(&config.name, some_limit(*size_limit));
                let quota = DiskQuota::new(dir.try_clone().context("open", &path)?, account);
                let quota = quota.map_err(|error| DirsError::io("count", &path, error.into()))?;
                (Tree::host(dir, Some(Arc::clone(&quota)))?, VolumeKind::EmptyDir(quota))
            }
            VolumeSource::EmptyDir { medium: medium @ (Medium::Memory | Medium::Tmpfs), size_limit } => {
                // The kubelet's rule: the smaller of the two, where there are two.
                let bytes = some_limit(*size_limit).into_iter().chain(around.memory.limit()).min();
                let mounted = match medium {
                    Medium::Tmpfs => mount_tmpfs(&config.name, bytes, around)?,
                    Medium::Memory | Medium::Disk => None,
                };
                match mounted {
                    Some(path) => {
                        let dir = make_shared(&path, around.fs_group)?;
                        (Tree::host(dir, None)?, VolumeKind::EmptyTmpfs { path })
                    }
                    None => {
                        let limits = MemLimits { bytes, inodes: MAX_INODES };
                        (Tree::memory(limits, owner, memory()), VolumeKind::EmptyMemory { limit: bytes })
                    }
                }
            }
            VolumeSource::HostPath { path, kind } => {
                host_path::check(path, *kind)?;
                (host(path)?, VolumeKind::HostPath { path: path.clone() })
            }
            VolumeSource::Files { files } => {
                let kind = VolumeKind::Files { on_host: Mutex::default(), owner };
                (Tree::content(files, owner, memory())?, kind)
            }
            VolumeSource::Image { root } => {
                let tree = Tree::host(open(root, OFlags::DIRECTORY)?, None)?;
                // However it is mounted: other pods use the same files.
                (tree.read_only(), VolumeKind::Image { root: root.clone() })
            }
        };
        Ok(Self { name: config.name.clone(), tree, kind })
    }

    /// Gives a content volume other content, atomically. Returns whether anything changed.
    pub(crate) fn update(&self, files: &[VolumeFile]) -> Result<bool, VolumeError> {
        let VolumeKind::Files { on_host, owner } = &self.kind else { return Err(VolumeError::NotFiles) };
        // Held, so that two updates come in the same order in both places.
        let on_host = on_host.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.tree.update(files)?;
        if let (true, Some(dir), Some(files)) = (changed, &*on_host, self.tree.content_files()) {
            host_content::write(dir, &files, *owner)?;
        }
        Ok(changed)
    }

    /// Shows a content volume in the directory `dir` as well, now and after each update, unless it has a place already.
    /// Gives the place; `None` for other volumes.
    pub(crate) fn show_on_host(&self, dir: &Path) -> Result<Option<PathBuf>, DirsError> {
        let VolumeKind::Files { on_host, owner } = &self.kind else { return Ok(None) };
        let mut on_host = on_host.lock().unwrap_or_else(PoisonError::into_inner);
        if on_host.is_none() {
            host_content::write(dir, &self.tree.content_files().unwrap_or_default(), *owner)?;
            *on_host = Some(dir.to_owned());
        }
        Ok(on_host.clone())
    }

    /// Whether a container can be allowed to write to it.
    pub(crate) fn is_writable(&self) -> bool {
        match self.kind {
            VolumeKind::EmptyDir(_)
            | VolumeKind::EmptyMemory { .. }
            | VolumeKind::EmptyTmpfs { .. }
            | VolumeKind::HostPath { .. } => true,
            VolumeKind::Files { .. } | VolumeKind::Image { .. } => false,
        }
    }
}

/// Where a tmpfs for the volume is mounted now; `None` where this process may not mount one.
fn mount_tmpfs(name: &str, bytes: Option<u64>, around: &Surroundings<'_>) -> Result<Option<PathBuf>, DirsError> {
    let limits = tmpfs::Limits { bytes, inodes: MAX_INODES };
    match tmpfs::mount(around.state, &format!("volume-{name}"), 0o777, limits)? {
        tmpfs::Mounted::Tmpfs(path) => Ok(Some(path)),
        tmpfs::Mounted::NotAllowed(_) => Ok(None),
    }
}

/// To the kubelet, a `sizeLimit` of 0 is none.
fn some_limit(size_limit: Option<u64>) -> Option<u64> {
    size_limit.filter(|limit| *limit > 0)
}

/// Lets containers of any user write to a new directory, as the kubelet does; what they make in it belongs to the
/// pod's group.
fn make_shared(path: &Path, group: Option<u32>) -> Result<OwnedFd, DirsError> {
    let dir = open(path, OFlags::DIRECTORY)?;
    let mode = match group.map(Gid::from_raw) {
        // Only root may give a directory to any group. Without it, the group is the runtime's, and everybody may write.
        Some(group) if rustix::fs::chownat(CWD, path, None, Some(group), rustix::fs::AtFlags::empty()).is_ok() => {
            0o2777
        }
        _ => 0o777,
    };
    set_mode(path, mode)?;
    Ok(dir)
}

/// Whatever is at `path` on the host, with links followed: who may write a manifest with a hostPath is trusted with it.
fn host(path: &Path) -> Result<Tree, VolumeError> {
    let found = open(path, OFlags::empty())?;
    let stat = rustix::fs::fstat(&found).map_err(|error| DirsError::io("check hostPath", path, error.into()))?;
    Ok(match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => Tree::host(found, None)?,
        _ => Tree::host_file(found)?,
    })
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, DirsError> {
    let opened = rustix::fs::open(path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|error| DirsError::io("open", path, error.into()))
}
