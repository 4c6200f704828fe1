//! One pod of the host, and its containers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use nacelle_container::{ContainerId, Cpu, PodInfo, PodUid};
use nacelle_infra::Infra;
use nacelle_infra::budget::Budget;
use nacelle_infra::mailbox;
use nacelle_infra::network::PodNetwork;
use nacelle_infra::stats::InfraStats;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, TryLockError, watch};
use tokio::task::{AbortHandle, spawn_blocking};

use crate::balance::{self, Starting};
use crate::container::Running;
use crate::kernel;
use crate::prepare::PodShare;
use crate::sharing::{Both, Kind, Sharing};
use crate::stats::{self, Past};
use crate::{Backends, HostEvent, MemoryUsage, PodResources, PodStats, StartError};

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
    /// Who has which part of what it may use. A start of a Linux container holds it for reading from when it is told its
    /// part until it has a control group.
    pub(crate) sharing: RwLock<Sharing>,
    pub(crate) starting: Starting,
    /// Looks at what the kernel's own processes take.
    kernel_watch: OnceLock<AbortHandle>,
    /// Bytes of its memory that are charged for those.
    pub(crate) kernel_charge: AtomicU64,
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
        resources: PodResources,
        infra: Infra,
        events: Arc<mailbox::Sender<Box<HostEvent>>>,
    ) -> Self {
        let (network, memory) = (Arc::clone(infra.network()), Arc::clone(infra.memory()));
        let (containers, share) = (Mutex::default(), Mutex::new(share));
        let kernel_watch = OnceLock::new();
        let (infra, created_at) = (Arc::new(RwLock::new(Some(infra))), Timestamp::now());
        let info = watch::Sender::new(Arc::new(info));
        let sharing = RwLock::new(Sharing::new(resources));
        let (starting, kernel_charge) = Default::default();
        Self {
            network,
            memory,
            events,
            infra,
            created_at,
            containers,
            share,
            info,
            sharing,
            starting,
            kernel_watch,
            kernel_charge,
        }
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
    pub(crate) fn watch_kernel(self: &Arc<Self>, uid: &PodUid, backends: &Backends) {
        let watch = || kernel::watch(Arc::downgrade(self), uid.clone(), backends.clone());
        self.kernel_watch.get_or_init(|| tokio::spawn(watch()).abort_handle());
    }

    /// The kinds of which a container runs or is being started.
    pub(crate) fn present(&self) -> Both<bool> {
        let mut present = self.starting.is_any();
        for (_, running) in self.containers().started().iter().filter(|(_, running)| running.is_running()) {
            *present.of_mut(running.kind) = true;
        }
        present
    }

    /// Whether some of its memory may be that of WebAssembly containers, which may have ended.
    pub(crate) fn has_had_guests(&self) -> bool {
        let started = self.containers().started();
        self.starting.is_any().wasm || started.iter().any(|(_, running)| running.kind == Kind::Wasm)
    }

    /// What the running containers of each kind have asked for of the CPUs, as the kernel weighs it.
    pub(crate) fn weights(&self) -> Both<u64> {
        let mut weights = Both::<u64>::default();
        for (_, running) in self.containers().started().iter().filter(|(_, running)| running.is_running()) {
            let weight = weights.of_mut(running.kind);
            // As the kernel has it, who asks for nothing has a little.
            *weight = weight.saturating_add(running.cpu_request().max(2));
        }
        weights
    }

    /// Bytes of its memory that are charged for its Linux containers.
    pub(crate) fn kernel_charged(&self) -> u64 {
        self.kernel_charge.load(Ordering::Relaxed)
    }

    /// What the pod has used; `None` while it is being removed.
    pub(crate) async fn stats(self: &Arc<Self>, uid: &PodUid, backends: &Backends) -> Option<PodStats> {
        // Not waited for: only the pod's removal keeps it.
        let infra = Arc::clone(&self.infra).try_read_owned().ok()?;
        let (this, uid, backends) = (Arc::clone(self), uid.clone(), backends.clone());
        let taken = spawn_blocking(move || Some(this.describe(infra.as_ref()?.stats(), &uid, &backends)));
        taken.await.ok().flatten()
    }

    /// Blocks on file I/O.
    fn describe(&self, infra: InfraStats, uid: &PodUid, backends: &Backends) -> PodStats {
        // Of one moment: what is removed meanwhile counts once.
        let (past, started) = {
            let containers = self.containers();
            (containers.past.clone(), containers.started())
        };
        let described = started.iter().map(|(id, running)| running.describe(id));
        let (usage_nanos, mut containers) = past.with(described.collect());
        let Both { wasm: mut cpu, linux } = balance::cpu(uid, backends);
        stats::add(&mut cpu, &linux);
        // What is shown of the containers and of the pod shall be of one account.
        cpu.usage_nanos = usage_nanos;
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
        started
            .iter()
            .filter(|(_, running)| running.kind == Kind::Linux)
            .map(|(_, running)| running.stats().memory.usage)
            .sum()
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
