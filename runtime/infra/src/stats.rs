//! What a pod has used of what its containers share. Plain data: it can cross a process boundary.
//!
//! Figures of disks are those that limits are checked with ([`StorageUsage`]). A filesystem's own figures are its
//! statvfs(3)'s, as the kubelet's are.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Infra;
use crate::error::{DirsError, IoContext as _};
use crate::network::NetworkStats;
use crate::storage::StorageUsage;
use crate::volume::{MAX_INODES, Volume, VolumeKind};

/// What files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUsage {
    /// Bytes.
    pub bytes: u64,
    /// Files, directories and links.
    pub inodes: u64,
}

/// What a filesystem can hold, and how much of that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpace {
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes that can still be written without privileges.
    pub available: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes that are left.
    pub inodes_free: u64,
}

/// A volume of the pod's own: emptyDirs, and content that the front end gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStats {
    /// Its name in the pod.
    pub name: String,
    /// What it holds.
    pub used: FileUsage,
    /// What it could hold: of the filesystem below, or of a volume in memory that has a limit.
    pub space: Option<FileSpace>,
    /// Whether that is in memory.
    pub in_memory: bool,
}

/// A pod's memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodMemoryStats {
    /// What its containers, memory volumes and sockets take together.
    pub usage: u64,
    /// Its limit, if it has one.
    pub limit: Option<u64>,
}

/// What a pod has used of what its containers share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraStats {
    /// Memory.
    pub memory: PodMemoryStats,
    /// Network.
    pub network: NetworkStats,
    /// What it has on a disk.
    pub storage: StorageUsage,
    /// The filesystem with its emptyDirs, roots and logs.
    pub space: Option<FileSpace>,
    /// Its own volumes, in the order of the pod.
    pub volumes: Vec<VolumeStats>,
}

impl FileSpace {
    /// Of the filesystem that has `path`.
    ///
    /// # Errors
    /// As statvfs(3).
    pub fn of(path: &Path) -> Result<Self, DirsError> {
        let found = rustix::fs::statvfs(path).map_err(std::io::Error::from).context("ask for the space of", path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self {
            capacity: bytes(found.f_blocks),
            available: bytes(found.f_bavail),
            inodes: found.f_files,
            inodes_free: found.f_favail,
        })
    }

    /// All that is used of it, for one that has nothing else on it.
    fn used(self) -> FileUsage {
        FileUsage {
            bytes: self.capacity.saturating_sub(self.available),
            inodes: self.inodes.saturating_sub(self.inodes_free),
        }
    }

    fn in_memory(limit: u64, used: FileUsage) -> Self {
        Self {
            capacity: limit,
            available: limit.saturating_sub(used.bytes),
            inodes: MAX_INODES,
            inodes_free: MAX_INODES.saturating_sub(used.inodes),
        }
    }
}

impl Infra {
    /// What the pod has used. EmptyDirs are counted for that, unless that was done a moment ago. Blocks on file I/O.
    pub fn stats(&self) -> InfraStats {
        let space = FileSpace::of(self.state.path());
        let space = space.inspect_err(|error| tracing::debug!(%error, "a pod's filesystem has no figures")).ok();
        // First: it counts what volumes then tell.
        let storage = self.storage_usage();
        InfraStats {
            memory: PodMemoryStats { usage: self.memory.used(), limit: self.memory.limit() },
            network: self.network.stats(),
            storage,
            space,
            volumes: self.volumes().iter().filter_map(|volume| volume.stats(space)).collect(),
        }
    }
}

impl Volume {
    /// `disk`: the filesystem with the pod's directories. `None` for what is not the pod's own.
    fn stats(&self, disk: Option<FileSpace>) -> Option<VolumeStats> {
        let (used, space, in_memory) = match &self.kind {
            VolumeKind::EmptyDir(quota) => {
                (FileUsage { bytes: quota.account().used(), inodes: quota.inodes() }, disk, false)
            }
            VolumeKind::EmptyMemory { limit } => {
                let used = self.tree.memory_usage();
                (used, limit.map(|limit| FileSpace::in_memory(limit, used)), true)
            }
            VolumeKind::EmptyTmpfs { path } => {
                let space = FileSpace::of(path).ok();
                (space.map(FileSpace::used).unwrap_or_default(), space, true)
            }
            VolumeKind::Files { .. } => (self.tree.memory_usage(), None, true),
            VolumeKind::HostPath { .. } | VolumeKind::Image { .. } => return None,
        };
        Some(VolumeStats { name: self.name.clone(), used, space, in_memory })
    }
}
