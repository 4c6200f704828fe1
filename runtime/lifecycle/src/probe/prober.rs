//! One probe of one container: when it runs next, and what its results add up to.
//!
//! ```text
//!   Off ──begin──► Waiting ──due──► Running ──result──► Waiting …
//!                                      └──── verdict that ends it ────► Over
//! ```
//!
//! The arithmetic is the kubelet's, but for its jitter:
//!
//! - The first probe comes `initialDelaySeconds` after the container's start. (The kubelet looks every `periodSeconds`
//!   from the pod's acceptance on, so that there it comes up to a period later; a kubelet that has just started spreads
//!   the first ones over a period at random. Nothing here is random.)
//! - From then on one comes each `periodSeconds`, counted from start to start. A probe that takes longer than its period
//!   is followed by the next one at once; those that it has missed beyond that are dropped, and the beat stays.
//! - All of these are whole seconds; a timeout or period of zero is the default.
//! - A result counts once it has come `successThreshold` or `failureThreshold` times in a row; up to then the verdict
//!   stays what it was. A probe that could not be carried out at all counts as nothing, in either direction.

use std::time::Duration;

use jiff::Timestamp;
use nacelle_spec::ProbeTimes;

use crate::time::{after, between};

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Unknown,
    /// As it should be.
    Success,
    /// Not so.
    Failure,
}

/// One probe of one container, over the life of one incarnation.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    times: ProbeTimes,
    /// What counts until it has found out.
    initial: Verdict,
    verdict: Verdict,
    /// The latest result, and how often it has come in a row.
    run: Option<(Verdict, u32)>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The container is not there, or waits for something else.
    Off,
    /// The next probe comes at `due`. `beat` is the time that the ones after it are counted from.
    Waiting { due: Timestamp, beat: Timestamp },
    /// A probe is under way; `beat` is when it was due.
    Running { beat: Timestamp },
    /// There is nothing left to find out.
    Over,
}

impl Prober {
    /// A probe that is off; `initial` is what counts until it has found out.
    pub(super) fn new(times: ProbeTimes, initial: Verdict) -> Self {
        Self { times, initial, verdict: initial, run: None, state: State::Off }
    }

    /// The incarnation has ended: for the next one nothing is known.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.times, self.initial);
    }

    /// What is known now.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The grace period of a container that is killed for this.
    pub(super) fn grace(&self) -> Option<Duration> {
        self.times.grace
    }

    /// The container may be probed: from now on, and at the earliest the initial delay after its start.
    pub(super) fn begin(&mut self, started_at: Timestamp, now: Timestamp) {
        if self.state == State::Off {
            let due = after(started_at, self.times.initial_delay).max(now);
            self.state = State::Waiting { due, beat: due };
        }
    }

    /// Nothing more is to be found out about this incarnation.
    pub(super) fn end(&mut self) {
        self.state = State::Over;
    }

    /// When the next probe comes; `None` while none is waited for.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting { due, .. } => Some(due),
            State::Off | State::Running { .. } | State::Over => None,
        }
    }

    /// Whether a probe is to begin now; it then counts as begun.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        match self.state {
            State::Waiting { due, beat } if due <= now => {
                self.state = State::Running { beat: self.beat_at(beat, now) };
                true
            }
            _ => false,
        }
    }

    /// The probe under way has come to its end; `None` when it could not be carried out. Whether there was one.
    pub(super) fn report(&mut self, result: Option<Verdict>, now: Timestamp) -> bool {
        let State::Running { beat } = self.state else { return false };
        self.state = self.after_beat(beat, now);
        if let Some(result) = result {
            let count = match self.run {
                Some((last, count)) if last == result => count.saturating_add(1),
                _ => 1,
            };
            self.run = Some((result, count));
            let enough = match result {
                Verdict::Success => self.times.success_threshold,
                Verdict::Failure | Verdict::Unknown => self.times.failure_threshold,
            };
            if count >= enough {
                self.verdict = result;
            }
        }
        true
    }

    /// The next probe, at the first beat that has not been served; at once when that has passed.
    fn after_beat(&self, beat: Timestamp, now: Timestamp) -> State {
        let period = self.times.period;
        let beat = self.beat_at(after(beat, period), now);
        State::Waiting { due: beat.max(now), beat }
    }

    /// The latest beat that has passed, from `beat` on.
    fn beat_at(&self, beat: Timestamp, now: Timestamp) -> Timestamp {
        let period = self.times.period.as_secs().max(1);
        let passed = between(beat, now).as_secs() / period;
        after(beat, Duration::from_secs(passed.saturating_mul(period)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prober(delay: u64, period: u64, success: u32, failure: u32) -> Prober {
        let times = ProbeTimes {
            initial_delay: Duration::from_secs(delay),
            period: Duration::from_secs(period),
            timeout: Duration::from_secs(1),
            success_threshold: success,
            failure_threshold: failure,
            grace: None,
        };
        Prober::new(times, Verdict::Unknown)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn due(prober: &Prober) -> Option<i64> {
        prober.next_wake().map(Timestamp::as_second)
    }

    #[test]
    fn the_first_comes_after_the_delay_and_the_others_by_the_period() {
        let mut prober = prober(7, 10, 1, 3);
        assert_eq!(due(&prober), None);
        prober.begin(at(100), at(100));
        assert_eq!(due(&prober), Some(107));
        assert!(!prober.is_due(at(106)));
        assert!(prober.is_due(at(107)));
        assert!(!prober.is_due(at(107)), "one at a time");
        assert!(prober.report(Some(Verdict::Success), at(108)));
        assert_eq!(due(&prober), Some(117));
    }

    #[test]
    fn a_delay_that_is_over_when_probing_begins_has_no_effect() {
        let mut prober = prober(7, 10, 1, 3);
        prober.begin(at(100), at(130));
        assert_eq!(due(&prober), Some(130));
    }

    #[test]
    fn a_probe_that_begins_late_does_not_move_the_beat() {
        let mut prober = prober(0, 10, 1, 3);
        prober.begin(at(0), at(0));
        assert!(prober.is_due(at(4)));
        prober.report(Some(Verdict::Success), at(5));
        assert_eq!(due(&prober), Some(10));
        assert!(prober.is_due(at(45)));
        prober.report(Some(Verdict::Success), at(45));
        assert_eq!(due(&prober), Some(50), "those that were missed are dropped");
    }

    #[test]
    fn one_that_takes_longer_than_the_period_is_followed_at_once_and_the_beat_stays() {
        let mut prober = prober(0, 10, 1, 3);
        prober.begin(at(0), at(0));
        assert!(prober.is_due(at(0)));
        prober.report(Some(Verdict::Failure), at(37));
        assert_eq!(due(&prober), Some(37));
        assert!(prober.is_due(at(37)));
        prober.report(Some(Verdict::Failure), at(38));
        assert_eq!(due(&prober), Some(40));
    }

    #[test]
    fn results_count_in_a_row() {
        let mut prober = prober(0, 1, 2, 3);
        prober.begin(at(0), at(0));
        let (good, bad) = (Some(Verdict::Success), Some(Verdict::Failure));
        let mut seen = Vec::new();
        for (second, result) in [bad, bad, good, bad, bad, bad, good, None, good].into_iter().enumerate() {
            let now = at(i64::try_from(second).unwrap());
            assert!(prober.is_due(now));
            prober.report(result, now);
            seen.push(prober.verdict());
        }
        use Verdict::{Failure, Success, Unknown};
        assert_eq!(
            seen,
            [Unknown, Unknown, Unknown, Unknown, Unknown, Failure, Failure, Failure, Success],
            "what could not be carried out breaks no row"
        );
    }

    #[test]
    fn a_result_that_nobody_asked_for_is_none() {
        let mut prober = prober(0, 1, 1, 1);
        assert!(!prober.report(Some(Verdict::Failure), at(0)));
        prober.begin(at(0), at(0));
        assert!(!prober.report(Some(Verdict::Failure), at(0)));
        prober.end();
        assert!(!prober.report(Some(Verdict::Failure), at(0)));
        assert_eq!((prober.verdict(), due(&prober)), (Verdict::Unknown, None));
    }

    proptest! {
        /// However long each probe takes, none begins before its time, none is put off for longer than it must, and
        /// every beginning that is not late by a slow predecessor is on the beat.
        #[test]
        fn the_beat_is_kept(delay in 0_u64..50, period in 1_u64..30, took in proptest::collection::vec(0_u64..100, 1..40)) {
            let mut prober = prober(delay, period, 1, 1);
            prober.begin(at(0), at(0));
            let mut previous: Option<(i64, i64)> = None;
            for took in took {
                let begins = due(&prober).unwrap();
                prop_assert!(begins >= i64::try_from(delay).unwrap());
                let on_beat = (begins - i64::try_from(delay).unwrap()) % i64::try_from(period).unwrap() == 0;
                let follows_at_once = previous.is_some_and(|(_, ended)| ended == begins);
                prop_assert!(on_beat || follows_at_once);
                if let Some((began, ended)) = previous {
                    prop_assert!(begins > began || ended == begins);
                    prop_assert!(begins - ended.max(began) <= i64::try_from(period).unwrap());
                }
                prop_assert!(prober.is_due(at(begins)));
                let ended = begins + i64::try_from(took).unwrap();
                prober.report(Some(Verdict::Success), at(ended));
                previous = Some((begins, ended));
            }
        }
    }
}
