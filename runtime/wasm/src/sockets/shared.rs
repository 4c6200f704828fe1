//! A socket that several resources of one guest use: a listener and its stream of connections, a UDP socket and its
//! streams of datagrams.

use std::sync::{Arc, Mutex, PoisonError};

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
