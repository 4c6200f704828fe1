//! The time that decisions are made on.
//!
//! Kubernetes' timestamps are wall-clock times, yet back-off and deadlines must not jump when somebody sets the clock.
//! So the wall clock is read once, and the monotonic clock is added to it. With tokio's paused time it stands still,
//! which is what tests want.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A wall clock that never goes backwards. Copies show the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    monotonic: Instant,
}

impl Clock {
    /// A clock that starts at the machine's wall-clock time.
    pub fn start() -> Self {
        Self { wall: Timestamp::now(), monotonic: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        // Saturates some ten thousand years from now.
        self.wall.saturating_add(self.monotonic.elapsed()).unwrap_or(self.wall)
    }

    /// How long it is until `time`; zero when it has passed.
    pub fn until(&self, time: Timestamp) -> Duration {
        Duration::try_from(time.duration_since(self.now())).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_the_monotonic_clock() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(clock.now().duration_since(before).as_secs(), 10);
        assert_eq!(clock.until(before), Duration::ZERO);
        assert_eq!(clock.until(clock.now().saturating_add(Duration::from_secs(5)).unwrap()), Duration::from_secs(5));
    }
}
