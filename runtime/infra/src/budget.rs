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
mod tests;
