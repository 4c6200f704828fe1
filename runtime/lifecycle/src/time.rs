//! Arithmetic on points in time that cannot fail.

use std::time::Duration;

use jiff::Timestamp;

/// `time` and `duration` later, or the end of time.
pub(crate) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// From `earlier` to `later`; zero when they are the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}
