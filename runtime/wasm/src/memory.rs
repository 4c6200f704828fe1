//! The engine's part of a container's memory, and which ends of a guest are put down to a refused growth.
//!
//! Each store has a [`MemoryShare`] of its container's [`ContainerMemory`]: its linear memories and tables at their
//! size, and [`INSTANCE`] for what cannot be seen from outside. A growth that would exceed the container's limit or its
//! pod's is refused the way an exhausted host would refuse it: `memory.grow` gives -1, and the guest may cope. While a
//! component is instantiated, there is nobody to cope: the refusal is an error, [`MemoryRefused`].
//!
//! ```text
//!   Fine ── refused ──► Refused ── trap, within a while ──► killed for memory
//!    ▲                    │  └──── exit ─────────────────► the guest's own status
//!    └─ about as much ────┘
//!         granted
//! ```
//!
//! Who then gets a little has not coped: what prints "out of memory" needs a page for its words.
//!
//! What the host refuses by an error code (no buffers, no space) never counts: the guest was told what is wrong, and has
//! said so itself if it died of it. No room for another handle counts: most interfaces have no code for that, and trap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nacelle_container::stats::MemoryStats;
use nacelle_infra::budget::{Budget, InUse, Ledger, OverBudget};
use nacelle_infra::memory::{ContainerMemory, Part, Scope};
use wasmtime::{ResourceLimiter, Trap};

/// What a store is charged with before its guest has any memory, in bytes: its fiber's stack, of which a guest that
/// waits has touched 8 to 40 KiB, its instances' structures, and its host state. Measured: an idle instance of a small
/// component takes 50 to 60 KiB besides its linear memory.
pub(crate) const INSTANCE: u64 = 64 * 1024;
/// What one element of a table takes on the host.
const TABLE_ELEMENT_BYTES: u64 = 8;
/// The most core instances, memories or tables of one store.
const MAX_ITEMS: usize = 1000;
/// How long after a refusal a trap is put down to it. An allocator's abort comes at once, an out-of-memory handler that
/// writes to its log within this; a guest that is alive after it has coped.
const AFTERMATH: Duration = Duration::from_secs(10);

/// A growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {} memory limit of {limit} bytes was reached: {asked} bytes were asked for", whose(*.scope))]
pub(crate) struct MemoryRefused {
    /// Whose limit it was.
    pub(crate) scope: Scope,
    /// The limit in bytes.
    pub(crate) limit: u64,
    /// The total that the growth would have reached, in bytes.
    pub(crate) asked: u64,
}

fn whose(scope: Scope) -> &'static str {
    match scope {
        Scope::Container => "container's",
        Scope::Pod => "pod's",
        Scope::Node => "node's",
    }
}

impl From<OverBudget> for MemoryRefused {
    fn from(over: OverBudget) -> Self {
        Self { scope: Scope::of(&over), limit: over.limit, asked: over.wanted() }
    }
}

/// The growth that was refused last, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    refused: MemoryRefused,
    /// How much more was asked for, in bytes.
    growth: u64,
    at: Instant,
}

impl Refusal {
    /// What a guest that ends at `now` by this trap, or by an error that is none, died of; `None` if not of memory.
    pub(crate) fn explains(&self, trap: Option<Trap>, now: Instant) -> Option<MemoryRefused> {
        // Nobody divides by zero, or calls too deep, because there is no memory.
        let unrelated = matches!(
            trap,
            Some(
                Trap::StackOverflow
                    | Trap::IntegerOverflow
                    | Trap::IntegerDivisionByZero
                    | Trap::BadConversionToInteger
                    | Trap::Interrupt
                    | Trap::OutOfFuel
            )
        );
        (!unrelated && now.saturating_duration_since(self.at) <= AFTERMATH).then_some(self.refused)
    }
}

/// What one store holds of its container's memory; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    memory: Arc<ContainerMemory>,
    /// Bytes of linear memories, and of heaps that the engine keeps in the same way.
    linear: u64,
    /// Bytes of tables.
    tables: u64,
    /// Bytes of what the host keeps behind handles.
    handles: u64,
    instantiating: bool,
    refusal: Option<Refusal>,
    _instance: Ledger,
}

impl MemoryShare {
    /// A share for a store whose component is about to be instantiated.
    ///
    /// # Errors
    /// [`MemoryRefused`] when not even that fits.
    pub(crate) fn new(memory: &Arc<ContainerMemory>) -> Result<Self, MemoryRefused> {
        let instance = Ledger::with_floor(Arc::clone(memory.part(Part::Engine)), INSTANCE)?;
        let memory = Arc::clone(memory);
        Ok(Self { memory, linear: 0, tables: 0, handles: 0, instantiating: true, refusal: None, _instance: instance })
    }

    /// Bytes that the guest has in its store.
    pub(crate) fn held(&self) -> u64 {
        self.linear.saturating_add(self.tables)
    }

    /// From now on refused growth is the guest's to handle.
    pub(crate) fn instantiated(&mut self) {
        self.instantiating = false;
    }

    /// The last growth that was refused, unless one of at least half of it was granted since: that guest has coped.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// What is charged for one use.
    pub(crate) fn part(&self, part: Part) -> &Arc<Budget> {
        self.memory.part(part)
    }

    /// Takes `bytes` for handles until the store is dropped, or says that there are none.
    pub(crate) fn take(&mut self, bytes: u64) -> bool {
        match self.memory.part(Part::Engine).charge(bytes) {
            Ok(()) => {
                self.handles = self.handles.saturating_add(bytes);
                true
            }
            Err(over) => {
                self.refusal = Some(Refusal { refused: over.into(), growth: bytes, at: Instant::now() });
                false
            }
        }
    }

    /// Takes the bytes from `current` to `desired`, unless `maximum` forbids them anyway.
    ///
    /// A growth that the host then fails to do stays charged: the guest is near the host's own limit, and wasmtime's
    /// report of the failure does not say which growth it is about.
    fn grow(&mut self, part: Part, current: u64, desired: u64, maximum: Option<u64>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = desired.saturating_sub(current);
        match self.memory.part(part).charge(bytes) {
            Ok(()) => {
                let held = if part == Part::Linear { &mut self.linear } else { &mut self.tables };
                *held = held.saturating_add(bytes);
                self.refusal = self.refusal.filter(|refusal| bytes < refusal.growth / 2);
                Ok(true)
            }
            Err(over) if self.instantiating => Err(MemoryRefused::from(over).into()),
            Err(over) => {
                self.refusal = Some(Refusal { refused: over.into(), growth: bytes, at: Instant::now() });
                Ok(false)
            }
        }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.memory.part(Part::Linear).release(self.linear);
        self.memory.part(Part::Engine).release(self.tables.saturating_add(self.handles));
    }
}

/// Sets a new container's limit in bytes, and checks that one instance whose first linear memory has `initial` bytes fits:
/// so that who has to raise the limit is told by how much, and not that the first of several steps failed.
///
/// # Errors
/// [`MemoryRefused`] with all that is needed, as far as it is known.
pub(crate) fn admit(memory: &ContainerMemory, limit: Option<u64>, initial: u64) -> Result<(), MemoryRefused> {
    let needed = INSTANCE.saturating_add(initial);
    memory.set_limit(limit).map_err(|InUse { limit, used }| {
        let asked = used.saturating_add(needed);
        MemoryRefused { scope: Scope::Container, limit, asked }
    })?;
    let part = memory.part(Part::Engine);
    part.charge(needed)?;
    part.release(needed);
    Ok(())
}

/// The figures of a container's memory.
pub(crate) fn stats(memory: &ContainerMemory) -> MemoryStats {
    let part = |part| memory.part(part).used();
    MemoryStats {
        usage: memory.used(),
        peak: memory.peak(),
        linear: part(Part::Linear),
        engine: part(Part::Engine),
        buffers: part(Part::Buffers),
        files: part(Part::Files),
        refused: memory.refused(),
    }
}

fn bytes(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn table_bytes(elements: usize) -> u64 {
    bytes(elements).saturating_mul(TABLE_ELEMENT_BYTES)
}

impl ResourceLimiter for MemoryShare {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(Part::Linear, bytes(current), bytes(desired), maximum.map(bytes))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(Part::Engine, table_bytes(current), table_bytes(desired), maximum.map(table_bytes))
    }

    fn instances(&self) -> usize {
        MAX_ITEMS
    }

    fn tables(&self) -> usize {
        MAX_ITEMS
    }

    fn memories(&self) -> usize {
        MAX_ITEMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit: Option<u64>, pod: &Arc<Budget>) -> Arc<ContainerMemory> {
        let memory = ContainerMemory::new(Arc::clone(pod));
        memory.set_limit(limit.map(|limit| limit + INSTANCE)).unwrap();
        memory
    }

    fn share(memory: &Arc<ContainerMemory>) -> MemoryShare {
        let mut share = MemoryShare::new(memory).unwrap();
        share.instantiated();
        share
    }

    fn refused(share: &MemoryShare) -> Option<MemoryRefused> {
        share.refusal()?.explains(Some(Trap::UnreachableCodeReached), Instant::now())
    }

    #[test]
    fn instances_share_their_containers_limit_and_give_back() {
        let memory = memory(Some(100 + INSTANCE), &Budget::unlimited());
        let (mut one, mut two) = (share(&memory), share(&memory));
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!two.memory_growing(0, 60, None).unwrap());
        let limit = 100 + 2 * INSTANCE;
        let over = MemoryRefused { scope: Scope::Container, limit, asked: limit + 20 };
        assert_eq!((refused(&two), refused(&one)), (Some(over), None));
        drop(one);
        assert_eq!(memory.used(), INSTANCE);
        assert!(two.memory_growing(0, 60, None).unwrap());
        assert!(two.table_growing(0, 4, None).unwrap());
        assert_eq!((refused(&two), two.held()), (None, 92));
        let stats = stats(&memory);
        assert_eq!((stats.usage, stats.linear, stats.engine), (INSTANCE + 92, 60, INSTANCE + 32));
        assert_eq!((stats.peak, stats.refused, stats.buffers, stats.files), (2 * INSTANCE + 60, 1, 0, 0));
        drop(two);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn the_pod_limits_the_sum_of_its_containers() {
        let pod = Budget::new(Some(100 + 2 * INSTANCE), None);
        let (first, second) = (memory(None, &pod), memory(Some(90), &pod));
        let (mut one, mut two) = (share(&first), share(&second));
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!two.memory_growing(0, 60, None).unwrap());
        let limit = 100 + 2 * INSTANCE;
        let over = MemoryRefused { scope: Scope::Pod, limit, asked: limit + 20 };
        assert_eq!((refused(&two), refused(&one)), (Some(over), None));
        assert_eq!(
            over.to_string(),
            format!("the pod's memory limit of {limit} bytes was reached: {} bytes were asked for", limit + 20)
        );
        drop(one);
        assert!(two.memory_growing(0, 60, None).unwrap());
        assert_eq!(pod.used(), 60 + INSTANCE);
    }

    #[test]
    fn growth_beyond_the_guests_own_maximum_is_not_charged() {
        let memory = memory(None, &Budget::unlimited());
        let mut one = share(&memory);
        assert!(!one.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!((memory.used(), refused(&one)), (INSTANCE, None));
    }

    #[test]
    fn refusal_during_instantiation_is_an_error_with_both_numbers() {
        let memory = memory(Some(10), &Budget::unlimited());
        let mut one = MemoryShare::new(&memory).unwrap();
        let error = one.memory_growing(0, 11, None).unwrap_err();
        let over = |asked| MemoryRefused { scope: Scope::Container, limit: 10 + INSTANCE, asked };
        assert_eq!(error.downcast_ref(), Some(&over(11 + INSTANCE)));
        // Another instance does not even fit empty.
        assert_eq!(MemoryShare::new(&memory).err(), Some(over(2 * INSTANCE)));
    }

    #[test]
    fn a_little_more_is_not_what_was_asked_for() {
        let memory = memory(Some(100), &Budget::unlimited());
        let mut one = share(&memory);
        assert!(!one.memory_growing(0, 200, None).unwrap());
        assert!(one.memory_growing(0, 99, None).unwrap());
        assert!(refused(&one).is_some());
        memory.set_limit(None).unwrap();
        assert!(one.memory_growing(99, 199, None).unwrap());
        assert!(refused(&one).is_none());
    }

    #[test]
    fn only_a_trap_that_memory_can_cause_and_soon_after_is_put_down_to_a_refusal() {
        let refused = MemoryRefused { scope: Scope::Container, limit: 1, asked: 2 };
        let at = Instant::now();
        let refusal = Refusal { refused, growth: 1, at };
        for trap in [Some(Trap::UnreachableCodeReached), Some(Trap::MemoryOutOfBounds), Some(Trap::NullReference), None]
        {
            assert_eq!(refusal.explains(trap, at + AFTERMATH), Some(refused), "{trap:?}");
        }
        for trap in [Trap::IntegerDivisionByZero, Trap::StackOverflow, Trap::OutOfFuel] {
            assert_eq!(refusal.explains(Some(trap), at), None, "{trap:?}");
        }
        let later = at + AFTERMATH + Duration::from_millis(1);
        assert_eq!(refusal.explains(Some(Trap::UnreachableCodeReached), later), None);
    }
}
