//! A socket that several resources of one guest use: a listener and its stream of connections, a UDP socket and its
//! streams of datagrams. And how all of them wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// A socket behind a lock.
///
/// The lock is held for one call of the network at a time, which never blocks and never comes back here; it is
/// contended only where a guest's resources are used from several of its tasks.
#[derive(Debug)]
pub(super) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(super) fn new(socket: T) -> Self {
        Self(Arc::new(Mutex::new(socket)))
    }

    /// Makes one call on the socket.
    pub(super) fn with<R>(&self, call: impl FnOnce(&mut T) -> R) -> R {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Tries, waits until another try is worth it, and tries again.
///
/// Readiness may be wrong, of a host's socket for some time: then the task is woken for another round instead of
/// trying on and on in this one, so that a guest in it can still be stopped.
pub(super) fn poll_twice<R>(
    cx: &mut Context<'_>,
    attempt: impl Fn() -> Option<R>,
    ready: impl FnOnce(&mut Context<'_>) -> Poll<()>,
) -> Poll<R> {
    if let Some(result) = attempt() {
        return Poll::Ready(result);
    }
    ready!(ready(cx));
    match attempt() {
        Some(result) => Poll::Ready(result),
        None => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
