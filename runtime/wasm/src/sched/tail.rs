//! How long a container's polls go on after they have woken somebody, as far as a thread knows.
//!
//! ```text
//!   Short ──too long, on average──► Long ──after so many wakes──► Tried
//!     ▲                              ▲                              │
//!     └──────────────────────────────┴──────that one was short, or not
//! ```
//!
//! Once a woken task runs elsewhere, how long its waker goes on says nothing any more: a writer whose reader drains the
//! stream meanwhile never has to wait. So it is tried again, the less often the more often in vain. Pure.

/// How long a woken task may wait for its waker's poll to end while another thread has nothing to do, in nanoseconds.
const SHORT_NANOS: u32 = 50_000;
/// After how many wakes it is tried again, at first and at most.
const TRIALS: (u32, u32) = (64, 8192);

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// So many nanoseconds, on average.
    Short(u32),
    /// Too long to wait for.
    Long {
        /// Wakes until it is tried again.
        left: u32,
        /// How many there were at first.
        of: u32,
    },
    /// Known when the poll that goes on has ended.
    Tried {
        /// Wakes since it was last tried.
        of: u32,
    },
}

impl Default for Tail {
    fn default() -> Self {
        Self::Short(0)
    }
}

impl Tail {
    /// A poll wakes somebody for the first time. Whether that task shall wait for the poll's end.
    pub(super) fn woke(&mut self) -> bool {
        match self {
            Self::Long { left: 0, of } => *self = Self::Tried { of: *of },
            Self::Long { left, .. } => *left -= 1,
            Self::Short(_) | Self::Tried { .. } => {}
        }
        !matches!(self, Self::Long { .. })
    }

    /// The poll went on for so many nanoseconds.
    pub(super) fn ended(&mut self, nanos: u32) {
        let long = |of| Self::Long { left: of, of };
        *self = match *self {
            Self::Short(known) => match known - known / 4 + nanos / 4 {
                average if average > SHORT_NANOS => long(TRIALS.0),
                average => Self::Short(average),
            },
            Self::Tried { .. } if nanos <= SHORT_NANOS => Self::Short(nanos),
            Self::Tried { of } => long((of * 2).min(TRIALS.1)),
            other @ Self::Long { .. } => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many wakes wait, when each poll goes on for so long after it woke somebody who waits, or not.
    fn waiting(tail: &mut Tail, wakes: usize, alone: u32, beside: u32) -> usize {
        (0..wakes)
            .filter(|_| {
                let waits = tail.woke();
                tail.ended(if waits { alone } else { beside });
                waits
            })
            .count()
    }

    #[test]
    fn whoever_waits_for_whom_he_woke_is_waited_for() {
        assert_eq!(waiting(&mut Tail::default(), 1000, 5_000, 5_000), 1000);
    }

    #[test]
    fn whoever_goes_on_is_not_but_for_ever_fewer_trials() {
        let mut tail = Tail::default();
        assert!((1..10).contains(&waiting(&mut tail, 100, 5_000_000, 5_000_000)));
        let trials: Vec<usize> = (0..5).map(|_| waiting(&mut tail, 10_000, 5_000_000, 5_000_000)).collect();
        assert!(trials[0] <= 8 && trials[4] <= 2, "{trials:?}");
    }

    #[test]
    fn a_writer_that_was_held_up_once_and_then_has_a_reader_beside_it_gets_it_back() {
        let mut tail = Tail::default();
        waiting(&mut tail, 100, 12_000, 12_000);
        tail.woke();
        tail.ended(10_000_000);
        assert!(!tail.woke());
        assert!(waiting(&mut tail, 100, 12_000, u32::MAX) > 30);
        assert_eq!(waiting(&mut tail, 100, 12_000, u32::MAX), 100);
    }

    #[test]
    fn no_length_is_too_long() {
        let mut tail = Tail::default();
        assert!(waiting(&mut tail, 1_000_000, u32::MAX, u32::MAX) < 200);
    }
}
