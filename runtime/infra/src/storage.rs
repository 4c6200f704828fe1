//! A pod's ephemeral storage: who uses how much of the disk, and who passed a limit.
//!
//! ```text
//!   root of an incarnation ──┐
//!   logs of all incarnations ┴─► container ──┐
//!   emptyDir on a disk ──────────────────────┴─► pod
//! ```
//!
//! Passing a limit is told once per account. Acting on it, as the kubelet does by evicting the pod, is the front end's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Deserialize, Serialize};

use crate::fs::{DiskQuota, DiskUsage, Notice};

/// What a pod calls when a limit of its ephemeral storage is passed.
#[derive(Clone)]
pub struct OnExceeded(Arc<dyn Fn(StorageExceeded) + Send + Sync>);

impl OnExceeded {
    /// `told` must not wait: a guest that writes does, for as long.
    pub fn new(told: impl Fn(StorageExceeded) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
}

impl std::fmt::Debug for OnExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnExceeded")
    }
}

/// A limit of a pod's ephemeral storage was passed. Bytes throughout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StorageExceeded {
    /// An emptyDir's `sizeLimit`.
    EmptyDir {
        /// The volume's name.
        volume: String,
        /// The limit.
        limit: u64,
    },
    /// The limit of a container, for its root and its logs.
    Container {
        /// The container's name.
        name: String,
        /// The limit.
        limit: u64,
        /// What would have been in use.
        used: u64,
    },
    /// The limit of the whole pod.
    Pod {
        /// The limit.
        limit: u64,
        /// What would have been in use.
        used: u64,
    },
}

/// What a pod has on a disk. Bytes throughout; emptyDirs are estimated from above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageUsage {
    /// Its containers, by name.
    pub containers: BTreeMap<String, ContainerStorageUsage>,
    /// Its emptyDirs on a disk, by name.
    pub empty_dirs: BTreeMap<String, u64>,
    /// All of it.
    pub total: u64,
}

/// What a container has on a disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStorageUsage {
    /// What its incarnations that are not removed yet wrote into their roots.
    pub root: u64,
    /// Its logs.
    pub logs: u64,
}

/// The accounts of one container, for all of its incarnations.
#[derive(Clone, Debug)]
pub(crate) struct ContainerStorage {
    account: Arc<DiskUsage>,
    /// Part of the account.
    pub(crate) logs: Arc<DiskUsage>,
}

impl ContainerStorage {
    /// An account for the root of one incarnation: what is left in it ends with it.
    pub(crate) fn root(&self) -> Arc<DiskUsage> {
        DiskUsage::new(None, Some(Arc::clone(&self.account)))
    }
}

/// The accounts of one pod.
#[derive(Debug)]
pub(crate) struct PodStorage {
    account: Arc<DiskUsage>,
    containers: Mutex<BTreeMap<String, ContainerStorage>>,
    /// What the kernel's own processes write without asking.
    uncharged: Mutex<Vec<Weak<DiskQuota>>>,
    told: OnExceeded,
}

impl PodStorage {
    /// Empty accounts. `told` is called once at most for each of them.
    pub(crate) fn new(limit: Option<u64>, told: OnExceeded) -> Self {
        let notice = notice(&told, limit, |limit, used| StorageExceeded::Pod { limit, used });
        let account = DiskUsage::with_notice(limit, None, notice);
        Self { account, containers: Mutex::default(), uncharged: Mutex::default(), told }
    }

    /// A new account for an emptyDir.
    pub(crate) fn empty_dir(&self, name: &str, limit: Option<u64>) -> Arc<DiskUsage> {
        let volume = name.to_owned();
        let exceeded = move |limit, _| StorageExceeded::EmptyDir { volume: volume.clone(), limit };
        DiskUsage::with_notice(limit, Some(Arc::clone(&self.account)), notice(&self.told, limit, exceeded))
    }

    /// The accounts of a container, made with `limit` when it is new.
    pub(crate) fn container(&self, name: &str, limit: Option<u64>) -> ContainerStorage {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let container = name.to_owned();
            let exceeded = move |limit, used| StorageExceeded::Container { name: container.clone(), limit, used };
            let notice = notice(&self.told, limit, exceeded);
            let account = DiskUsage::with_notice(limit, Some(Arc::clone(&self.account)), notice);
            ContainerStorage { logs: DiskUsage::new(None, Some(Arc::clone(&account))), account }
        };
        containers.entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// From now on, and for as long as it is there, a directory is counted with the rest.
    pub(crate) fn count(&self, directory: &Arc<DiskQuota>) {
        let mut uncharged = self.uncharged.lock().unwrap_or_else(PoisonError::into_inner);
        uncharged.retain(|directory| directory.strong_count() > 0);
        uncharged.push(Arc::downgrade(directory));
    }

    /// What is in use, but for the emptyDirs.
    pub(crate) fn usage(&self) -> StorageUsage {
        let uncharged = self.uncharged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for directory in uncharged.iter().filter_map(Weak::upgrade) {
            directory.measure();
            directory.account().check();
        }
        self.account.check();
        let containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let usage = |storage: &ContainerStorage| {
            let logs = storage.logs.used();
            ContainerStorageUsage { root: storage.account.used().saturating_sub(logs), logs }
        };
        StorageUsage {
            containers: containers.iter().map(|(name, storage)| (name.clone(), usage(storage))).collect(),
            empty_dirs: BTreeMap::new(),
            total: self.account.used(),
        }
    }
}

/// What an account with a limit calls when it is passed.
fn notice(
    told: &OnExceeded,
    limit: Option<u64>,
    exceeded: impl Fn(u64, u64) -> StorageExceeded + Send + Sync + 'static,
) -> Notice {
    let OnExceeded(told) = told.clone();
    Box::new(move |used| {
        // An account without a limit does not pass it.
        if let Some(limit) = limit {
            told(exceeded(limit, used));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_that_is_passed_is_told_once() {
        let told: Arc<Mutex<Vec<StorageExceeded>>> = Arc::default();
        let note = Arc::clone(&told);
        let pod = PodStorage::new(Some(100), OnExceeded::new(move |exceeded| note.lock().unwrap().push(exceeded)));
        let app = pod.container("app", Some(50));
        let root = app.root();
        app.logs.count(20);
        root.charge(30).unwrap();
        assert!(root.charge(1).is_err() && root.charge(2).is_err());
        let data = pod.empty_dir("data", Some(10));
        assert!(data.charge(11).is_err());
        data.charge(10).unwrap();
        let sidecar = pod.container("sidecar", None);
        assert!(sidecar.root().charge(41).is_err());
        let expected = [
            StorageExceeded::Container { name: "app".into(), limit: 50, used: 51 },
            StorageExceeded::EmptyDir { volume: "data".into(), limit: 10 },
            StorageExceeded::Pod { limit: 100, used: 101 },
        ];
        assert_eq!(*told.lock().unwrap(), expected);
        let usage = pod.usage();
        assert_eq!(usage.containers["app"], ContainerStorageUsage { root: 30, logs: 20 });
        assert_eq!(usage.total, 60);
        // Its incarnation is removed; another one has the same accounts.
        drop(root);
        assert_eq!(pod.container("app", None).account.used(), 20);
        assert_eq!(pod.usage().total, 30);
    }
}
