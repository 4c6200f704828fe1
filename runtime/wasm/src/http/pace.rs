//! Whether a component's requests are brief: what it costs to make an instance is much of what they cost at all.
//!
//! ```text
//!   Unknown ──so many requests──► Brief ◄──so many requests, by their average──► Long
//! ```
//!
//! Time is compared with time of the same machine, so that nothing here depends on how fast it is. Pure.

use std::time::Duration;

/// How many requests are looked at before there is a change: what follows may have to be compiled.
const REQUESTS: u32 = 1000;
/// The same for requests that are no longer brief: each of them costs.
const REQUESTS_TO_END: u32 = 100;

/// Requests are brief that take at most so many times as long as making their instance. With guard pages, two thirds of
/// what an instance costs are the kernel's, for its memory (measured: 65 of 95 µs, 40 of which before it serves); without,
/// code that checks bounds takes up to a third longer (sieve; 1.27 for sha256, 1.0 for what uses little memory). So it
/// pays up to five times.
const BEGIN: u32 = 4;
/// The same while they are: instances are made in a third of the time then.
const END: u32 = 12;

/// What is known of a component's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    #[default]
    Unknown,
    /// They are brief.
    Brief,
    /// They are not.
    Long,
}

/// A component's requests, each served by an instance of its own.
#[derive(Debug, Default)]
pub(super) struct Pace {
    verdict: Verdict,
    requests: u32,
    making: Duration,
    serving: Duration,
}

impl Pace {
    /// An instance was made within this CPU time, and served its request within that. Gives back what is known now.
    pub(super) fn served(&mut self, making: Duration, serving: Duration) -> Verdict {
        self.requests += 1;
        self.making = self.making.saturating_add(making);
        self.serving = self.serving.saturating_add(serving);
        let (requests, times) = match self.verdict {
            Verdict::Brief => (REQUESTS_TO_END, END),
            Verdict::Unknown | Verdict::Long => (REQUESTS, BEGIN),
        };
        if self.requests >= requests {
            let is_brief = self.serving <= self.making.saturating_mul(times);
            *self = Self { verdict: if is_brief { Verdict::Brief } else { Verdict::Long }, ..Self::default() };
        }
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    /// So many requests that take so many microseconds, of instances that take 10.
    fn serve(pace: &mut Pace, requests: u32, micros: u32) -> Verdict {
        (0..requests).map(|_| pace.served(MICRO * 10, MICRO * micros)).last().unwrap_or_default()
    }

    #[test]
    fn few_requests_tell_nothing() {
        let mut pace = Pace::default();
        assert_eq!(serve(&mut pace, REQUESTS - 1, 1), Verdict::Unknown);
        assert_eq!(serve(&mut pace, 1, 1), Verdict::Brief);
    }

    #[test]
    fn what_is_between_stays_what_it_is() {
        let between = 10 * BEGIN + 1;
        let mut pace = Pace::default();
        assert_eq!(serve(&mut pace, REQUESTS, between), Verdict::Long);
        assert_eq!(serve(&mut pace, 3 * REQUESTS, between), Verdict::Long);
        assert_eq!(serve(&mut pace, REQUESTS, 40), Verdict::Brief);
        assert_eq!(serve(&mut pace, 3 * REQUESTS, between), Verdict::Brief);
    }

    #[test]
    fn requests_that_become_long_are_seen_soon_and_a_single_one_is_not() {
        let mut pace = Pace::default();
        serve(&mut pace, REQUESTS, 10);
        assert_eq!(serve(&mut pace, 1, 5_000), Verdict::Brief);
        assert_eq!(serve(&mut pace, REQUESTS_TO_END - 1, 10), Verdict::Brief);
        assert_eq!(serve(&mut pace, REQUESTS_TO_END, 10 * END + 1), Verdict::Long);
    }

    #[test]
    fn no_time_is_too_long() {
        let mut pace = Pace::default();
        for _ in 0..3 * REQUESTS {
            pace.served(Duration::MAX, Duration::MAX);
        }
        assert_eq!(pace.served(Duration::ZERO, Duration::ZERO), Verdict::Brief);
    }
}
