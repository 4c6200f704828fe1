//! One request, as its client's side and the instance that serves it share it.
//!
//! ```text
//!   Open ──the guest is done with it──► Finished
//!    ├────the client has gone─────────► Abandoned: an instance that serves nothing else is dropped
//!    └────trap, kill, drop────────────► Broken: what was sent of the response is not all of it
//! ```

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nacelle_infra::budget::Ledger;
use tokio::sync::OwnedSemaphorePermit;

use super::slot::Slot;

const OPEN: u8 = 0;
const FINISHED: u8 = 1;
const ABANDONED: u8 = 2;
const BROKEN: u8 = 3;

/// What a request takes while it is served.
#[derive(Debug)]
pub(super) struct Admitted {
    _permit: OwnedSemaphorePermit,
    _memory: Ledger,
}

impl Admitted {
    /// A place among the requests that are served at a time, and memory for its head.
    pub(super) fn new(permit: OwnedSemaphorePermit, memory: Ledger) -> Self {
        Self { _permit: permit, _memory: memory }
    }
}

/// The state of one request. What it takes is given back when both sides have let go.
#[derive(Debug)]
pub(super) struct Exchange {
    state: AtomicU8,
    slot: Mutex<Option<Arc<Slot>>>,
    _admitted: Admitted,
}

impl Exchange {
    /// A request that no instance has yet.
    pub(super) fn new(admitted: Admitted) -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(OPEN), slot: Mutex::default(), _admitted: admitted })
    }

    /// From now on it is with the instance behind `slot`, and no longer with the one it may have been with.
    pub(super) fn is_with(&self, slot: &Arc<Slot>) {
        let mut current = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        // Who leaves changes the state first, and tells the slot that it finds here afterwards.
        if self.state.load(Ordering::Acquire) == OPEN {
            slot.opened();
            if let Some(before) = current.replace(Arc::clone(slot)) {
                before.closed(false);
            }
        }
    }

    /// All that there is to do has been done.
    pub(super) fn finish(&self) {
        self.leave(FINISHED);
    }

    /// Nobody waits for the rest any more.
    pub(super) fn abandon(&self) {
        self.leave(ABANDONED);
    }

    /// The instance has ended before it was done.
    pub(super) fn break_off(&self) {
        self.leave(BROKEN);
    }

    /// Whether the instance has ended before it was done.
    pub(super) fn is_broken(&self) -> bool {
        self.state.load(Ordering::Acquire) == BROKEN
    }

    fn leave(&self, to: u8) {
        if self.state.compare_exchange(OPEN, to, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(slot) = slot {
                slot.closed(to == ABANDONED);
            }
        }
    }
}

/// The instance's side of a request that has no answer yet: dropped before its end, the request is broken.
#[derive(Debug)]
pub(super) struct Serving(Option<Arc<Exchange>>);

impl Serving {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        Self(Some(exchange))
    }

    /// From now on the instance behind `slot` has it.
    pub(super) fn is_with(&self, slot: &Arc<Slot>) {
        if let Some(exchange) = &self.0 {
            exchange.is_with(slot);
        }
    }

    /// The guest has answered and may still be writing. The permit is the client's side's alone from here on.
    pub(super) fn answered(mut self) -> Answered {
        Answered(self.0.take().as_ref().map(Arc::downgrade).unwrap_or_default())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.break_off();
        }
    }
}

/// The instance's side of a request that has its answer: dropped before its end, the request is broken.
#[derive(Debug)]
pub(super) struct Answered(Weak<Exchange>);

impl Answered {
    /// Whether the client's side has let go: nothing is left that could break.
    pub(super) fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// All that there is to do has been done.
    pub(super) fn finish(self) {
        if let Some(exchange) = self.0.upgrade() {
            exchange.finish();
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.upgrade() {
            exchange.break_off();
        }
    }
}
