//! A response's body in the hands of a client that is given it in memory.
//!
//! ```text
//!   Open ──not read for too long──► CutOff: what serves the request is let go, as when a connection is cut off
//!     └─────the same, but what was left is all there and small──► Rest: the client's own
//! ```
//!
//! A connection's task would see that its client reads nothing. Here nobody but the client polls the body, so somebody
//! else has to hold the other end: the [`Loan`]. A small response would have gone into a connection's buffers, where it may
//! lie for as long as the client likes; so it does here.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use nacelle_infra::budget::Budget;
use tokio::sync::oneshot;
use wasmtime_wasi_http::Error;

use super::body::ServedBody;
use super::offer::{Offered, Turn};
use super::{held, limits};

/// The client's end.
#[derive(Debug)]
pub(super) struct Lent {
    state: Arc<Mutex<State>>,
    _held: oneshot::Sender<()>,
}

/// The server's end.
#[derive(Debug)]
pub(super) struct Loan {
    state: Arc<Mutex<State>>,
    turn: Arc<Turn>,
    dropped: oneshot::Receiver<()>,
    client: Arc<Budget>,
}

#[derive(Debug)]
enum State {
    Open(Offered<ServedBody>),
    /// What is left of it.
    Rest(VecDeque<Frame<Bytes>>),
    CutOff,
}

/// Both ends of a response's body, which the client has to read from now on. What it leaves lying is charged to `client`.
pub(super) fn lend(body: ServedBody, client: Arc<Budget>) -> (Lent, Loan) {
    let (held, dropped) = oneshot::channel();
    let turn = Arc::new(Turn::default());
    turn.offered();
    let state = Arc::new(Mutex::new(State::Open(Offered::new(body, Some(Arc::clone(&turn))))));
    (Lent { state: Arc::clone(&state), _held: held }, Loan { state, turn, dropped, client })
}

impl Loan {
    /// Waits for the client's end to be dropped, and takes back what it does not read.
    pub(super) async fn watch(self) {
        tokio::select! {
            biased;
            _ = self.dropped => {}
            () = self.turn.overdue() => take_back(&self.state, &self.client),
        }
    }
}

fn take_back(state: &Mutex<State>, client: &Arc<Budget>) {
    let mut state = lock(state);
    let State::Open(body) = &mut *state else { return };
    let rest = rest(body, client).map_or(State::CutOff, State::Rest);
    let taken = std::mem::replace(&mut *state, rest);
    drop(state);
    // It tells its instance and its log.
    drop(taken);
}

/// What is left of a body, if that is all there and no more than buffers of a connection hold.
fn rest(body: &mut Offered<ServedBody>, client: &Arc<Budget>) -> Option<VecDeque<Frame<Bytes>>> {
    let mut rest = VecDeque::new();
    let mut room = limits::DIRECT_BUFFER;
    // It is the client's turn: nobody waits for what these polls might have told.
    while let Some(frame) = body.frame().now_or_never()? {
        let frame = frame.ok()?;
        room = room.checked_sub(frame.data_ref().map_or(0, Bytes::len))?;
        if rest.len() == limits::DIRECT_PIECES {
            return None;
        }
        rest.push_back(held::copy(frame, client));
    }
    Some(rest)
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *lock(&self.state) {
            State::Open(body) => Pin::new(body).poll_frame(cx),
            State::Rest(frames) => Poll::Ready(frames.pop_front().map(Ok)),
            State::CutOff => Poll::Ready(Some(Err(Error::HttpResponseIncomplete))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &*lock(&self.state) {
            State::Open(body) => body.is_end_stream(),
            State::Rest(frames) => frames.is_empty(),
            State::CutOff => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*lock(&self.state) {
            State::Open(body) => body.size_hint(),
            State::Rest(_) | State::CutOff => SizeHint::default(),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let taken = std::mem::replace(&mut *lock(&self.state), State::CutOff);
        drop(taken);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
