//! Futures that seldom have something to say, in tasks that are polled often for other reasons.
//!
//! `select!` polls each of its futures whenever the task is polled. Waiting for a flag takes a lock then, which everybody who
//! waits for the same flag takes too.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

/// Awaits `future`, polling it only when it was woken itself.
pub(crate) async fn seldom<F: Future>(future: F) -> F::Output {
    match FuturesUnordered::from_iter([future]).next().await {
        Some(output) => output,
        // It ends only after its only future, and is dropped then.
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::poll;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_else() {
        let (notify, polls) = (Notify::new(), AtomicUsize::new(0));
        let waits = async {
            let mut notified = pin!(notify.notified());
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                notified.as_mut().poll(cx)
            })
            .await;
            7
        };
        let mut waits = pin!(seldom(waits));
        for _ in 0..5 {
            assert!(poll!(waits.as_mut()).is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        notify.notify_one();
        assert_eq!((waits.await, polls.load(Ordering::Relaxed)), (7, 2));
    }
}
