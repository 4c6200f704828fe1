//! A pod's infra container, as a value.

use std::sync::Mutex;

use crate::config::{InfraConfig, Medium, VolumeFile};
use crate::dirs::{NodeDirs, PodDir};
use crate::error::{DirsError, InfraError, VolumeError};
use crate::memory::NoMemoryDir;
use crate::volume::{Volume, VolumeKind};

/// What the containers of one pod share. Owns its directories: while it lives, no sweep removes them.
///
/// All methods block on file I/O.
#[derive(Debug)]
pub struct Infra {
    uid: String,
    hostname: String,
    volumes: Vec<Volume>,
    node: NodeDirs,
    state: PodDir,
    /// Made when something of the pod must stay in memory.
    memory: Mutex<Option<PodDir>>,
}

impl Infra {
    /// Makes the pod's directories and sets its volumes up.
    ///
    /// # Errors
    /// [`InfraError`]; nothing is left behind then, but what hostPath volumes made on the host.
    pub fn create(config: InfraConfig, node: &NodeDirs) -> Result<Self, InfraError> {
        let state = PodDir::create(node.state(), &config.uid)?;
        let mut infra = Self {
            uid: config.uid,
            hostname: config.hostname,
            volumes: Vec::new(),
            node: node.clone(),
            state,
            memory: Mutex::new(None),
        };
        for volume in &config.volumes {
            match infra.create_volume(volume) {
                Ok(volume) => infra.volumes.push(volume),
                Err(source) => {
                    if let Err(error) = infra.remove() {
                        tracing::warn!(%error, "cannot clean up after a pod that was not created");
                    }
                    return Err(InfraError::Volume { volume: volume.name.clone(), source });
                }
            }
        }
        Ok(infra)
    }

    fn create_volume(&self, config: &crate::VolumeConfig) -> Result<Volume, VolumeError> {
        if self.volume(&config.name).is_some() {
            return Err(VolumeError::Name("there are two volumes of this name"));
        }
        Volume::create(config, |medium| match medium {
            Medium::Disk => Ok(self.state.make(&["volumes", &config.name])?),
            Medium::Memory => self.make_in_memory(&["volumes", &config.name]),
        })
    }

    /// The pod's uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The pod's hostname.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// A directory of the pod for its containers' files (0700), made if missing.
    ///
    /// # Errors
    /// [`DirsError`] when it cannot be made.
    pub fn make_dir(&self, names: &[&str]) -> Result<std::path::PathBuf, DirsError> {
        self.state.make(names)
    }

    /// Gives the content volume `name` other content, atomically. Returns whether anything changed.
    ///
    /// # Errors
    /// [`VolumeError`] when there is no such volume or it cannot be written; it then has its content of before.
    pub fn update_volume(&self, name: &str, files: &[VolumeFile]) -> Result<bool, VolumeError> {
        let volume = self.volume(name).ok_or(VolumeError::Name("the pod has no such volume"))?;
        volume.update(files)
    }

    /// Removes the pod's directories with all that is in them. What hostPath and image volumes show stays.
    ///
    /// # Errors
    /// [`DirsError`] when something could not be removed; a later sweep tries again.
    pub fn remove(self) -> Result<(), DirsError> {
        // A poisoned lock means that a thread panicked while it made a directory: there is nothing half done to see.
        let memory = self.memory.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let memory = memory.map_or(Ok(()), PodDir::remove);
        self.state.remove().and(memory)
    }

    pub(crate) fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    pub(crate) fn make_in_memory<E>(&self, names: &[&str]) -> Result<std::path::PathBuf, E>
    where
        E: From<DirsError> + From<NoMemoryDir>,
    {
        let mut memory = self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let dir = match &*memory {
            Some(dir) => dir,
            None => memory.insert(PodDir::create(&self.node.memory()?, &self.uid)?),
        };
        Ok(dir.make(names)?)
    }

    /// Whether a volume's content must never reach a disk.
    pub(crate) fn in_memory(volume: &Volume) -> bool {
        matches!(volume.kind, VolumeKind::Files(Medium::Memory) | VolumeKind::EmptyDir(Medium::Memory))
    }
}
