//! A flag that is set once and that tasks can wait for.

use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Flag(watch::Sender<bool>);

impl Flag {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn set(&self) {
        self.0.send_replace(true);
    }

    /// Returns once the flag is set.
    pub(crate) async fn wait(&self) {
        // The sender is in `self`, so that the wait cannot end by its going away.
        let _ = self.0.subscribe().wait_for(|set| *set).await;
    }
}

/// What a container was asked to do.
#[derive(Debug)]
pub(crate) struct Control {
    /// Stop in your own time.
    pub(crate) terminate: Flag,
    /// Stop now.
    pub(crate) kill: Flag,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { terminate: Flag::new(), kill: Flag::new() }
    }
}
