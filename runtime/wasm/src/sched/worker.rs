//! The loop of a thread that runs guests.
//!
//! ```text
//!        ┌─────────────► look ──nothing──► idle (in the driver's seat, or parked)
//!        │                │  ▲                │
//!   poll, charge ◄──a task┘  └────woken───────┘
//! ```
//!
//! One look under the lock does it all: charge what just ran, queue it again if it wants to go on, and pick what is
//! next. What the thread does between two polls is charged to the one before.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::meter::ThreadMeter;
use super::shared::{self, Shared, Task};
use super::{local, turn};

/// How long tasks run before I/O is looked at between two of them, in nanoseconds.
const LOOK_NANOS: u64 = 100_000;

/// Starts thread number `index`.
pub(super) fn spawn(index: usize, shared: Arc<Shared>, driver: Arc<Driver>) -> io::Result<()> {
    let worker = Worker { index, shared, driver };
    std::thread::Builder::new().name(format!("nacelle-guest-{index}")).spawn(move || worker.run()).map(drop)
}

struct Worker {
    index: usize,
    shared: Arc<Shared>,
    driver: Arc<Driver>,
}

/// What just ran.
struct Ran {
    nanos: u64,
    rest: Option<Task>,
}

impl Worker {
    fn run(&self) {
        let handle = self.shared.handle.clone();
        // Guests' timers and sockets belong to this runtime.
        let _context = handle.enter();
        local::enter(shared::id(&self.shared), self.index);
        if let Some(parker) = self.shared.parker(self.index) {
            parker.own();
        }
        let mut meter = ThreadMeter::new(thread_clock());
        let mut ran = None;
        let mut at = Instant::now();
        while let Some(task) = self.next(ran.take(), &mut at) {
            local::begin(task.metadata().group.node());
            turn::begin();
            task.run();
            let end = Instant::now();
            let wall = u64::try_from((end - at).as_nanos()).unwrap_or(u64::MAX);
            ran = Some(Ran { nanos: meter.measure(wall, thread_clock), rest: local::end(end) });
            at = end;
        }
    }

    /// The next task, when there is one; `None` when there will be none any more. `at` is now, and becomes when the
    /// task's time begins.
    fn next(&self, mut ran: Option<Ran>, at: &mut Instant) -> Option<Task> {
        loop {
            let mut now = self.shared.nanos(*at);
            if now.saturating_sub(self.shared.looked_at.load(Ordering::Relaxed)) >= LOOK_NANOS {
                if let Some(seat) = self.driver.sit() {
                    seat.look();
                    *at = Instant::now();
                    now = self.shared.nanos(*at);
                }
                self.shared.looked_at.store(now, Ordering::Relaxed);
            }
            self.shared.looking();
            let handed_over = local::take().map(|task| (task.metadata().group.node(), task));
            let mut state = self.shared.lock();
            if let Some(Ran { nanos, rest }) = ran.take() {
                state.queue.finish(self.index, nanos, rest, now);
            }
            if let Some((_, task)) = state.queue.pick(self.index, handed_over, now) {
                let helper = self.shared.helper(&mut state);
                let quota_ends = state.queue.quota_ends(self.index);
                drop(state);
                self.shared.unpark(helper);
                if let Some(ends) = quota_ends {
                    self.shared.alarm.ring_at(ends, now);
                }
                return Some(task);
            }
            if state.closing {
                let left = self.shared.end_worker(&mut state);
                drop(state);
                drop(left);
                return None;
            }
            let until = self.shared.begin_idle(&mut state, self.index);
            drop(state);
            self.idle(until.map(|until| Duration::from_nanos(until.saturating_sub(now))));
            self.shared.end_idle(&mut self.shared.lock(), self.index);
            *at = Instant::now();
        }
    }

    /// Waits until there may be something to do, for `most` at the longest.
    fn idle(&self, most: Option<Duration>) {
        let Some(parker) = self.shared.parker(self.index) else { return };
        match self.driver.sit() {
            Some(seat) => {
                local::set_driving(true);
                seat.drive(parker.wait(most));
                local::set_driving(false);
                self.shared.looked_at.store(self.shared.now(), Ordering::Relaxed);
            }
            None => parker.park(most),
        }
    }
}

/// The CPU time of this thread in nanoseconds.
fn thread_clock() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
