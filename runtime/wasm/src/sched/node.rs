//! One node of the run queue: a pod, a container, or the host's own work.

use std::collections::{BTreeSet, VecDeque};

use super::queue::NodeId;
use super::quota::{PERIOD_NANOS, Quota};
use super::share::{Share, Usage};

/// Virtual time: nanoseconds of CPU time, divided by weight. Wide enough never to overflow.
pub(crate) type Virtual = u128;

/// Whether a node may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It may.
    Free,
    /// Its quota is used up.
    Until {
        /// When that is over.
        until: u64,
        /// Since when it would run otherwise.
        waits_since: Option<u64>,
    },
}

/// A node. What of it is in other tables is kept in step by the queue.
#[derive(Debug)]
pub(super) struct Node<T> {
    pub(super) parent: Option<NodeId>,
    pub(super) weight: u64,
    pub(super) time: Virtual,
    pub(super) quota: Option<Quota>,
    pub(super) hold: Hold,
    /// Whether it is in its parent's `ready`, with `time`.
    pub(super) queued: bool,
    /// Its children that have work.
    pub(super) ready: BTreeSet<(Virtual, NodeId)>,
    /// The virtual time that its children are at: it never goes back.
    pub(super) floor: Virtual,
    /// Its own tasks, the first to run first.
    pub(super) tasks: VecDeque<T>,
    /// Threads that run it or something below it.
    pub(super) running: u32,
    usage: Usage,
    /// The last period that was counted.
    period: Option<u64>,
    /// The last period that was counted as one in which it was held back.
    throttled_period: Option<u64>,
}

impl<T> Node<T> {
    pub(super) fn new(parent: Option<NodeId>, share: Share) -> Self {
        Self {
            parent,
            weight: share.weight(),
            time: 0,
            quota: None,
            hold: Hold::Free,
            queued: false,
            ready: BTreeSet::new(),
            floor: 0,
            tasks: VecDeque::new(),
            running: 0,
            usage: Usage::default(),
            period: None,
            throttled_period: None,
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.tasks.is_empty() || !self.ready.is_empty()
    }

    pub(super) fn is_held(&self) -> bool {
        matches!(self.hold, Hold::Until { .. })
    }

    /// What so much CPU time is in virtual time.
    pub(super) fn virtual_of(&self, nanos: u64) -> Virtual {
        Virtual::from(nanos) * Virtual::from(Share::WEIGHT_OF_A_CPU) / Virtual::from(self.weight)
    }

    /// It ran.
    pub(super) fn charge(&mut self, nanos: u64, now: u64) {
        self.time += self.virtual_of(nanos);
        self.usage.used = self.usage.used.saturating_add(nanos);
        if let Some(quota) = &mut self.quota {
            quota.charge(nanos);
            if self.period.replace(now / PERIOD_NANOS) != Some(now / PERIOD_NANOS) {
                self.usage.periods += 1;
            }
        }
    }

    /// It has something to do, if it is held: from now on that is time lost.
    pub(super) fn waits_from(&mut self, now: u64) {
        if let Hold::Until { waits_since: waits_since @ None, .. } = &mut self.hold {
            *waits_since = Some(now);
        }
    }

    /// Ends a hold, and gives back until when it was to be.
    pub(super) fn release(&mut self, now: u64) -> Option<u64> {
        let Hold::Until { until, .. } = self.hold else { return None };
        self.usage = self.usage_at(now);
        if let Some((_, last)) = self.lost_periods(now) {
            self.period = self.period.max(Some(last));
            self.throttled_period = self.throttled_period.max(Some(last));
        }
        self.hold = Hold::Free;
        Some(until)
    }

    /// What it has used, with the wait that is under way.
    pub(super) fn usage_at(&self, now: u64) -> Usage {
        let mut usage = self.usage;
        if let Hold::Until { waits_since: Some(since), .. } = self.hold {
            usage.throttled = usage.throttled.saturating_add(now.saturating_sub(since));
        }
        if let Some((first, last)) = self.lost_periods(now) {
            // It may have run in one of them, or have been held before.
            let beyond = |counted: Option<u64>| {
                let next = counted.map_or(first, |counted| first.max(counted.saturating_add(1)));
                last.saturating_add(1).saturating_sub(next)
            };
            usage.periods += beyond(self.period);
            usage.throttled_periods += beyond(self.throttled_period);
        }
        usage
    }

    /// The first and the last period that it lost in the wait that is under way: not the one it is released in.
    fn lost_periods(&self, now: u64) -> Option<(u64, u64)> {
        let Hold::Until { waits_since: Some(since), .. } = self.hold else { return None };
        let first = since / PERIOD_NANOS;
        Some((first, (now / PERIOD_NANOS).saturating_sub(1).max(first)))
    }
}
