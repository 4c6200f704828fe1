//! Tells one waiter when something has risen to a mark.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A mark, and whoever waits for it. The mark is moved by the waiter, who looks at the level after that.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// [`NEVER`] for none.
    mark: AtomicU64,
    notify: Notify,
}

const NEVER: u64 = u64::MAX;

impl Default for Alarm {
    fn default() -> Self {
        Self { mark: AtomicU64::new(NEVER), notify: Notify::new() }
    }
}

impl Alarm {
    pub(crate) fn set(&self, mark: Option<u64>) {
        self.mark.store(mark.unwrap_or(NEVER), Ordering::SeqCst);
    }

    /// The level has risen. Rings once for each time that it crosses the mark.
    #[inline]
    pub(crate) fn rose(&self, from: u64, to: u64) {
        let mark = self.mark.load(Ordering::SeqCst);
        if from < mark && mark <= to {
            self.ring();
        }
    }

    #[cold]
    pub(crate) fn ring(&self) {
        self.notify.notify_one();
    }

    /// Waits until it rings, or returns at once when it has rung since the last wait.
    pub(crate) async fn rung(&self) {
        self.notify.notified().await;
    }
}
