//! What a worker thread keeps for itself: a task that was woken here and shall run here next.
//!
//! Handing a woken task over to the waker's own thread costs no lock and no system call, and its data is in this CPU's
//! caches; but it waits until the waker's poll ends. Most guests wake another one and then wait for it, so the wait is
//! short; for those that go on for long, and when another thread has nothing to do, that thread is the better place. How
//! long polls go on after they woke somebody is therefore remembered, per container.

use std::cell::RefCell;
use std::time::Instant;

use super::queue::NodeId;
use super::shared::Task;
use super::tail::Tail;

/// How many containers are told apart; others share.
const REMEMBERED: usize = 256;

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// State of one worker thread.
#[derive(Debug)]
pub(super) struct Local {
    /// Whose thread this is: there may be several executors.
    executor: usize,
    worker: usize,
    /// Woken here, and next.
    handed_over: Option<Task>,
    /// What just ran, and wants to go on.
    rest: Option<Task>,
    current: NodeId,
    /// The first time that the poll which runs woke somebody while another thread had nothing to do.
    first_wake: Option<FirstWake>,
    /// How long polls went on after that, by container.
    tails: Box<[Tail; REMEMBERED]>,
    driving: bool,
}

#[derive(Clone, Copy, Debug)]
struct FirstWake {
    at: Instant,
    /// Whether those that it wakes wait for its end.
    waits: bool,
}

/// Where a woken task goes.
pub(super) enum Destination {
    /// It is kept here.
    Kept,
    /// It is kept here, and this worker sits in the driver's seat: it must be told.
    KeptByDriver(usize),
    /// To the queue.
    Queue(Task),
}

/// Makes the calling thread worker number `worker` of `executor`.
pub(super) fn enter(executor: usize, worker: usize) {
    let local = Local {
        executor,
        worker,
        handed_over: None,
        rest: None,
        current: 0,
        first_wake: None,
        tails: Box::new([Tail::default(); REMEMBERED]),
        driving: false,
    };
    LOCAL.set(Some(local));
}

/// A poll begins.
pub(super) fn begin(node: NodeId) {
    with(|local| {
        local.current = node;
        local.first_wake = None;
    });
}

/// A poll has ended at `now`. Gives back its task, if that wants to go on.
pub(super) fn end(now: Instant) -> Option<Task> {
    with(|local| {
        if let Some(first) = local.first_wake.take() {
            let nanos = u32::try_from(now.saturating_duration_since(first.at).as_nanos()).unwrap_or(u32::MAX);
            local.tails[local.current % REMEMBERED].ended(nanos);
        }
        local.rest.take()
    })
    .flatten()
}

/// Takes the task that was handed over.
pub(super) fn take() -> Option<Task> {
    with(|local| local.handed_over.take()).flatten()
}

/// Whether a task was handed over.
pub(super) fn has_task() -> bool {
    with(|local| local.handed_over.is_some()).unwrap_or(false)
}

/// The thread sits in the driver's seat, or no longer.
pub(super) fn set_driving(driving: bool) {
    with(|local| local.driving = driving);
}

/// Puts a task that was woken while it ran, on the thread that ran it.
pub(super) fn keep_rest(executor: usize, task: Task) -> Option<Task> {
    let mut task = Some(task);
    with(|local| {
        if local.executor == executor && local.rest.is_none() {
            local.rest = task.take();
        }
    });
    task
}

/// Decides where a woken task goes. `idle` tells whether another thread has nothing to do.
pub(super) fn hand_over(executor: usize, task: Task, idle: bool) -> Destination {
    let mut task = Some(task);
    let kept = with(|local| {
        if local.executor != executor {
            return None;
        }
        if local.driving {
            // Whoever sits there has nothing else to do.
            if local.handed_over.is_none() {
                local.handed_over = task.take();
                return Some(Destination::KeptByDriver(local.worker));
            }
            return None;
        }
        if local.handed_over.is_some() {
            return None;
        }
        if idle {
            let tail = &mut local.tails[local.current % REMEMBERED];
            let first = local.first_wake.get_or_insert_with(|| FirstWake { at: Instant::now(), waits: tail.woke() });
            if !first.waits {
                return None;
            }
        }
        local.handed_over = task.take();
        Some(Destination::Kept)
    });
    match (kept.flatten(), task) {
        (_, Some(task)) => Destination::Queue(task),
        (Some(destination), None) => destination,
        (None, None) => Destination::Kept,
    }
}

fn with<R>(act: impl FnOnce(&mut Local) -> R) -> Option<R> {
    // A thread that is going away, or that is no worker, has none. Nothing is called from within that comes back here.
    LOCAL.try_with(|local| local.try_borrow_mut().ok()?.as_mut().map(act)).ok().flatten()
}
