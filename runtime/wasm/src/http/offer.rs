//! Whether a client takes what its response's body offers.
//!
//! ```text
//!   Server ──a piece is handed over──► Client ──the next one is asked for──► Server
//!                                        └──nothing for too long──► overdue: the request is cut off
//! ```
//!
//! A client that takes nothing need not be seen at its connection. By HTTP/2 it may leave one stream's window shut, and
//! then nothing is written that could stall; a sibling that is answered in memory has no connection at all. What either
//! shows is that nobody asks for the next piece.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use wasmtime_wasi_http::Error;

use super::limits;

/// Who has to do something next about one response's body.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Side>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    /// Whoever makes the body. That takes as long as it takes.
    #[default]
    Server,
    /// Whoever reads it, since then.
    Client(Instant),
}

impl Turn {
    /// There is something that the client has to take.
    pub(super) fn offered(&self) {
        self.set(Side::Client(Instant::now()));
    }

    /// The client has taken it, or there is nothing any more.
    fn taken(&self) {
        self.set(Side::Server);
    }

    /// Waits until the client has taken nothing of what is offered for [`limits::STALL_TIMEOUT`].
    pub(super) async fn overdue(&self) {
        loop {
            let side = self.get();
            // What is offered while this sleeps has its time from then, which is over after this sleep at the earliest.
            let since = if let Side::Client(since) = side { since } else { Instant::now() };
            tokio::time::sleep_until(since + limits::STALL_TIMEOUT).await;
            if side != Side::Server && self.get() == side {
                return;
            }
        }
    }

    fn get(&self) -> Side {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, side: Side) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = side;
    }
}

/// A body that tells whose turn it is, where somebody wants to know.
#[derive(Debug)]
pub(super) struct Offered<B> {
    body: B,
    turn: Option<Arc<Turn>>,
}

impl<B> Offered<B> {
    pub(super) fn new(body: B, turn: Option<Arc<Turn>>) -> Self {
        Self { body, turn }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Offered<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(turn) = &self.turn {
            match &polled {
                Poll::Ready(Some(Ok(_))) => turn.offered(),
                Poll::Ready(Some(Err(_)) | None) | Poll::Pending => turn.taken(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_client_whose_turn_it_is_can_be_late() {
        let turn = Arc::new(Turn::default());
        let start = Instant::now();
        let watch = tokio::spawn({
            let turn = Arc::clone(&turn);
            async move { turn.overdue().await }
        });
        // The server takes its time.
        tokio::time::sleep(limits::STALL_TIMEOUT * 10 + Duration::from_secs(30)).await;
        // So does the client, but for one piece after the other.
        for _ in 0..5 {
            turn.offered();
            tokio::time::sleep(limits::STALL_TIMEOUT - Duration::from_secs(1)).await;
            turn.taken();
        }
        assert!(!watch.is_finished());
        turn.offered();
        let last = Instant::now();
        watch.await.unwrap();
        assert_eq!(last.elapsed().as_secs(), limits::STALL_TIMEOUT.as_secs(), "{:?}", start.elapsed());
    }
}
