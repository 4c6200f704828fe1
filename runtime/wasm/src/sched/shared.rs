//! What the threads of an executor share, and the way of a woken task.
//!
//! A worker that found nothing to run is among the idle ones before it lets go of the lock under which it looked; so
//! whoever queues something after that finds it there and wakes it. Nothing is dropped under the lock, because dropping
//! a task may run anything.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::thread::Thread;
use std::time::{Duration, Instant};

use async_task::{Runnable, ScheduleInfo};
use futures::task::AtomicWaker;
use tokio::runtime::Handle;

use super::alarm::Alarm;
use super::group::Member;
use super::local::{self, Destination};
use super::queue::RunQueue;

/// A task that is to be polled.
pub(super) type Task = Runnable<Member>;

/// What the threads of an executor share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// How many threads have nothing to do: to be asked without the lock.
    idle: AtomicUsize,
    parkers: Vec<Parker>,
    /// When a thread last came by to look at I/O, in nanoseconds; whether or not somebody else did so then.
    pub(super) looked_at: AtomicU64,
    epoch: Instant,
    pub(super) handle: Handle,
    interrupt: Box<dyn Fn() + Send + Sync>,
    /// What runs was interrupted, and no thread has looked for something else yet.
    interrupted: AtomicBool,
    /// When slices end next.
    pub(super) alarm: Alarm,
}

/// What is under the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: RunQueue<Task>,
    /// Threads that have nothing to do.
    idle: Vec<usize>,
    /// Who of them looks again by himself when a held node is released, and when that is.
    armed: Option<(usize, u64)>,
    pub(super) closing: bool,
    /// Threads that have not ended.
    workers: usize,
}

/// Where a thread waits.
#[derive(Debug, Default)]
pub(super) struct Parker {
    thread: OnceLock<Thread>,
    notified: AtomicBool,
    waker: AtomicWaker,
}

impl Shared {
    pub(super) fn new(threads: usize, handle: Handle, interrupt: impl Fn() + Send + Sync + 'static) -> Self {
        let state =
            State { queue: RunQueue::new(threads), idle: Vec::new(), armed: None, closing: false, workers: threads };
        Self {
            state: Mutex::new(state),
            idle: AtomicUsize::new(0),
            parkers: (0..threads).map(|_| Parker::default()).collect(),
            looked_at: AtomicU64::new(0),
            epoch: Instant::now(),
            handle,
            interrupt: Box::new(interrupt),
            interrupted: AtomicBool::new(false),
            alarm: Alarm::default(),
        }
    }

    /// Nanoseconds since the executor began.
    pub(super) fn now(&self) -> u64 {
        self.nanos(Instant::now())
    }

    pub(super) fn nanos(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The queue's operations do not panic half way: they look everything up before they change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn parker(&self, worker: usize) -> Option<&Parker> {
        self.parkers.get(worker)
    }

    /// What runs shall give its thread back soon.
    pub(super) fn interrupt(&self) {
        (self.interrupt)();
    }

    /// A thread looks for what to run: further interrupts have a point again.
    pub(super) fn looking(&self) {
        if self.interrupted.load(Ordering::Relaxed) {
            self.interrupted.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a thread has nothing to do.
    pub(super) fn has_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }

    /// Wakes a thread that has nothing to do, if there is one.
    pub(super) fn wake_idle(&self) {
        let woken = self.take_idle(&mut self.lock());
        self.unpark(woken);
    }

    /// Takes a thread from among the idle ones; it has to be unparked once the lock is free.
    pub(super) fn take_idle(&self, state: &mut State) -> Option<usize> {
        let worker = *state.idle.last()?;
        self.end_idle(state, worker);
        Some(worker)
    }

    /// `worker` has nothing to do, until the time that is given back: the next release, unless somebody else looks then.
    pub(super) fn begin_idle(&self, state: &mut State, worker: usize) -> Option<u64> {
        state.idle.push(worker);
        self.idle.store(state.idle.len(), Ordering::Relaxed);
        let next = state.queue.next_release()?;
        if state.armed.is_some_and(|(_, armed)| armed <= next) {
            return None;
        }
        state.armed = Some((worker, next));
        Some(next)
    }

    /// `worker` looks for something to do.
    pub(super) fn end_idle(&self, state: &mut State, worker: usize) {
        if let Some(at) = state.idle.iter().rposition(|idle| *idle == worker) {
            state.idle.remove(at);
            if state.armed.is_some_and(|(armed, _)| armed == worker) {
                state.armed = None;
            }
            self.idle.store(state.idle.len(), Ordering::Relaxed);
        }
    }

    /// A thread to be woken although this one has found something: there is more, or something is released before any
    /// idle one would look.
    pub(super) fn helper(&self, state: &mut State) -> Option<usize> {
        if state.idle.is_empty() {
            return None;
        }
        let next = state.queue.next_release();
        let too_late = next.is_some_and(|next| state.armed.is_none_or(|(_, armed)| next < armed));
        (state.queue.has_ready() || too_late).then(|| self.take_idle(state)).flatten()
    }

    pub(super) fn unpark(&self, worker: Option<usize>) {
        if let Some(parker) = worker.and_then(|worker| self.parkers.get(worker)) {
            parker.unpark();
        }
    }

    /// The threads end once nothing is left to run.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.parkers.iter().for_each(Parker::unpark);
    }

    /// A thread ends. The last one takes what nobody will run any more; it is to be dropped once the lock is free.
    pub(super) fn end_worker(&self, state: &mut State) -> Vec<Task> {
        state.workers = state.workers.saturating_sub(1);
        if state.workers == 0 { state.queue.drain() } else { Vec::new() }
    }

    fn push(&self, task: Task) {
        let node = task.metadata().group.node();
        let now = self.now();
        let mut state = self.lock();
        if state.workers == 0 {
            // Nobody will run it any more. Not under the lock.
            drop(state);
            drop(task);
            return;
        }
        let behind = state.queue.push(node, task, now);
        let woken = self.take_idle(&mut state);
        drop(state);
        if woken.is_some() {
            self.unpark(woken);
        } else if behind && !self.interrupted.swap(true, Ordering::Relaxed) {
            self.interrupt();
        }
    }
}

impl Parker {
    /// The thread that waits here from now on is this one.
    pub(super) fn own(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Waits until it is woken, for `most` at the longest.
    pub(super) fn park(&self, most: Option<Duration>) {
        if self.notified.swap(false, Ordering::Acquire) {
            return;
        }
        match most {
            Some(most) => std::thread::park_timeout(most),
            None => std::thread::park(),
        }
        self.notified.store(false, Ordering::Release);
    }

    /// The same, for a thread that drives I/O meanwhile.
    pub(super) async fn wait(&self, most: Option<Duration>) {
        let woken = poll_fn(|cx| {
            self.waker.register(cx.waker());
            let woken = self.notified.swap(false, Ordering::AcqRel) || local::has_task();
            if woken { Poll::Ready(()) } else { Poll::Pending }
        });
        match most {
            // Too late or too early does no harm.
            Some(most) => drop(tokio::time::timeout(most, woken).await),
            None => woken.await,
        }
    }

    pub(super) fn unpark(&self) {
        self.notified.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("threads", &self.parkers.len()).finish_non_exhaustive()
    }
}

/// What a woken task does.
pub(super) fn schedule(task: Task, info: ScheduleInfo) {
    let shared = Arc::clone(task.metadata().group.shared());
    let executor = id(&shared);
    if info.woken_while_running {
        if let Some(task) = local::keep_rest(executor, task) {
            shared.push(task);
        }
        return;
    }
    match local::hand_over(executor, task, shared.has_idle()) {
        Destination::Kept => {}
        Destination::KeptByDriver(worker) => shared.unpark(Some(worker)),
        Destination::Queue(task) => shared.push(task),
    }
}

/// Tells executors apart.
pub(super) fn id(shared: &Arc<Shared>) -> usize {
    Arc::as_ptr(shared).addr()
}
