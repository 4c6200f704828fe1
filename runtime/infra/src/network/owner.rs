//! What one incarnation of a container, or a pod itself, has open: counted, and ended together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::NetError;
use super::sync::lock;
use crate::budget::Budget;

/// What ends with its owner.
pub(crate) trait End: Send + Sync {
    /// Ends it: peers see a reset, waiting calls return, ports are free. Idempotent.
    fn end(&self);
}

/// The registry of an owner's sockets.
///
/// ```text
///   Open ── close ──► Closed      (for good: a restarted container has a new owner)
/// ```
#[derive(Debug)]
pub(crate) struct Owner {
    limit: usize,
    /// What its sockets hold is charged to it.
    memory: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Open { next: u64, sockets: HashMap<u64, Parts> },
    Closed,
}

/// What a socket consists of that must end: its port, its listener, its connection.
#[derive(Default)]
struct Parts(Vec<Weak<dyn End>>);

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} parts", self.0.len())
    }
}

/// The place of one socket in its owner's registry. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct SocketSlot {
    owner: Arc<Owner>,
    id: u64,
}

/// Tracks parts for a slot that is part of one of them.
#[derive(Debug)]
pub(crate) struct Tracker {
    owner: Arc<Owner>,
    id: u64,
}

impl Owner {
    /// An owner of at most `limit` sockets at a time, whose bytes count in `memory`.
    pub(crate) fn new(limit: u32, memory: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            memory,
            state: Mutex::new(State::Open { next: 0, sockets: HashMap::new() }),
        })
    }

    /// A place for one more socket.
    pub(crate) fn slot(self: &Arc<Self>) -> Result<SocketSlot, NetError> {
        match &mut *lock(&self.state) {
            State::Closed => Err(NetError::ConnectionAborted),
            State::Open { sockets, .. } if sockets.len() >= self.limit => {
                Err(NetError::LimitReached("sockets of a container"))
            }
            State::Open { next, sockets } => {
                let id = *next;
                *next += 1;
                sockets.insert(id, Parts::default());
                Ok(SocketSlot { owner: Arc::clone(self), id })
            }
        }
    }

    /// How many sockets it has.
    pub(crate) fn sockets(&self) -> usize {
        match &*lock(&self.state) {
            State::Open { sockets, .. } => sockets.len(),
            State::Closed => 0,
        }
    }

    /// Whether it has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(*lock(&self.state), State::Closed)
    }

    /// Ends all its sockets, and refuses new ones.
    pub(crate) fn close(&self) {
        let State::Open { sockets, .. } = std::mem::replace(&mut *lock(&self.state), State::Closed) else {
            return;
        };
        for part in sockets.into_values().flat_map(|parts| parts.0) {
            if let Some(part) = part.upgrade() {
                part.end();
            }
        }
    }
}

impl SocketSlot {
    /// Makes `part` end with the owner. If that has happened already, it ends now and this is an error.
    pub(crate) fn track(&self, part: Weak<dyn End>) -> Result<(), NetError> {
        track(&self.owner, self.id, &part)
    }

    /// What can still track parts after the slot has been given away.
    pub(crate) fn tracker(&self) -> Tracker {
        Tracker { owner: Arc::clone(&self.owner), id: self.id }
    }

    /// Whom the socket's buffers are charged to.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.owner.memory
    }

    /// A place for one more socket of the same owner.
    pub(crate) fn sibling(&self) -> Result<Self, NetError> {
        self.owner.slot()
    }

    /// An error once the owner has been closed.
    pub(crate) fn check(&self) -> Result<(), NetError> {
        if self.owner.is_closed() { Err(NetError::ConnectionAborted) } else { Ok(()) }
    }
}

impl Tracker {
    /// As [`SocketSlot::track`].
    pub(crate) fn track(&self, part: Weak<dyn End>) -> Result<(), NetError> {
        track(&self.owner, self.id, &part)
    }
}

fn track(owner: &Owner, id: u64, part: &Weak<dyn End>) -> Result<(), NetError> {
    if let State::Open { sockets, .. } = &mut *lock(&owner.state) {
        if let Some(Parts(parts)) = sockets.get_mut(&id) {
            parts.retain(|part| part.strong_count() > 0);
            parts.push(Weak::clone(part));
        }
        return Ok(());
    }
    if let Some(part) = part.upgrade() {
        part.end();
    }
    Err(NetError::ConnectionAborted)
}

impl Drop for SocketSlot {
    fn drop(&mut self) {
        if let State::Open { sockets, .. } = &mut *lock(&self.owner.state) {
            sockets.remove(&self.id);
        }
    }
}

/// A bounded number of things.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: u32,
    used: AtomicU32,
}

/// One of them. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Quota>);

impl Quota {
    /// At most `limit`.
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU32::new(0) })
    }

    /// One more, if there is one.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Permit> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < self.limit).then_some(used + 1))
            .ok()
            .map(|_| Permit(Arc::clone(self)))
    }

    /// How many are taken.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}
