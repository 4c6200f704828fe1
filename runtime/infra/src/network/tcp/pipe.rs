//! One direction of a connection in memory: bytes in order, bounded, with an end.
//!
//! What the reader finds behind the last byte, and what a writer meets:
//!
//! ```text
//!   Reading:  Open ─► Shut ─► Finished          Writing:  Open ─► Gone ─► Dead
//!               └───────┴───► Reset                         └──► Shut ──►─┘
//!             any ─► Aborted                              any ─► Aborted
//! ```
//!
//! A pipe only stores these; which follows from what, across both directions, is [`link`](super::link)'s.
//!
//! The bytes under way are charged to the writer's pod: nobody can fill another pod's budget. [`FLOOR`] bytes are charged
//! from the start, so a writer whose budget is used up still gets on, slowly, and never waits for anything but its reader.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::chunks::{CHUNK_OVERHEAD, Chunks};
use crate::budget::{Budget, Ledger, OverBudget};
use crate::network::sync::{WakerSet, lock};

/// What a direction is charged with at least, in bytes.
pub(super) const FLOOR: u64 = 4096;

/// What is behind the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// More may come.
    Open,
    /// The reader wants no more; what comes all the same can be read.
    Shut,
    /// The writer has finished.
    Finished,
    /// The connection was reset.
    Reset,
    /// The reader's container has ended.
    Aborted,
}

/// What a write meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Room, or a wait for it.
    Open,
    /// The writer has finished.
    Shut,
    /// Nobody will ever read: the first write is answered by a reset.
    Gone,
    /// The reset has come.
    Dead,
    /// The writer's container has ended.
    Aborted,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Pipe {
    state: Mutex<PipeState>,
}

/// What it holds.
#[derive(Debug)]
pub(super) struct PipeState {
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    pub(super) readers: WakerSet,
    pub(super) writers: WakerSet,
    chunks: Chunks,
    ledger: Ledger,
    budget: Arc<Budget>,
    /// The writer's send buffer and the reader's receive buffer; the sum is the bound.
    send_buffer: usize,
    receive_buffer: usize,
}

/// What a read found.
#[derive(Debug)]
pub(super) enum Popped {
    /// Bytes.
    Bytes(Bytes),
    /// None, and what there is instead.
    Nothing(Reading),
}

impl Pipe {
    /// An empty pipe, charged to the writer's `budget`.
    pub(super) fn new(budget: &Arc<Budget>, send_buffer: usize, receive_buffer: usize) -> Result<Self, OverBudget> {
        Ok(Self {
            state: Mutex::new(PipeState {
                reading: Reading::Open,
                writing: Writing::Open,
                readers: WakerSet::default(),
                writers: WakerSet::default(),
                chunks: Chunks::default(),
                ledger: Ledger::with_floor(Arc::clone(budget), FLOOR)?,
                budget: Arc::clone(budget),
                send_buffer,
                receive_buffer,
            }),
        })
    }

    /// For what concerns both directions. Client's before server's.
    pub(super) fn lock(&self) -> MutexGuard<'_, PipeState> {
        lock(&self.state)
    }

    /// Takes at most `max` bytes.
    #[inline]
    pub(super) fn pop(&self, max: usize) -> Popped {
        let mut state = lock(&self.state);
        let Some(bytes) = state.chunks.pop(max) else {
            return Popped::Nothing(state.reading);
        };
        let cost = state.cost();
        state.ledger.settle(cost);
        // Waking at the first free byte would make the two sides run in turns for a few bytes each.
        let room = state.chunks.bytes() <= state.bound() / 3 * 2;
        let woken = if room { state.writers.take() } else { WakerSet::default() };
        drop(state);
        woken.wake();
        Popped::Bytes(bytes)
    }

    /// Adds as many bytes as there is room for, and says how many; or what it met instead.
    #[inline]
    pub(super) fn push(&self, mut bytes: Bytes) -> Result<usize, Writing> {
        let mut state = lock(&self.state);
        if state.writing != Writing::Open {
            return Err(state.writing);
        }
        let taken = state.make_room(bytes.len());
        if taken == 0 {
            return Ok(0);
        }
        bytes.truncate(taken);
        state.chunks.push(bytes);
        let woken = state.readers.take();
        drop(state);
        woken.wake();
        Ok(taken)
    }

    /// How many bytes a push would take now; or what it would meet.
    #[inline]
    pub(super) fn room(&self) -> Result<usize, Writing> {
        let state = lock(&self.state);
        if state.writing == Writing::Open { Ok(state.room()) } else { Err(state.writing) }
    }

    /// Ready when a pop has something to say.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.chunks.bytes() > 0 || state.reading != Reading::Open {
            return Poll::Ready(());
        }
        let stale = state.readers.register(cx.waker());
        drop(state);
        stale.wake();
        Poll::Pending
    }

    /// Ready when a push takes bytes or has something to say.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.writing != Writing::Open || state.room() > 0 {
            return Poll::Ready(());
        }
        let stale = state.writers.register(cx.waker());
        drop(state);
        stale.wake();
        Poll::Pending
    }

    /// The reader's part of the bound, in bytes.
    pub(super) fn set_receive_buffer(&self, bytes: usize) {
        self.change_bound(|state| state.receive_buffer = bytes);
    }

    /// The writer's part of the bound, in bytes.
    pub(super) fn set_send_buffer(&self, bytes: usize) {
        self.change_bound(|state| state.send_buffer = bytes);
    }

    fn change_bound(&self, change: impl FnOnce(&mut PipeState)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let woken = state.writers.take();
        drop(state);
        woken.wake();
    }
}

impl PipeState {
    /// Whether there is something to read.
    pub(super) fn has_bytes(&self) -> bool {
        self.chunks.bytes() > 0
    }

    /// Discards what was not read.
    pub(super) fn discard(&mut self) {
        self.chunks.clear();
        self.ledger.settle(0);
    }

    fn bound(&self) -> usize {
        self.send_buffer + self.receive_buffer
    }

    fn cost(&self) -> u64 {
        self.chunks.cost() as u64
    }

    /// Charges for up to `wanted` bytes; what was granted.
    #[inline]
    fn make_room(&mut self, wanted: usize) -> usize {
        let wanted = wanted.min(self.bound().saturating_sub(self.chunks.bytes()));
        let cost = self.cost();
        let needed = cost + (wanted + CHUNK_OVERHEAD) as u64;
        if self.ledger.cover(needed).is_ok() { wanted } else { wanted.min(self.covered()) }
    }

    /// How much [`Self::make_room`] would grant, had nobody else charged in between.
    fn room(&self) -> usize {
        let space = self.bound().saturating_sub(self.chunks.bytes());
        if self.covered() >= space {
            return space;
        }
        let asked = (space - self.covered()) as u64;
        if self.budget.available() >= asked { space } else { self.covered() }
    }

    /// Bytes that are paid for already.
    fn covered(&self) -> usize {
        let spare = self.ledger.charged().saturating_sub(self.cost() + CHUNK_OVERHEAD as u64);
        usize::try_from(spare).unwrap_or(usize::MAX)
    }
}
