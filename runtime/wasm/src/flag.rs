//! What a container was asked to do, and how tasks wait for it.

use std::time::Duration;

use tokio::sync::{SetOnce, watch};
use tokio::time::Instant;

/// A flag that is set once and that tasks can wait for.
#[derive(Debug)]
pub(crate) struct Flag(SetOnce<()>);

impl Flag {
    pub(crate) fn new() -> Self {
        Self(SetOnce::new())
    }

    pub(crate) fn set(&self) {
        // An error says that it was set before.
        let _ = self.0.set(());
    }

    /// Returns once the flag is set.
    pub(crate) async fn wait(&self) {
        self.0.wait().await;
    }
}

/// The request to stop: not there, then with a deadline that only comes nearer.
#[derive(Debug)]
pub(crate) struct Termination(watch::Sender<Option<Instant>>);

/// Longer than anything runs: what stands for a period that no clock can add.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl Termination {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Asks for a stop within `grace`. A later request can only shorten it.
    pub(crate) fn ask(&self, grace: Duration) {
        let deadline = Instant::now() + grace.min(FOREVER);
        self.0.send_if_modified(|asked| {
            let nearer = asked.is_none_or(|earlier| deadline < earlier);
            if nearer {
                *asked = Some(deadline);
            }
            nearer
        });
    }

    /// Returns once a stop was asked for.
    pub(crate) async fn wait(&self) {
        // The sender is in `self`, so that the wait cannot end by its going away.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// What is left until the deadline; `None` when no stop was asked for.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let deadline = *self.0.borrow();
        deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// What a container was asked to do.
#[derive(Debug)]
pub(crate) struct Control {
    /// Stop in your own time.
    pub(crate) terminate: Termination,
    /// Stop now.
    pub(crate) kill: Flag,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { terminate: Termination::new(), kill: Flag::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_request_can_only_shorten_the_time() {
        let termination = Termination::new();
        assert_eq!(termination.time_left(), None);
        termination.ask(Duration::from_secs(30));
        termination.wait().await;
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(termination.time_left(), Some(Duration::from_secs(20)));
        termination.ask(Duration::from_secs(60));
        assert_eq!(termination.time_left(), Some(Duration::from_secs(20)));
        termination.ask(Duration::from_secs(5));
        assert_eq!(termination.time_left(), Some(Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(termination.time_left(), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn no_period_is_too_long() {
        let termination = Termination::new();
        termination.ask(Duration::MAX);
        assert_eq!(termination.time_left(), Some(FOREVER));
    }
}
