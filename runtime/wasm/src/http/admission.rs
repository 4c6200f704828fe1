//! How many requests of a container are under way at a time, however they came.
//!
//! ```text
//!   asked ──permit free──► admitted
//!     ├──────waiting──────► admitted, or refused after some time
//!     └──too many wait, or drained──► refused
//! ```
//!
//! The wait ends in any case. So a component that calls itself while all permits are taken by requests that wait for
//! such calls goes on after a while, with an answer of 503.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::limits;

/// Gives out permits.
#[derive(Debug)]
pub(super) struct Admission {
    permits: Arc<Semaphore>,
    all: u32,
    waiting: AtomicUsize,
    wait: Duration,
}

impl Admission {
    /// So many at a time (at least one), for which others wait so long.
    pub(super) fn new(concurrency: usize, wait: Duration) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let all = u32::try_from(concurrency).unwrap_or(most).clamp(1, most);
        let permits = Arc::new(Semaphore::new(usize::try_from(all).unwrap_or(1)));
        Self { permits, all, waiting: AtomicUsize::new(0), wait }
    }

    /// A permit, unless there is none in time.
    pub(super) async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(TryAcquireError::Closed) => None,
            Err(TryAcquireError::NoPermits) => {
                let _place = Place::take(&self.waiting)?;
                tokio::time::timeout(self.wait, Arc::clone(&self.permits).acquire_owned()).await.ok()?.ok()
            }
        }
    }

    /// Waits for the end of every request that was admitted; from then on all are refused.
    pub(super) async fn drain(&self) {
        // Waiting requests are before it in the queue.
        let _ = self.permits.acquire_many(self.all).await;
        self.permits.close();
    }
}

/// A place among those that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        // Taken before it is looked at, so that no two get the last one; giving it back is the drop's.
        (waiting.fetch_add(1, Ordering::AcqRel) < limits::WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_its_turn_and_is_refused_after_a_while() {
        let admission = Arc::new(Admission::new(1, Duration::from_secs(5)));
        let first = admission.admit().await.unwrap();
        assert!(admission.admit().await.is_none());
        let second = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.admit().await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(second.await.unwrap());
        assert_eq!(admission.waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_there_are_places() {
        let admission = Arc::new(Admission::new(0, Duration::from_secs(5)));
        let _first = admission.admit().await.unwrap();
        let waiting = (0..limits::WAITING).map(|_| {
            let admission = Arc::clone(&admission);
            tokio::spawn(async move { admission.admit().await.is_some() })
        });
        let waiting: Vec<_> = waiting.collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = tokio::time::Instant::now();
        assert!(admission.admit().await.is_none());
        assert_eq!(before.elapsed(), Duration::ZERO);
        for task in waiting {
            assert!(!task.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_all_and_refuses_from_then_on() {
        let admission = Arc::new(Admission::new(3, Duration::from_secs(5)));
        let first = admission.admit().await.unwrap();
        let drained = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.drain().await }
        });
        tokio::task::yield_now().await;
        assert!(!drained.is_finished());
        drop(first);
        drained.await.unwrap();
        assert!(admission.admit().await.is_none());
    }
}
