//! A pod's infra container, as a value.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::budget::Budget;
use crate::config::{InfraConfig, VolumeConfig, VolumeFile};
use crate::dirs::{NodeDirs, PodDir};
use crate::error::{DirsError, InfraError, VolumeError};
use crate::network::{NodeNetwork, PodNetwork};
use crate::storage::{OnExceeded, PodStorage, StorageUsage};
use crate::volume::{Surroundings, Volume, VolumeKind};

/// What the containers of one pod share. Owns its directories: while it lives, no sweep removes them.
///
/// All methods but [`Infra::create`] block on file I/O.
#[derive(Debug)]
pub struct Infra {
    pub(crate) network: Arc<PodNetwork>,
    pub(crate) memory: Arc<Budget>,
    pub(crate) storage: PodStorage,
    pub(crate) state: PodDir,
    hostname: String,
    uid: String,
    pub(crate) volumes: Vec<Volume>,
    /// Where Linux containers of the pod find content volumes, once there is one.
    pub(crate) content: Mutex<Option<PathBuf>>,
}

/// The part of an infra that is made by blocking calls.
struct Files {
    state: PodDir,
    volumes: Vec<Volume>,
    storage: PodStorage,
}

impl Infra {
    /// Makes the pod's directories, sets its volumes up, and gives it its network. Its memory is part of `node_memory`.
    /// `exceeded` is told of each limit of ephemeral storage that is passed, once, on the thread that passes it. File I/O
    /// is done on a thread of the tokio runtime's that may block; the network needs the runtime, too.
    ///
    /// When the future is dropped before it is done, what it has made is found by the next sweep.
    ///
    /// # Errors
    /// [`InfraError`]; nothing is left behind then, but what hostPath volumes made on the host.
    pub async fn create(
        mut config: InfraConfig,
        node: &NodeDirs,
        network: &Arc<NodeNetwork>,
        node_memory: &Arc<Budget>,
        exceeded: OnExceeded,
    ) -> Result<Self, InfraError> {
        config.network.uid.clone_from(&config.uid);
        let memory = Budget::new(config.memory_limit, Some(Arc::clone(node_memory)));
        let attach = config.network.clone();
        let hostname = config.network.names.hostname.clone();
        let uid = config.uid.clone();
        let (node, budget) = (node.clone(), Arc::clone(&memory));
        let made = tokio::task::spawn_blocking(move || Files::create(&config, &node, &budget, exceeded)).await;
        let files = made.map_err(|error| InfraError::Thread(error.to_string()))??;
        let network = match network.attach(attach, Arc::clone(&memory)).await {
            Ok(network) => network,
            Err(error) => {
                let removed = tokio::task::spawn_blocking(move || files.discard()).await;
                if let Err(error) = removed {
                    tracing::warn!(%error, "cannot clean up after a pod that was not created");
                }
                return Err(error.into());
            }
        };
        let Files { state, volumes, storage } = files;
        Ok(Self { network, memory, storage, state, hostname, uid, volumes, content: Mutex::default() })
    }

    /// The pod's uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The pod's hostname.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The pod's network.
    pub fn network(&self) -> &Arc<PodNetwork> {
        &self.network
    }

    /// The pod's memory: containers, memory volumes and sockets are charged to it.
    pub fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// The pod's own directory.
    pub fn dir(&self) -> &Path {
        self.state.path()
    }

    /// A directory of the pod for its containers' files (0700), made if missing.
    ///
    /// # Errors
    /// [`DirsError`] when it cannot be made.
    pub fn make_dir(&self, names: &[&str]) -> Result<PathBuf, DirsError> {
        self.state.make(names)
    }

    /// Gives the content volume `name` other content, atomically. Returns whether anything changed.
    ///
    /// # Errors
    /// [`VolumeError`] when there is no such volume or the content does not fit; it then has its content of before.
    pub fn update_volume(&self, name: &str, files: &[VolumeFile]) -> Result<bool, VolumeError> {
        self.volume(name).ok_or(VolumeError::Name("the pod has no such volume"))?.update(files)
    }

    /// What the pod has on a disk. EmptyDirs and the roots of Linux containers are counted for that, unless that was done a
    /// moment ago; limits that turn out to be passed are told.
    pub fn storage_usage(&self) -> StorageUsage {
        let empty_dirs = self.volumes.iter().filter_map(|volume| match &volume.kind {
            VolumeKind::EmptyDir(quota) => {
                let used = quota.measure();
                // A Linux container passes a limit without asking.
                quota.account().check();
                Some((volume.name.clone(), used))
            }
            _ => None,
        });
        let empty_dirs = empty_dirs.collect();
        StorageUsage { empty_dirs, ..self.storage.usage() }
    }

    /// Closes the pod's network, and removes its directories with all that is in them. What hostPath and image volumes
    /// show stays.
    ///
    /// # Errors
    /// [`DirsError`] when something could not be removed; a later sweep tries again.
    pub fn remove(self) -> Result<(), DirsError> {
        self.network.close();
        self.state.remove()
    }

    pub(crate) fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    pub(crate) fn volume(&self, name: &str) -> Option<&Volume> {
        find(&self.volumes, name)
    }
}

fn find<'a>(volumes: &'a [Volume], name: &str) -> Option<&'a Volume> {
    volumes.iter().find(|volume| volume.name == name)
}

impl Files {
    fn create(
        config: &InfraConfig,
        node: &NodeDirs,
        memory: &Arc<Budget>,
        exceeded: OnExceeded,
    ) -> Result<Self, InfraError> {
        let state = PodDir::create(node.state(), &config.uid)?;
        let storage = PodStorage::new(config.ephemeral_storage_limit, exceeded);
        let mut files = Self { state, volumes: Vec::new(), storage };
        for volume in &config.volumes {
            match files.create_volume(volume, memory, config.fs_group) {
                Ok(volume) => files.volumes.push(volume),
                Err(source) => {
                    files.discard();
                    return Err(InfraError::Volume { volume: volume.name.clone(), source });
                }
            }
        }
        Ok(files)
    }

    fn create_volume(
        &self,
        config: &VolumeConfig,
        memory: &Arc<Budget>,
        fs_group: Option<u32>,
    ) -> Result<Volume, VolumeError> {
        if find(&self.volumes, &config.name).is_some() {
            return Err(VolumeError::Name("there are two volumes of this name"));
        }
        Volume::create(config, &Surroundings { state: &self.state, memory, storage: &self.storage, fs_group })
    }

    /// Removes what was made of a pod that cannot be.
    fn discard(self) {
        if let Err(error) = self.state.remove() {
            tracing::warn!(%error, "cannot clean up after a pod that was not created");
        }
    }
}
