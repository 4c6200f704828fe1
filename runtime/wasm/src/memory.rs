//! Memory accounting: all linear memories and tables of a container under one limit, and under its pod's.
//!
//! Each store has a [`MemoryShare`] of its container's [`MemoryAccount`]. A growth that would exceed the limit is
//! refused the way an exhausted host would refuse it: `memory.grow` gives -1, and the guest may cope. One that dies of
//! it by a trap is reported as killed for memory, see [`MemoryAccount::refusal`]. While a component is instantiated,
//! there is nobody to cope: the refusal is an error, [`MemoryRefused`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nacelle_infra::budget::Budget;
use wasmtime::ResourceLimiter;

/// What one element of a table takes on the host.
const TABLE_ELEMENT_BYTES: u64 = 8;
/// The most core instances, memories or tables of one store.
const MAX_ITEMS: usize = 1000;

/// Memory of one container, over all its instances.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    limit: Option<u64>,
    /// The pod's memory, which all of this is part of.
    pod: Arc<Budget>,
    used: AtomicU64,
    peak: AtomicU64,
    refusal: Mutex<Option<MemoryRefused>>,
}

/// A growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("memory limit of {limit} bytes: {asked} bytes were asked for")]
pub(crate) struct MemoryRefused {
    /// The limit in bytes.
    pub(crate) limit: u64,
    /// The total that the growth would have reached, in bytes.
    pub(crate) asked: u64,
}

impl MemoryAccount {
    /// An account with this limit in bytes, or without one, as part of its pod's.
    pub(crate) fn new(limit: Option<u64>, pod: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { limit, pod, used: AtomicU64::new(0), peak: AtomicU64::new(0), refusal: Mutex::default() })
    }

    /// Bytes now.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most bytes so far.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The last growth that was refused, unless one was granted since: a guest that grew again has coped.
    pub(crate) fn refusal(&self) -> Option<MemoryRefused> {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, bytes: u64) -> Result<(), MemoryRefused> {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let asked = used.saturating_add(bytes);
            if let Some(limit) = self.limit.filter(|limit| asked > *limit) {
                return Err(self.refuse(MemoryRefused { limit, asked }));
            }
            match self.used.compare_exchange_weak(used, asked, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    if let Err(over) = self.pod.charge(bytes) {
                        self.used.fetch_sub(bytes, Ordering::Relaxed);
                        let asked = self.pod.used().saturating_add(bytes);
                        return Err(self.refuse(MemoryRefused { limit: over.limit, asked }));
                    }
                    self.peak.fetch_max(asked, Ordering::Relaxed);
                    *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Ok(());
                }
                Err(now) => used = now,
            }
        }
    }

    fn refuse(&self, refused: MemoryRefused) -> MemoryRefused {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        refused
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.pod.release(bytes);
    }
}

/// What one store holds of its container's memory; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    account: Arc<MemoryAccount>,
    held: u64,
    instantiating: bool,
}

impl MemoryShare {
    /// A share for a store whose component is about to be instantiated.
    pub(crate) fn new(account: Arc<MemoryAccount>) -> Self {
        Self { account, held: 0, instantiating: true }
    }

    /// Bytes that the store holds.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// From now on refused growth is the guest's to handle.
    pub(crate) fn instantiated(&mut self) {
        self.instantiating = false;
    }

    /// Takes the bytes from `current` to `desired`, unless `maximum` forbids them anyway.
    ///
    /// A growth that the host then fails to do stays charged: the guest is near the host's own limit, and wasmtime's
    /// report of the failure does not say which growth it is about.
    fn grow(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = desired.saturating_sub(current);
        match self.account.take(bytes) {
            Ok(()) => {
                self.held = self.held.saturating_add(bytes);
                Ok(true)
            }
            Err(refused) if self.instantiating => Err(refused.into()),
            Err(_) => Ok(false),
        }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.account.give_back(self.held);
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
        self.grow(bytes(current), bytes(desired), maximum.map(bytes))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(table_bytes(current), table_bytes(desired), maximum.map(table_bytes))
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

    fn share(account: &Arc<MemoryAccount>) -> MemoryShare {
        let mut share = MemoryShare::new(Arc::clone(account));
        share.instantiated();
        share
    }

    #[test]
    fn shares_sum_up_and_give_back() {
        let account = MemoryAccount::new(Some(100), Budget::unlimited());
        let (mut one, mut two) = (share(&account), share(&account));
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!two.memory_growing(0, 60, None).unwrap());
        assert_eq!(account.refusal(), Some(MemoryRefused { limit: 100, asked: 120 }));
        drop(one);
        assert_eq!(account.used(), 0);
        assert!(two.memory_growing(0, 60, None).unwrap());
        assert_eq!((account.peak(), account.refusal()), (60, None));
        assert!(!two.table_growing(0, 6, None).unwrap());
    }

    #[test]
    fn the_pod_limits_the_sum_of_its_containers() {
        let pod = Budget::new(Some(100), None);
        let (first, second) = (MemoryAccount::new(None, Arc::clone(&pod)), MemoryAccount::new(None, Arc::clone(&pod)));
        let (mut one, mut two) = (share(&first), share(&second));
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!two.memory_growing(0, 60, None).unwrap());
        assert_eq!(second.refusal(), Some(MemoryRefused { limit: 100, asked: 120 }));
        assert_eq!((second.used(), first.refusal(), pod.used()), (0, None, 60));
        drop(one);
        assert!(two.memory_growing(0, 60, None).unwrap());
        assert_eq!(pod.used(), 60);
    }

    #[test]
    fn growth_beyond_the_guests_own_maximum_is_not_charged() {
        let account = MemoryAccount::new(None, Budget::unlimited());
        let mut one = share(&account);
        assert!(!one.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!((account.used(), account.refusal()), (0, None));
    }

    #[test]
    fn refusal_during_instantiation_is_an_error_with_both_numbers() {
        let account = MemoryAccount::new(Some(10), Budget::unlimited());
        let mut one = MemoryShare::new(account);
        let error = one.memory_growing(0, 11, None).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&MemoryRefused { limit: 10, asked: 11 }));
    }
}
