//! The way to the front end, and how long it may keep a pod waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::notice::Notice;

/// How long a front end may take nothing at all once the grace period of the pod's deletion is over.
const PATIENCE: Duration = Duration::from_secs(2);

/// The front end will get nothing more: it went away, or the pod gave up on it.
#[derive(Debug)]
pub(crate) struct NobodyListens;

/// The notices of one pod on their way to its front end.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    notices: mpsc::Sender<Notice>,
    /// When the pod should be gone, once somebody has asked for that.
    due: watch::Sender<Option<Instant>>,
    /// When there was last room for something.
    taken: Mutex<Instant>,
    given_up: AtomicBool,
}

impl FrontEnd {
    pub(crate) fn new(notices: mpsc::Sender<Notice>) -> Self {
        let due = watch::Sender::new(None);
        Self { notices, due, taken: Mutex::new(Instant::now()), given_up: AtomicBool::new(false) }
    }

    /// The pod shall be gone within `grace`. A later call can only shorten that.
    pub(super) fn hurry(&self, grace: Duration) {
        // Centuries from now is never.
        let Some(wanted) = Instant::now().checked_add(grace) else { return };
        self.due.send_if_modified(|due| {
            let sooner = due.is_none_or(|due| wanted < due);
            if sooner {
                *due = Some(wanted);
            }
            sooner
        });
    }

    /// Delivers a notice, and waits for room until patience ends.
    pub(super) async fn send(&self, notice: Notice) -> Result<(), NobodyListens> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(NobodyListens);
        }
        match self.notices.try_reserve() {
            Ok(permit) => {
                self.hand_over(permit, notice);
                Ok(())
            }
            // Boxed: a pod has two tasks that deliver, and neither should have the room for a wait all the time.
            Err(TrySendError::Full(())) => Box::pin(self.wait_and_send(notice)).await,
            Err(TrySendError::Closed(())) => Err(NobodyListens),
        }
    }

    fn hand_over(&self, permit: mpsc::Permit<'_, Notice>, notice: Notice) {
        permit.send(notice);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn wait_and_send(&self, notice: Notice) -> Result<(), NobodyListens> {
        tokio::select! {
            biased;
            permit = self.notices.reserve() => {
                self.hand_over(permit.map_err(|_| NobodyListens)?, notice);
                Ok(())
            }
            () = self.patience_ends() => {
                if !self.given_up.swap(true, Ordering::Relaxed) {
                    tracing::warn!("a deleted pod gave up on a front end that takes no notices: the rest of them is lost");
                }
                Err(NobodyListens)
            }
        }
    }

    /// Delivers a notice if there is room right now.
    pub(super) fn offer(&self, notice: Notice) {
        let _ = self.notices.try_send(notice);
    }

    /// Returns when it is past the time to go, and nobody has got anything through for a while; the caller has not
    /// since it called.
    async fn patience_ends(&self) {
        let began = Instant::now();
        let mut due = self.due.subscribe();
        loop {
            let ends = *due.borrow_and_update();
            let Some(ends) = ends else {
                // The sender is in `self`, so that the wait cannot end by its going away.
                let _ = due.changed().await;
                continue;
            };
            let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let ends = ends.max(taken.max(began) + PATIENCE);
            if ends <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(ends) => {}
                _ = due.changed() => {}
            }
        }
    }
}
