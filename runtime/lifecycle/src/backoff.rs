//! How long to wait before trying again.

use std::time::Duration;

/// The first wait after a failure that counts.
pub(crate) const FIRST: Duration = Duration::from_secs(10);
/// No wait is longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(300);
/// A container that ran this long starts over with no wait when it ends.
pub(crate) const RESET_AFTER: Duration = Duration::from_secs(600);

/// Waits that double from [`FIRST`] to [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOff {
    first: Duration,
    next: Duration,
}

impl BackOff {
    /// 10 s, 20 s, 40 s, …: for pulls and creations.
    pub(crate) const fn delayed() -> Self {
        Self { first: FIRST, next: FIRST }
    }

    /// 0, 10 s, 20 s, …: for containers that ended. Kubernetes restarts at once after the first exit, and backs off
    /// from the second on ("How Pods handle problems with containers" in its documentation of the pod's lifecycle).
    pub(crate) const fn eager() -> Self {
        Self { first: Duration::ZERO, next: Duration::ZERO }
    }

    /// The wait after one more failure.
    pub(crate) fn fail(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).clamp(FIRST, LONGEST);
        delay
    }

    /// Forgets all failures.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A duration as Go prints it, since users know `1m20s` from the kubelet's messages; fractions are dropped.
pub(crate) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(mut back_off: BackOff, count: usize) -> Vec<u64> {
        std::iter::repeat_with(|| back_off.fail().as_secs()).take(count).collect()
    }

    #[test]
    fn delays_double_up_to_five_minutes() {
        assert_eq!(seconds(BackOff::delayed(), 7), [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(seconds(BackOff::eager(), 8), [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_reset_starts_over() {
        let mut back_off = BackOff::eager();
        for _ in 0..5 {
            back_off.fail();
        }
        back_off.reset();
        assert_eq!(back_off, BackOff::eager());
    }

    #[test]
    fn durations_read_as_in_the_kubelets_messages() {
        assert_eq!(go_duration(Duration::from_secs(10)), "10s");
        assert_eq!(go_duration(Duration::from_secs(80)), "1m20s");
        assert_eq!(go_duration(Duration::from_secs(300)), "5m0s");
    }
}
