//! From what one thread measured around polls to CPU time.
//!
//! Reading the thread's CPU clock is a system call and costs more than a short poll. So a poll is charged by the wall
//! clock, and every so often, when that has come to a millisecond, by the CPU clock: what the wall clock said too much,
//! because the kernel ran something else on this CPU, comes off the charge, and off the next ones if it is more.

/// How much is charged by the wall clock alone, in nanoseconds.
const UNVERIFIED_NANOS: u64 = 1_000_000;

/// The meter of one thread. All of the thread's time counts as somebody's but what it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadMeter {
    /// What the CPU clock said when it was last read.
    verified_at: u64,
    /// Charged since.
    unverified: u64,
    /// Charged too much.
    credit: u64,
}

impl ThreadMeter {
    /// A meter for a thread whose CPU clock says `cpu_clock`.
    pub(crate) fn new(cpu_clock: u64) -> Self {
        Self { verified_at: cpu_clock, unverified: 0, credit: 0 }
    }

    /// The CPU time to charge for a poll that took `wall` nanoseconds; `cpu_clock` reads the thread's CPU clock.
    pub(crate) fn measure(&mut self, wall: u64, cpu_clock: impl FnOnce() -> u64) -> u64 {
        self.unverified = self.unverified.saturating_add(wall);
        if self.unverified >= UNVERIFIED_NANOS {
            let now = cpu_clock();
            // More than the wall clock said is what the thread did between polls: nobody's.
            let used = now.saturating_sub(self.verified_at);
            self.credit = self.credit.saturating_add(self.unverified.saturating_sub(used));
            *self = Self { verified_at: now, unverified: 0, credit: self.credit };
        }
        let back = self.credit.min(wall);
        self.credit -= back;
        wall - back
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_polls_are_charged_by_the_wall_clock() {
        let mut meter = ThreadMeter::new(5);
        assert_eq!(meter.measure(1_000, || unreachable!()), 1_000);
    }

    #[test]
    fn a_thread_that_was_preempted_charges_only_what_it_ran() {
        let mut meter = ThreadMeter::new(0);
        assert_eq!(meter.measure(5_000_000, || 1_500_000), 1_500_000);
        assert_eq!(meter.measure(5_000_000, || 6_500_000), 5_000_000);
    }

    #[test]
    fn what_was_charged_too_much_comes_off_the_next_polls() {
        let mut meter = ThreadMeter::new(0);
        assert_eq!(meter.measure(900_000, || unreachable!()), 900_000);
        // Of all this, only 300 µs were on the CPU.
        assert_eq!(meter.measure(200_000, || 300_000), 0);
        assert_eq!(meter.measure(700_000, || unreachable!()), 100_000);
    }

    proptest! {
        /// What was charged is what was verified, what is not verified yet, and what will come off the next polls.
        #[test]
        fn charges_sum_up_to_cpu_time(polls in prop::collection::vec((0u64..3_000_000, 0u64..=100), 1..200)) {
            let mut meter = ThreadMeter::new(0);
            let (mut cpu, mut charged) = (0, 0);
            for (wall, on_cpu) in polls {
                cpu += wall * on_cpu / 100;
                charged += meter.measure(wall, || cpu);
                prop_assert_eq!(charged, meter.verified_at + meter.unverified + meter.credit);
                prop_assert!(meter.unverified < UNVERIFIED_NANOS);
            }
        }
    }
}
