//! The account of a pod's ephemeral storage: bytes on a disk that go when the pod goes.
//!
//! ```text
//!   container (its root's writes, its logs) ──┐
//!   emptyDir on a disk, with its sizeLimit ───┴──► pod, with the sum of its containers' limits
//! ```
//!
//! What is charged counts in every account above, too. Who passes a limit is told so with the charge, and the account
//! is marked as exceeded, once and for good: Kubernetes evicts a pod for that. A charge that would pass a limit is
//! refused, so that a guest cannot fill the disk before it is evicted; what cannot be refused (a log, which nobody
//! may lose) is [counted](DiskUsage::count) all the same.
//!
//! Some accounts are estimates from above, because nobody can tell how much a write changes on a disk (see the
//! quota of emptyDir volumes). Before one is taken to be exceeded, those who can count again are asked to.
//!
//! Locks: the list of counters is copied before any of them is called. Notices are called with no lock of this module
//! held, but possibly with one of the caller's: they must not block or call back.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::io::Errno;

/// Bytes on disk against a limit, and against those of the accounts that this one is part of.
pub struct DiskUsage {
    used: AtomicU64,
    limit: Option<u64>,
    exceeded: AtomicBool,
    notice: Option<Notice>,
    parent: Option<Arc<DiskUsage>>,
    /// Those who can replace an estimate in this account by an exact figure.
    counters: Mutex<Vec<Weak<dyn Recount>>>,
}

/// What is called once, when an account's limit is passed. Gets the bytes that would have been in use.
pub type Notice = Box<dyn Fn(u64) + Send + Sync>;

/// Counts what is on a disk.
pub trait Recount: Send + Sync {
    /// Replaces the estimate in the account by an exact figure, if that is due and worth its cost. Whether it did.
    fn recount(&self) -> bool;
}

/// A charge would have passed a limit. Guests see `ENOSPC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} bytes more would pass the storage limit of {limit} bytes")]
pub struct OverStorage {
    /// The limit, in bytes.
    pub limit: u64,
    /// What was asked for, in bytes.
    pub asked: u64,
}

impl From<OverStorage> for Errno {
    fn from(_: OverStorage) -> Self {
        Self::NOSPC
    }
}

impl fmt::Debug for DiskUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskUsage")
            .field("used", &self.used())
            .field("limit", &self.limit)
            .field("exceeded", &self.is_exceeded())
            .finish_non_exhaustive()
    }
}

impl DiskUsage {
    /// An empty account, part of `parent` if there is one. `limit` is in bytes; `None` means no limit of its own.
    pub fn new(limit: Option<u64>, parent: Option<Arc<Self>>) -> Arc<Self> {
        Self::build(limit, parent, None)
    }

    /// As [`DiskUsage::new`]; `notice` is called once, when the limit is passed.
    pub fn with_notice(limit: Option<u64>, parent: Option<Arc<Self>>, notice: Notice) -> Arc<Self> {
        Self::build(limit, parent, Some(notice))
    }

    /// An account without a limit, and part of none.
    pub fn unlimited() -> Arc<Self> {
        Self::build(None, None, None)
    }

    fn build(limit: Option<u64>, parent: Option<Arc<Self>>, notice: Option<Notice>) -> Arc<Self> {
        let (used, exceeded, counters) = Default::default();
        Arc::new(Self { used, limit, exceeded, notice, parent, counters })
    }

    /// Takes `bytes` more into account, here and in all accounts above.
    ///
    /// # Errors
    /// [`OverStorage`] when that would pass a limit; nothing is charged then, and the account whose limit it is is
    /// exceeded from now on.
    pub fn charge(&self, bytes: u64) -> Result<(), OverStorage> {
        match self.try_charge(bytes) {
            Ok(()) => Ok(()),
            Err(over) => {
                let exact = over.recount();
                self.try_charge(bytes).map_err(|over| {
                    if exact {
                        over.mark(over.used().saturating_add(bytes));
                    }
                    OverStorage { limit: over.limit.unwrap_or(u64::MAX), asked: bytes }
                })
            }
        }
    }

    /// As [`DiskUsage::charge`] for an estimate: passing a limit marks nothing, and nobody counts again. The error is
    /// the account whose limit it is.
    pub(crate) fn try_charge(&self, bytes: u64) -> Result<(), &Self> {
        let within = |used: u64| {
            let sum = used.checked_add(bytes)?;
            (self.limit.is_none_or(|limit| sum <= limit) || bytes == 0).then_some(sum)
        };
        if self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).is_err() {
            return Err(self);
        }
        if let Some(parent) = &self.parent {
            parent.try_charge(bytes).inspect_err(|_| self.subtract(bytes))?;
        }
        Ok(())
    }

    /// Takes `bytes` into account that are on the disk already, or cannot be refused.
    pub fn count(&self, bytes: u64) {
        self.add(bytes);
        self.check();
    }

    /// Marks this account, and those above, where more is in use than the limit says.
    pub fn check(&self) {
        let is_over = || self.limit.is_some_and(|limit| self.used() > limit);
        if is_over() && !self.is_exceeded() && self.recount() && is_over() {
            self.mark(self.used());
        }
        if let Some(parent) = &self.parent {
            parent.check();
        }
    }

    fn add(&self, bytes: u64) {
        let more = |used: u64| Some(used.saturating_add(bytes));
        let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        if let Some(parent) = &self.parent {
            parent.add(bytes);
        }
    }

    /// Gives `bytes` back, here and in all accounts above.
    pub fn release(&self, bytes: u64) {
        self.subtract(bytes);
        if let Some(parent) = &self.parent {
            parent.release(bytes);
        }
    }

    /// Replaces an estimate by an exact figure. `before` is what the estimate was when counting began: what was
    /// charged since stays charged.
    pub(crate) fn correct(&self, before: u64, exact: u64) {
        match exact.checked_sub(before) {
            Some(more) => self.add(more),
            None => self.release(before - exact),
        }
    }

    fn subtract(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// Bytes in use, as far as is known.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Bytes that may still be charged, by this account and those above.
    pub fn room(&self) -> u64 {
        let own = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.used()));
        self.parent.as_ref().map_or(own, |parent| own.min(parent.room()))
    }

    /// The account's own limit, in bytes.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Whether the account's own limit was ever passed.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Acquire)
    }

    /// From now on `counter` is asked to count before this account, or one above, is taken to be exceeded.
    pub(crate) fn add_counter(&self, counter: &Weak<dyn Recount>) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.retain(|counter| counter.strong_count() > 0);
        counters.push(Weak::clone(counter));
        drop(counters);
        if let Some(parent) = &self.parent {
            parent.add_counter(counter);
        }
    }

    /// Whether the figure is exact now.
    fn recount(&self) -> bool {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut exact = true;
        // All of them, even if one cannot.
        for counter in counters.iter().filter_map(Weak::upgrade) {
            exact &= counter.recount();
        }
        exact
    }

    /// `used` is what would be in use.
    fn mark(&self, used: u64) {
        if !self.exceeded.swap(true, Ordering::AcqRel)
            && let Some(notice) = &self.notice
        {
            notice(used);
        }
    }
}

/// What is left in an account goes with it.
impl Drop for DiskUsage {
    fn drop(&mut self) {
        if let Some(parent) = &self.parent {
            parent.release(*self.used.get_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_passes_any_limit_above_is_refused_whole_and_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let notice = |name: &'static str| -> Notice {
            let told = Arc::clone(&told);
            Box::new(move |used| told.lock().unwrap().push((name, used)))
        };
        let pod = DiskUsage::with_notice(Some(100), None, notice("pod"));
        let container = DiskUsage::with_notice(Some(80), Some(Arc::clone(&pod)), notice("container"));
        let volume = DiskUsage::new(None, Some(Arc::clone(&pod)));
        container.charge(80).unwrap();
        volume.charge(10).unwrap();
        assert_eq!(container.charge(1), Err(OverStorage { limit: 80, asked: 1 }));
        assert_eq!(volume.charge(11), Err(OverStorage { limit: 100, asked: 11 }));
        assert_eq!((container.used(), volume.used(), pod.used()), (80, 10, 90));
        container.release(50);
        container.charge(50).unwrap();
        assert!(container.charge(60).is_err());
        assert_eq!(*told.lock().unwrap(), [("container", 81), ("pod", 101)]);
        // Exceeded is for good: the pod is evicted.
        assert!(container.is_exceeded() && pod.is_exceeded() && !volume.is_exceeded());
    }

    #[test]
    fn a_log_is_counted_past_the_limit() {
        let pod = DiskUsage::new(Some(10), None);
        let container = DiskUsage::new(None, Some(Arc::clone(&pod)));
        container.count(11);
        assert_eq!((container.used(), pod.used(), pod.is_exceeded()), (11, 11, true));
        assert!(container.charge(1).is_err());
        container.charge(0).unwrap();
    }

    struct Counter {
        account: Arc<DiskUsage>,
        exact: u64,
        is_due: bool,
    }

    impl Recount for Counter {
        fn recount(&self) -> bool {
            self.account.correct(self.account.used(), self.exact);
            self.is_due
        }
    }

    #[test]
    fn an_estimate_is_counted_again_before_it_is_believed() {
        let pod = DiskUsage::new(Some(100), None);
        let volume = DiskUsage::new(None, Some(Arc::clone(&pod)));
        let counter: Arc<dyn Recount> = Arc::new(Counter { account: Arc::clone(&volume), exact: 20, is_due: true });
        volume.add_counter(&Arc::downgrade(&counter));
        volume.charge(90).unwrap();
        // Another account of the pod: it needs room that the estimate takes away.
        let container = DiskUsage::new(None, Some(Arc::clone(&pod)));
        container.charge(70).unwrap();
        assert_eq!((volume.used(), pod.used(), pod.is_exceeded()), (20, 90, false));
        assert!(container.charge(20).is_err());
        assert!(pod.is_exceeded());
    }

    proptest! {
        #[test]
        fn a_parent_holds_the_sum_of_its_parts(steps in prop::collection::vec((0..2_usize, any::<bool>(), 0..200_u64), 0..60)) {
            let pod = DiskUsage::new(Some(1000), None);
            let parts = [DiskUsage::new(Some(600), Some(Arc::clone(&pod))), DiskUsage::new(None, Some(Arc::clone(&pod)))];
            for (part, charge, bytes) in steps {
                if charge {
                    let _ = parts[part].charge(bytes);
                } else {
                    parts[part].release(bytes.min(parts[part].used()));
                }
                prop_assert_eq!(pod.used(), parts[0].used() + parts[1].used());
                prop_assert!(pod.used() <= 1000 && parts[0].used() <= 600);
            }
        }
    }
}
