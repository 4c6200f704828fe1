//! A quota of CPU time per period, and when it lets a container run again.
//!
//! ```text
//!                 ┌────────── charge(used) ──────────┐
//!                 ▼                                  │
//!   balance > 0: Run ──(balance ≤ 0)──► WaitUntil(the period whose refill makes it positive) ──► Run
//! ```
//!
//! Like the kernel's bandwidth control, a quota is refilled at each period's start and what is not used is lost. As a
//! guest can be stopped only at a tick, it may overrun its quota; the overrun is carried as debt into the next periods.
//! Everything here is arithmetic on nanoseconds that the caller measured, so that it can be tested without a clock.

/// Length of a quota's period in nanoseconds: the kernel's default.
pub(crate) const PERIOD_NANOS: u64 = 100_000_000;

/// A quota of CPU time per period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    per_period: i64,
    balance: i64,
    period: u64,
}

/// Whether a guest may run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Run,
    /// Its quota is used up until this instant, in nanoseconds on the caller's clock.
    WaitUntil(u64),
}

impl Quota {
    /// A quota of so many thousandths of a CPU, from `now` on. At least one thousandth.
    pub(crate) fn new(cpu_millis: u64, now: u64) -> Self {
        let nanos = cpu_millis.max(1).saturating_mul(PERIOD_NANOS / 1000);
        let per_period = i64::try_from(nanos).unwrap_or(i64::MAX);
        Self { per_period, balance: per_period, period: now / PERIOD_NANOS }
    }

    /// Another quota from `now` on. What was used in this period stays used, and so does debt.
    pub(crate) fn change(&mut self, cpu_millis: u64, now: u64) {
        self.refill(now);
        let new = Self::new(cpu_millis, now);
        self.balance = self.balance.saturating_add(new.per_period.saturating_sub(self.per_period)).min(new.per_period);
        self.per_period = new.per_period;
    }

    /// Takes what a guest used off the balance.
    pub(crate) fn charge(&mut self, used: u64) {
        self.balance = self.balance.saturating_sub(i64::try_from(used).unwrap_or(i64::MAX));
    }

    /// How much is left of it until it is refilled, in nanoseconds.
    pub(crate) fn left(&self) -> u64 {
        u64::try_from(self.balance).unwrap_or(0)
    }

    /// Whether a guest may run at `now`.
    pub(crate) fn admit(&mut self, now: u64) -> Admission {
        self.refill(now);
        if self.balance > 0 {
            return Admission::Run;
        }
        // The balance is positive once the refills exceed the debt.
        let debt = self.balance.unsigned_abs();
        let periods = debt / self.per_period.unsigned_abs() + 1;
        Admission::WaitUntil(self.period.saturating_add(periods).saturating_mul(PERIOD_NANOS))
    }

    fn refill(&mut self, now: u64) {
        let period = now / PERIOD_NANOS;
        let elapsed = period.saturating_sub(self.period);
        if elapsed > 0 {
            let refill = self.per_period.saturating_mul(i64::try_from(elapsed).unwrap_or(i64::MAX));
            self.balance = self.balance.saturating_add(refill).min(self.per_period);
            self.period = period;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_used_up_quota_waits_for_the_next_period() {
        let mut quota = Quota::new(500, 0);
        assert_eq!(quota.admit(0), Admission::Run);
        quota.charge(50_000_000);
        assert_eq!(quota.admit(60_000_000), Admission::WaitUntil(PERIOD_NANOS));
        assert_eq!(quota.admit(PERIOD_NANOS), Admission::Run);
    }

    #[test]
    fn an_overrun_is_carried_as_debt() {
        let mut quota = Quota::new(50, 0);
        quota.charge(17_000_000); // of 5 ms
        assert_eq!(quota.admit(1), Admission::WaitUntil(3 * PERIOD_NANOS));
        assert_eq!(quota.admit(PERIOD_NANOS), Admission::WaitUntil(3 * PERIOD_NANOS));
        assert_eq!(quota.admit(3 * PERIOD_NANOS), Admission::Run);
    }

    #[test]
    fn unused_quota_is_lost() {
        let mut quota = Quota::new(1000, 0);
        assert_eq!(quota.admit(50 * PERIOD_NANOS), Admission::Run);
        quota.charge(PERIOD_NANOS);
        assert_eq!(quota.admit(50 * PERIOD_NANOS + 1), Admission::WaitUntil(51 * PERIOD_NANOS));
    }

    #[test]
    fn a_change_keeps_what_was_used() {
        let mut quota = Quota::new(500, 0);
        quota.charge(40_000_000);
        quota.change(300, 1);
        assert_eq!(quota.admit(2), Admission::WaitUntil(PERIOD_NANOS));
        quota.change(700, 3);
        assert_eq!(quota.admit(4), Admission::Run);
        quota.charge(30_000_000);
        assert_eq!(quota.admit(5), Admission::WaitUntil(PERIOD_NANOS));
    }

    proptest! {
        /// Over any history a guest gets no more than its quota plus one slice.
        #[test]
        fn no_more_than_quota_plus_one_slice(
            millis in 1u64..4000,
            polls in prop::collection::vec((0u64..5_000_000, 0u64..30_000_000), 1..400),
        ) {
            let mut quota = Quota::new(millis, 0);
            let (mut now, mut used) = (0, 0);
            for (slice, idle) in polls {
                now += idle;
                match quota.admit(now) {
                    Admission::Run => {}
                    Admission::WaitUntil(until) => {
                        prop_assert!(until > now);
                        now = until;
                        prop_assert_eq!(quota.admit(now), Admission::Run);
                    }
                }
                quota.charge(slice);
                used += slice;
                now += slice;
                let periods = now / PERIOD_NANOS + 1;
                prop_assert!(used <= periods * millis * (PERIOD_NANOS / 1000) + 5_000_000);
            }
        }
    }
}
