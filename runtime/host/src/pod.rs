//! One pod of the host, and its containers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use nacelle_container::{ContainerId, Cpu, PodInfo};
use nacelle_infra::Infra;
use nacelle_infra::budget::Budget;
use nacelle_infra::mailbox;
use nacelle_infra::network::PodNetwork;
use nacelle_infra::stats::InfraStats;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, TryLockError, watch};
use tokio::task::{AbortHandle, spawn_blocking};

use crate::container::Running;
use crate::kernel;
use crate::prepare::PodShare;
use crate::stats::Past;
use crate::{HostEvent, MemoryUsage, PodStats, StartError};

/// A pod that was created.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) network: Arc<PodNetwork>,
    memory: Arc<Budget>,
    pub(crate) events: Arc<mailbox::Sender<Box<HostEvent>>>,
    /// `None` once the pod is being removed. Whoever uses the infra holds a read lock, so the pod's removal waits
    /// for starts that are under way, and no start follows it.
    infra: Arc<RwLock<Option<Infra>>>,
    created_at: Timestamp,
    containers: Mutex<Containers>,
    /// What all its containers are told.
    share: Mutex<PodShare>,
    /// What they may know of the pod.
    pub(crate) info: watch::Sender<Arc<PodInfo>>,
    /// Looks at what the kernel's own processes take.
    kernel_watch: OnceLock<AbortHandle>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(watch) = self.kernel_watch.get() {
            watch.abort();
        }
    }
}

/// The containers of a pod, and what is left of those that were removed.
#[derive(Debug, Default)]
struct Containers {
    slots: BTreeMap<ContainerId, Slot>,
    past: Past,
}

impl Containers {
    fn started(&self) -> Vec<(ContainerId, Arc<Running>)> {
        let started = |(id, slot): (&ContainerId, &Slot)| match slot {
            Slot::Started(running) => Some((id.clone(), Arc::clone(running))),
            Slot::Starting => None,
        };
        self.slots.iter().filter_map(started).collect()
    }
}

/// What is known of a container.
#[derive(Debug)]
enum Slot {
    /// Its id is taken; nobody can do anything with it yet.
    Starting,
    /// It was started, and perhaps has ended.
    Started(Arc<Running>),
}

impl Pod {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(
        info: PodInfo,
        share: PodShare,
        infra: Infra,
        events: Arc<mailbox::Sender<Box<HostEvent>>>,
    ) -> Self {
        let (network, memory) = (Arc::clone(infra.network()), Arc::clone(infra.memory()));
        let (containers, share) = (Mutex::default(), Mutex::new(share));
        let kernel_watch = OnceLock::new();
        let (infra, created_at) = (Arc::new(RwLock::new(Some(infra))), Timestamp::now());
        let info = watch::Sender::new(Arc::new(info));
        Self { network, memory, events, infra, created_at, containers, share, info, kernel_watch }
    }

    /// What all containers may use together.
    pub(crate) fn cpu(&self) -> Cpu {
        self.share().cpu
    }

    /// What all its containers are told.
    pub(crate) fn share(&self) -> PodShare {
        self.share.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what containers that are created from now on are told.
    pub(crate) fn set_cpu(&self, cpu: Cpu) {
        self.share.lock().unwrap_or_else(PoisonError::into_inner).cpu = cpu;
    }

    /// The pod's infra, for as long as the guard lives; `None` inside once the pod is being removed.
    pub(crate) async fn infra(&self) -> OwnedRwLockReadGuard<Option<Infra>> {
        Arc::clone(&self.infra).read_owned().await
    }

    /// The pod's infra, unless it is being removed.
    pub(crate) fn try_infra(&self) -> Result<OwnedRwLockReadGuard<Option<Infra>>, TryLockError> {
        Arc::clone(&self.infra).try_read_owned()
    }

    /// Waits until nobody uses the infra.
    pub(crate) async fn infra_alone(&self) -> OwnedRwLockWriteGuard<Option<Infra>> {
        Arc::clone(&self.infra).write_owned().await
    }

    /// Looks at the Linux containers of the pod from time to time: what they take is the kernel's account, not the
    /// pod's. Must be called within a tokio runtime.
    pub(crate) fn watch_kernel(self: &Arc<Self>) {
        self.kernel_watch.get_or_init(|| tokio::spawn(kernel::watch(Arc::downgrade(self))).abort_handle());
    }

    /// What the pod has used; `None` while it is being removed.
    pub(crate) async fn stats(self: &Arc<Self>) -> Option<PodStats> {
        // Not waited for: only the pod's removal keeps it.
        let infra = Arc::clone(&self.infra).try_read_owned().ok()?;
        let this = Arc::clone(self);
        let taken = spawn_blocking(move || Some(this.describe(infra.as_ref()?.stats())));
        taken.await.ok().flatten()
    }

    /// Blocks on file I/O.
    fn describe(&self, infra: InfraStats) -> PodStats {
        // Of one moment: what is removed meanwhile counts once.
        let (past, started) = {
            let containers = self.containers();
            (containers.past.clone(), containers.started())
        };
        let described = started.iter().map(|(id, running)| running.describe(id));
        let (cpu, mut containers) = past.with(described.collect());
        for container in &mut containers {
            let files = infra.storage.containers.get(&container.name).copied().unwrap_or_default();
            (container.root.bytes, container.logs.bytes) = (files.root, files.logs);
        }
        PodStats { time: Timestamp::now(), created_at: self.created_at, cpu_limits: self.cpu(), cpu, containers, infra }
    }

    /// Takes a container's id. It is free again when the reservation is dropped without a container.
    pub(crate) fn reserve(self: &Arc<Self>, id: &ContainerId) -> Result<Reservation, StartError> {
        let slots = &mut self.containers().slots;
        if slots.contains_key(id) {
            return Err(StartError::config(format!("container {id} exists already")));
        }
        slots.insert(id.clone(), Slot::Starting);
        Ok(Reservation { pod: Arc::clone(self), id: id.clone() })
    }

    /// A container that was started and not removed.
    pub(crate) fn running(&self, id: &ContainerId) -> Option<Arc<Running>> {
        match self.containers().slots.get(id) {
            Some(Slot::Started(running)) => Some(Arc::clone(running)),
            Some(Slot::Starting) | None => None,
        }
    }

    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// What the pod and its containers use of the node's memory.
    pub(crate) fn memory_usage(&self) -> MemoryUsage {
        let started = self.containers().started();
        let containers = started.into_iter().map(|(id, running)| (id.name, running.stats().memory.usage));
        MemoryUsage { total: self.memory.used(), containers: containers.collect() }
    }

    /// What its Linux containers have in memory.
    pub(crate) fn kernel_memory(&self) -> u64 {
        let started = self.containers().started();
        started.iter().filter(|(_, running)| running.is_linux).map(|(_, running)| running.stats().memory.usage).sum()
    }

    /// Removes all containers. Each is killed before any is waited for.
    pub(crate) async fn remove_all(&self) {
        let all = self.containers().started();
        for (_, running) in &all {
            running.begin_kill().await;
        }
        for (id, running) in all {
            running.remove().await;
            self.forget(&id);
        }
    }

    /// Forgets a container that was removed, but for what it has used.
    pub(crate) fn forget(&self, id: &ContainerId) {
        let last = self.running(id).map(|running| running.describe(id));
        let mut containers = self.containers();
        if containers.slots.remove(id).is_some()
            && let Some(last) = last
        {
            containers.past.add(last);
        }
    }

    fn containers(&self) -> MutexGuard<'_, Containers> {
        // Each change is a single call on the map: it is whole even if a thread panicked while it held the lock.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A container's id, taken while it is being started.
#[derive(Debug)]
pub(crate) struct Reservation {
    pod: Arc<Pod>,
    id: ContainerId,
}

impl Reservation {
    /// The container was started.
    pub(crate) fn fulfil(self, running: Arc<Running>) {
        self.pod.containers().slots.insert(self.id.clone(), Slot::Started(running));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let slots = &mut self.pod.containers().slots;
        if matches!(slots.get(&self.id), Some(Slot::Starting)) {
            slots.remove(&self.id);
        }
    }
}
