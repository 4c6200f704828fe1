//! When the ticker wakes next: at the next tick, or sooner, when the quota of something that runs is used up.
//!
//! Without that a guest would overrun its quota until the next tick, and then miss periods for it: over a few seconds
//! that evens out, but not within a period, and not in what is seen of it in between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::shared::Parker;

/// No alarm is sooner than so many nanoseconds from now: what runs shortly and often with little left of its quota shall
/// not wake the ticker, and interrupt everybody, each time.
const SOONEST_NANOS: u64 = 250_000;

/// The ticker's alarm clock. Times are nanoseconds of the executor's clock.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// The time for which it is set.
    at: AtomicU64,
    pub(super) parker: Parker,
}

impl Alarm {
    /// It shall ring at `at`, unless it does so before.
    pub(super) fn ring_at(&self, at: u64, now: u64) {
        let at = at.max(now.saturating_add(SOONEST_NANOS));
        if at < self.at.fetch_min(at, Ordering::AcqRel) {
            self.parker.unpark();
        }
    }

    /// Sets it for `at`. Who asked for another time before is forgotten: it is for the ticker, which then interrupts
    /// whatever runs, so that all are asked anew.
    pub(super) fn set(&self, at: u64) {
        self.at.store(at, Ordering::Release);
    }

    /// How long it is at `now` until it rings; `None` when it rings.
    pub(super) fn left(&self, now: u64) -> Option<Duration> {
        let left = self.at.load(Ordering::Acquire).saturating_sub(now);
        (left > 0).then(|| Duration::from_nanos(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_at_the_first_of_the_times_but_not_too_soon() {
        let alarm = Alarm::default();
        alarm.set(5_000_000);
        alarm.ring_at(9_000_000, 0);
        assert_eq!(alarm.left(0), Some(Duration::from_millis(5)));
        alarm.ring_at(3_000_000, 0);
        alarm.ring_at(4_000_000, 0);
        assert_eq!(alarm.left(1_000_000), Some(Duration::from_millis(2)));
        alarm.ring_at(1_000_001, 1_000_000);
        assert_eq!(alarm.left(1_000_000), Some(Duration::from_nanos(SOONEST_NANOS)));
        assert_eq!(alarm.left(2_000_000), None);
    }
}
