//! How many bytes something may hold: a container, its pod, a volume.
//!
//! A [`Budget`] counts bytes against its limit and against its parent's, so that a container is held to its own limit
//! and its pod to the sum. Charging is an atomic step per level and never waits. Who charges in small amounts does so
//! in steps ([`Ledger`]), because every container of a pod shares the pod's counter. A budget also knows the most that
//! it ever held, and how often it or one above it refused what was charged through it.
//!
//! Knows nothing of what is counted, and must not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::alarm::Alarm;

/// Bytes against a limit, and against the parent's.
#[derive(Debug)]
pub struct Budget {
    /// [`UNLIMITED`] for none.
    limit: AtomicU64,
    parent: Option<Arc<Self>>,
    used: AtomicU64,
    peak: AtomicU64,
    refused: AtomicU64,
    /// Few budgets have one.
    alarm: OnceLock<Alarm>,
}

/// The limit of a budget without one: its counter ends there, too.
const UNLIMITED: u64 = u64::MAX;

/// A limit that was refused, because more is in use. The budget has the limit it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a limit of {limit} bytes is below the {used} bytes in use")]
pub struct InUse {
    /// The limit that was to be set, in bytes.
    pub limit: u64,
    /// What is in use, in bytes.
    pub used: u64,
}

/// A charge that a budget refused. Nothing was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} more bytes do not fit in a budget of {limit} bytes, of which {used} are in use")]
pub struct OverBudget {
    /// The limit that refused, in bytes: the budget's own or that of one above it.
    pub limit: u64,
    /// What was asked for, in bytes.
    pub asked: u64,
    /// What was in use under that limit, in bytes.
    pub used: u64,
    /// How far above the budget that was charged the limit is: 0 for its own, 1 for its parent's, and so on.
    pub above: u32,
}

impl OverBudget {
    /// What would be in use under the limit if the charge had been granted, in bytes.
    pub fn wanted(&self) -> u64 {
        self.used.saturating_add(self.asked)
    }
}

impl Budget {
    /// A budget of `limit` bytes (none: as much as the parent gives), whose charges count in `parent` as well.
    pub fn new(limit: Option<u64>, parent: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit.unwrap_or(UNLIMITED)),
            parent,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            alarm: OnceLock::new(),
        })
    }

    /// A budget that refuses nothing and still counts.
    pub fn unlimited() -> Arc<Self> {
        Self::new(None, None)
    }

    /// Takes `bytes` here and in every budget above, or nowhere.
    ///
    /// # Errors
    ///
    /// [`OverBudget`] where one of the limits would be exceeded. A budget without a limit ends at 2⁶⁴ bytes.
    #[inline]
    pub fn charge(&self, bytes: u64) -> Result<(), OverBudget> {
        self.try_charge(bytes).inspect_err(|over| self.count_refusal(over.above))
    }

    /// As [`Self::charge`], by somebody who can do with less: it does not count as refused.
    ///
    /// # Errors
    ///
    /// As for [`Self::charge`].
    pub fn try_charge(&self, bytes: u64) -> Result<(), OverBudget> {
        let limit = self.limit.load(Ordering::Relaxed);
        let before = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= limit)
            })
            .map_err(|used| OverBudget { limit, asked: bytes, used, above: 0 })?;
        if let Some(parent) = &self.parent
            && let Err(refused) = parent.try_charge(bytes)
        {
            self.subtract(bytes);
            return Err(OverBudget { above: refused.above.saturating_add(1), ..refused });
        }
        self.reach(before, before.saturating_add(bytes));
        Ok(())
    }

    /// Takes `bytes` whatever the limits say: for what is there already and bounded by something else. What is charged
    /// after that is refused until there is room again.
    pub fn force(&self, bytes: u64) {
        let add = |used: u64| Some(used.saturating_add(bytes));
        let before = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).unwrap_or_default();
        self.reach(before, before.saturating_add(bytes));
        if let Some(parent) = &self.parent {
            parent.force(bytes);
        }
    }

    /// Gives `bytes` of an earlier charge back.
    pub fn release(&self, bytes: u64) {
        self.subtract(bytes);
        if let Some(parent) = &self.parent {
            parent.release(bytes);
        }
    }

    /// Bytes charged and not released.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most bytes that were charged at one time.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// How many charges were refused, because of the own limit or one above. Who is refused and tries again counts
    /// again, as in a cgroup's `memory.events`.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// What could be charged at the moment, here and above, in bytes.
    pub fn available(&self) -> u64 {
        let here = self.limit.load(Ordering::Relaxed).saturating_sub(self.used());
        self.parent.as_ref().map_or(here, |parent| here.min(parent.available()))
    }

    /// The own limit in bytes, without those above.
    pub fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|limit| *limit != UNLIMITED)
    }

    /// Sets the own limit in bytes.
    ///
    /// # Errors
    ///
    /// [`InUse`] when more is in use than it allows.
    pub fn set_limit(&self, limit: Option<u64>) -> Result<(), InUse> {
        let new = limit.unwrap_or(UNLIMITED);
        let old = self.limit.swap(new, Ordering::SeqCst);
        let used = self.used.load(Ordering::SeqCst);
        if used > new {
            // Unless somebody else has set another one meanwhile.
            let _ = self.limit.compare_exchange(new, old, Ordering::SeqCst, Ordering::SeqCst);
            return Err(InUse { limit: new, used });
        }
        Ok(())
    }

    /// Has [`Self::alarmed`] return when so many bytes are in use, or at once when they are; `None` for never.
    pub fn set_alarm(&self, mark: Option<u64>) {
        let alarm = self.alarm.get_or_init(Alarm::default);
        alarm.set(mark);
        // What was charged before the mark stood rings nothing.
        if mark.is_some_and(|mark| self.used() >= mark) {
            alarm.ring();
        }
    }

    /// Waits for the mark of [`Self::set_alarm`] to be reached. For one waiter; may return once too often.
    pub async fn alarmed(&self) {
        self.alarm.get_or_init(Alarm::default).rung().await;
    }

    /// Notes that so much is in use, after less was.
    #[inline]
    fn reach(&self, before: u64, used: u64) {
        if used > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
        if let Some(alarm) = self.alarm.get() {
            alarm.rose(before, used);
        }
    }

    /// Counts a refusal here and in as many budgets above.
    #[cold]
    fn count_refusal(&self, above: u32) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(parent) = self.parent.as_ref().filter(|_| above > 0) {
            parent.count_refusal(above - 1);
        }
    }

    fn subtract(&self, bytes: u64) {
        // More than was charged would be a caller's mistake: counting from zero again is better than refusing
        // everything ever after.
        let before = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(bytes)))
            .unwrap_or_default();
        debug_assert!(before >= bytes, "released {bytes} of {before} bytes");
    }
}

/// What one holder has charged, in steps: a holder whose need changes by a few bytes at a time asks the shared counters
/// only when it crosses a step. Gives everything back when dropped.
#[derive(Debug)]
pub struct Ledger {
    budget: Arc<Budget>,
    charged: u64,
    /// What stays charged until it is dropped.
    floor: u64,
}

/// Bytes that a [`Ledger`] charges at once.
pub const LEDGER_STEP: u64 = 16 * 1024;

impl Ledger {
    /// A holder of nothing yet.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, charged: 0, floor: 0 }
    }

    /// A holder of `floor` bytes, which stay charged while it lives.
    ///
    /// # Errors
    ///
    /// [`OverBudget`] where the budget refuses them.
    pub fn with_floor(budget: Arc<Budget>, floor: u64) -> Result<Self, OverBudget> {
        budget.charge(floor)?;
        Ok(Self { budget, charged: floor, floor })
    }

    /// Makes sure that `needed` bytes are charged in all.
    ///
    /// # Errors
    ///
    /// [`OverBudget`] where the budget refuses the difference. The charge is then what it was.
    #[inline]
    pub fn cover(&mut self, needed: u64) -> Result<(), OverBudget> {
        if needed <= self.charged { Ok(()) } else { self.grow(needed) }
    }

    #[cold]
    fn grow(&mut self, needed: u64) -> Result<(), OverBudget> {
        let rounded = needed.checked_next_multiple_of(LEDGER_STEP).unwrap_or(needed);
        if self.budget.try_charge(rounded - self.charged).is_ok() {
            self.charged = rounded;
        } else {
            // Near a limit the whole step may not fit although what is needed does.
            self.budget.charge(needed - self.charged)?;
            self.charged = needed;
        }
        Ok(())
    }

    /// Gives back what is over `needed` bytes and the floor: once that is two steps or more, or, where nothing is needed
    /// any more, more than one.
    #[inline]
    pub fn settle(&mut self, needed: u64) {
        let spare = self.charged.saturating_sub(needed.max(self.floor));
        if spare >= 2 * LEDGER_STEP || (needed == 0 && spare > LEDGER_STEP) {
            self.shrink(needed);
        }
    }

    #[cold]
    fn shrink(&mut self, needed: u64) {
        let rounded = needed.checked_next_multiple_of(LEDGER_STEP).unwrap_or(needed);
        let keep = rounded.max(self.floor).min(self.charged);
        self.budget.release(self.charged - keep);
        self.charged = keep;
    }

    /// Bytes charged at the moment.
    pub fn charged(&self) -> u64 {
        self.charged
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if self.charged > 0 {
            self.budget.release(self.charged);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_charge_counts_in_every_budget_above_it() {
        let pod = Budget::new(Some(100), None);
        let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
        container.charge(50).unwrap();
        assert_eq!((container.used(), pod.used()), (50, 50));
        container.release(20);
        assert_eq!((container.used(), pod.used()), (30, 30));
        assert_eq!((container.limit(), Budget::unlimited().limit()), (Some(60), None));
    }

    #[test]
    fn a_refused_charge_leaves_nothing_behind_and_names_the_limit_that_refused() {
        let pod = Budget::new(Some(100), None);
        let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
        let sibling = Budget::new(None, Some(Arc::clone(&pod)));
        assert_eq!(container.charge(61), Err(OverBudget { limit: 60, asked: 61, used: 0, above: 0 }));
        sibling.charge(70).unwrap();
        let over = OverBudget { limit: 100, asked: 40, used: 70, above: 1 };
        assert_eq!((container.charge(40), over.wanted()), (Err(over), 110));
        assert_eq!((container.used(), sibling.used(), pod.used()), (0, 70, 70));
        container.charge(30).unwrap();
        assert_eq!((container.peak(), sibling.peak(), pod.peak()), (30, 70, 100));
    }

    #[test]
    fn a_refusal_counts_where_it_was_felt() {
        let pod = Budget::new(Some(100), None);
        let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
        let kind = Budget::new(None, Some(Arc::clone(&container)));
        assert!(kind.charge(61).is_err());
        assert_eq!((kind.refused(), container.refused(), pod.refused()), (1, 1, 0));
        pod.charge(50).unwrap();
        assert_eq!(kind.charge(51).unwrap_err().above, 2);
        assert_eq!((kind.refused(), container.refused(), pod.refused()), (2, 2, 1));
        // Who can do with less has lost nothing.
        assert!(kind.try_charge(51).is_err());
        assert_eq!((kind.refused(), container.refused(), pod.refused()), (2, 2, 1));
    }

    #[test]
    fn what_is_there_already_counts_over_the_limit_and_gives_no_room() {
        let pod = Budget::new(Some(100), None);
        let container = Budget::new(Some(60), Some(Arc::clone(&pod)));
        container.force(70);
        assert_eq!((container.used(), pod.used(), container.peak(), container.available()), (70, 70, 70, 0));
        assert!(container.charge(1).is_err());
        container.release(70);
        container.charge(60).unwrap();
        assert_eq!(pod.used(), 60);
    }

    #[test]
    fn a_limit_changes_but_not_below_what_is_in_use() {
        let budget = Budget::new(Some(100), None);
        budget.charge(60).unwrap();
        assert_eq!(budget.set_limit(Some(59)), Err(InUse { limit: 59, used: 60 }));
        assert_eq!(budget.limit(), Some(100));
        budget.set_limit(Some(60)).unwrap();
        assert!(budget.charge(1).is_err());
        budget.set_limit(None).unwrap();
        budget.charge(1000).unwrap();
        assert_eq!(budget.limit(), None);
    }

    #[tokio::test]
    async fn an_alarm_rings_each_time_its_mark_is_reached() {
        let node = Budget::new(Some(100), None);
        let pod = Budget::new(None, Some(Arc::clone(&node)));
        let rung = async |node: &Budget| {
            tokio::select! {
                biased;
                () = node.alarmed() => true,
                () = std::future::ready(()) => false,
            }
        };
        node.set_alarm(Some(50));
        pod.charge(49).unwrap();
        assert!(!rung(&node).await);
        pod.charge(1).unwrap();
        pod.charge(10).unwrap();
        assert!(rung(&node).await && !rung(&node).await);
        pod.release(20);
        pod.charge(20).unwrap();
        assert!(rung(&node).await);
        node.set_alarm(Some(60));
        assert!(rung(&node).await, "it was there already");
        node.set_alarm(None);
        pod.charge(40).unwrap();
        assert!(!rung(&node).await);
    }

    #[test]
    fn no_sum_overflows() {
        let budget = Budget::unlimited();
        budget.charge(u64::MAX).unwrap();
        assert!(budget.charge(1).is_err());
        budget.release(u64::MAX);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn threads_never_get_more_than_the_limit_in_all() {
        let budget = Budget::new(Some(1000), None);
        let granted: u64 = std::thread::scope(|scope| {
            let takers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| budget.charge(1).is_ok()).count() as u64)).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!((granted, budget.used()), (1000, 1000));
    }

    #[test]
    fn a_ledger_charges_in_steps_and_the_exact_amount_near_the_limit() {
        let budget = Budget::new(Some(2 * LEDGER_STEP - 10), None);
        let mut ledger = Ledger::new(Arc::clone(&budget));
        ledger.cover(1).unwrap();
        assert_eq!(budget.used(), LEDGER_STEP);
        ledger.cover(LEDGER_STEP + 5).unwrap();
        assert_eq!(budget.used(), LEDGER_STEP + 5);
        assert!(ledger.cover(2 * LEDGER_STEP).is_err());
        drop(ledger);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_ledger_keeps_its_floor_and_gives_back_what_is_over() {
        let pod = Budget::new(Some(100_000), None);
        let container = Budget::new(None, Some(Arc::clone(&pod)));
        assert!(Ledger::with_floor(Arc::clone(&container), 100_001).is_err());
        let mut ledger = Ledger::with_floor(Arc::clone(&container), 4096).unwrap();
        assert_eq!(container.available(), 100_000 - 4096);
        ledger.cover(60_000).unwrap();
        ledger.settle(0);
        assert_eq!((ledger.charged(), pod.used()), (4096, 4096));
        drop(ledger);
        assert_eq!(pod.used(), 0);
    }

    proptest! {
        /// Against a model: two containers under a pod, charged, released and given other limits in any order.
        #[test]
        fn a_pod_is_the_sum_of_its_containers_and_nobody_passes_a_limit(
            steps in prop::collection::vec((0usize..2, 0u8..3, 0u64..120), 1..80)
        ) {
            let pod = Budget::new(Some(150), None);
            let of_pod = || Budget::new(Some(100), Some(Arc::clone(&pod)));
            let containers = [of_pod(), of_pod()];
            let (mut used, mut limits) = ([0u64; 2], [100u64; 2]);
            for (which, what, bytes) in steps {
                let container = &containers[which];
                match what {
                    0 => {
                        let fits = used[which] + bytes <= limits[which] && used[0] + used[1] + bytes <= 150;
                        prop_assert_eq!(container.charge(bytes).is_ok(), fits);
                        used[which] += if fits { bytes } else { 0 };
                    }
                    1 => {
                        let given = bytes.min(used[which]);
                        container.release(given);
                        used[which] -= given;
                    }
                    _ => match container.set_limit(Some(bytes)) {
                        Ok(()) => limits[which] = bytes,
                        Err(in_use) => {
                            prop_assert_eq!(in_use, InUse { limit: bytes, used: used[which] });
                            prop_assert!(used[which] > bytes);
                        }
                    },
                }
                prop_assert_eq!([containers[0].used(), containers[1].used()], used);
                prop_assert_eq!(pod.used(), used[0] + used[1]);
                prop_assert!(pod.peak() <= 150 && container.peak() >= container.used());
            }
        }

        #[test]
        fn a_ledger_covers_what_it_promised_and_gives_all_back(needs in prop::collection::vec(0u64..200_000, 1..50)) {
            let budget = Budget::new(Some(150_000), None);
            let mut ledger = Ledger::new(Arc::clone(&budget));
            for need in needs {
                if ledger.cover(need).is_ok() {
                    prop_assert!(ledger.charged() >= need);
                } else {
                    prop_assert!(need > 150_000);
                }
                prop_assert_eq!(ledger.charged(), budget.used());
                ledger.settle(need.min(ledger.charged()));
                prop_assert!(ledger.charged() >= need.min(ledger.charged()));
            }
            drop(ledger);
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
