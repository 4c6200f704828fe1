//! Where guests run: threads of their own, so that a busy guest cannot delay the host's work, in an order of their own,
//! so that it cannot delay other guests either.
//!
//! ```text
//!   Group::spawn ──► task ──woken──► RunQueue (by weight and quota) ──pick──► a thread polls it, and charges its group
//!                                    or, handed over, the waker's own thread
//! ```
//!
//! | module | idea |
//! |---|---|
//! | `queue`, `node`, `share`, `quota` | who runs next and who is held back: pure, tested in simulated time |
//! | `meter` | from measured polls to CPU time: pure |
//! | `group`, `spawner` | a pod or a container as those see it that spawn tasks in it, or change its share |
//! | `shared`, `local`, `tail` | where a woken task goes: the queue, or the thread that woke it |
//! | `worker` | the loop of a thread |
//! | `driver` | tokio's I/O and timers: driven by a thread that has nothing to run, or between two polls |
//! | `ticker`, `alarm` | ends slices every 5 ms and when a quota is used up, and drives I/O while every thread is busy |
//!
//! Guests use tokio's timers and sockets, so each poll happens within a tokio runtime; but tokio does not choose what is
//! polled. It knows nothing of WebAssembly and must not.

mod alarm;
mod driver;
mod group;
mod local;
mod meter;
mod node;
mod queue;
mod quota;
mod share;
mod shared;
mod spawner;
mod tail;
mod ticker;
pub(crate) mod turn;
mod worker;

use std::io;
use std::sync::Arc;

pub(crate) use group::{Group, JoinHandle};
pub(crate) use share::Usage;
pub(crate) use spawner::Spawner;
pub(crate) use ticker::TickGuard;

use self::shared::Shared;
use self::ticker::Ticker;

/// The threads that run guests.
#[derive(Debug)]
pub(crate) struct Executor {
    shared: Arc<Shared>,
    host: Group,
    ticker: Ticker,
}

impl Executor {
    /// Starts `threads` threads; 0 means one per CPU. `interrupt` makes guests that run give their thread back soon.
    pub(crate) fn new(threads: usize, interrupt: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let (driver, handle) = driver::Driver::new()?;
        let shared = Arc::new(Shared::new(threads, handle, interrupt));
        let host = Group::host(&shared);
        for index in 0..threads {
            worker::spawn(index, Arc::clone(&shared), Arc::clone(&driver))?;
        }
        let ticker = Ticker::spawn(&shared, driver)?;
        Ok(Self { shared, host, ticker })
    }

    /// Keeps the ends of slices coming until the guard is dropped: there is a guest.
    pub(crate) fn guest(&self) -> TickGuard {
        self.ticker.guard()
    }

    /// A group for the containers of a pod.
    pub(crate) fn pod(&self, cpu: nacelle_container::Cpu) -> Group {
        Group::root(&self.shared, cpu.into())
    }

    /// Runs host work, before any guest's. It is short, or waits.
    pub(crate) fn spawn_host<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.host.spawn(task)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // The threads end once nothing is left to run; waiting for them is not allowed where the backend may be dropped.
        self.shared.close();
    }
}

#[cfg(test)]
mod tests;
