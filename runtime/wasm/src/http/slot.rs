//! Where an instance that is reused waits for its next request, and the set of those that wait.
//!
//! ```text
//!   Busy ──announce──► Waiting ──dispatch: a job is put in its slot──► Busy
//!                         └──withdraw──► Busy (or it ends)
//! ```
//!
//! A job that its instance cannot take after all, since the guest has begun to compute, is dispatched once more.
//!
//! A slot is in the set exactly while it waits: a job is put into it under the set's lock, so whoever withdraws and
//! does not find itself there has a job. Lock order: the set, then a slot. Nobody is woken under either.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures::channel::oneshot;
use futures::task::AtomicWaker;
use http::{Request, Response};
use wasmtime_wasi_http::WasiBody;

use super::exchange::Serving;

/// A request on its way to an instance.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request<WasiBody>,
    pub(super) reply: Reply,
    pub(super) exchange: Serving,
}

/// Where a guest's answer goes.
pub(super) type Reply = oneshot::Sender<wasmtime::Result<Response<WasiBody>>>;

/// One instance, as those see it that have requests for it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    job: Mutex<Option<Job>>,
    waker: AtomicWaker,
    /// Requests whose client still waits for something.
    open: AtomicUsize,
    /// Requests whose client has gone.
    abandoned: AtomicUsize,
}

impl Slot {
    /// `waker` is woken when there is a job, or when all clients have gone.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn take(&self) -> Option<Job> {
        lock(&self.job).take()
    }

    /// Whether a client has gone: the guest may be anywhere in what it did for it.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire) > 0
    }

    /// Whether clients have gone, and no other is left: what the guest still does is for nobody.
    pub(super) fn is_deserted(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0 && self.is_abandoned()
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn closed(&self, abandoned: bool) {
        if abandoned {
            self.abandoned.fetch_add(1, Ordering::AcqRel);
        }
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 && abandoned {
            self.waker.wake();
        }
    }
}

/// The slots of all instances that wait for a request, the one that began last at the end.
#[derive(Debug)]
pub(super) struct Waiting {
    set: Mutex<Set>,
    most: usize,
}

#[derive(Debug)]
enum Set {
    Open(Vec<Arc<Slot>>),
    Closed,
}

impl Waiting {
    /// A set of at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { set: Mutex::new(Set::Open(Vec::new())), most }
    }

    /// Gives a request to the instance that began to wait last: what it needs is still in the caches. Where none waits,
    /// whoever asked has to make one, behind the slot that comes back with the job.
    pub(super) fn dispatch(&self, job: Job) -> Option<(Job, Arc<Slot>)> {
        let mut set = lock(&self.set);
        let waiting = match &mut *set {
            Set::Open(slots) => slots.pop(),
            Set::Closed => None,
        };
        let Some(slot) = waiting else {
            drop(set);
            let slot = Arc::new(Slot::default());
            job.exchange.is_with(&slot);
            return Some((job, slot));
        };
        job.exchange.is_with(&slot);
        *lock(&slot.job) = Some(job);
        drop(set);
        slot.waker.wake();
        None
    }

    /// From now on `slot` may get a job. `false`: there are enough, or nothing will come any more.
    pub(super) fn announce(&self, slot: &Arc<Slot>) -> bool {
        match &mut *lock(&self.set) {
            Set::Open(slots) if slots.len() < self.most => {
                slots.push(Arc::clone(slot));
                true
            }
            Set::Open(_) | Set::Closed => false,
        }
    }

    /// From now on `slot` gets no job. `false`: it has one.
    pub(super) fn withdraw(&self, slot: &Arc<Slot>) -> bool {
        match &mut *lock(&self.set) {
            Set::Open(slots) => {
                // Most often it is among the last.
                let found = slots.iter().rposition(|other| Arc::ptr_eq(other, slot));
                found.map(|at| slots.remove(at)).is_some()
            }
            Set::Closed => true,
        }
    }

    /// No instance waits any more, and those that did end.
    pub(super) fn close(&self) {
        let set = std::mem::replace(&mut *lock(&self.set), Set::Closed);
        if let Set::Open(slots) = set {
            for slot in slots {
                slot.waker.wake();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
