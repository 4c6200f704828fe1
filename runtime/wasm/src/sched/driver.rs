//! Tokio's I/O and timers, which somebody has to drive.
//!
//! One thread at a time has the driver's seat. A worker without anything to run sits down until it is woken; a busy one
//! has a short look every now and then; while all are busy for long, the ticker sits there. An event wakes tasks on the
//! thread that sits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};

/// The runtime behind the seat.
#[derive(Debug)]
pub(super) struct Driver {
    runtime: Runtime,
    taken: AtomicBool,
}

impl Driver {
    pub(super) fn new() -> io::Result<(Arc<Self>, Handle)> {
        let runtime = Builder::new_current_thread().thread_name("nacelle-blocking").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok((Arc::new(Self { runtime, taken: AtomicBool::new(false) }), handle))
    }

    /// Takes the seat, if it is free.
    pub(super) fn sit(&self) -> Option<Seat<'_>> {
        // Not `then_some`: a seat that is made in vain would be given back when it is dropped.
        (!self.taken.swap(true, Ordering::Acquire)).then(|| Seat(self))
    }
}

/// The driver's seat, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat<'a>(&'a Driver);

impl Seat<'_> {
    /// Handles what has happened, without waiting.
    pub(super) fn look(&self) {
        self.0.runtime.block_on(tokio::task::yield_now());
    }

    /// Handles what happens until `done`.
    pub(super) fn drive(&self, done: impl Future<Output = ()>) {
        self.0.runtime.block_on(done);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sits_at_a_time_and_asking_in_vain_takes_nothing_from_who_does() {
        let (driver, _handle) = Driver::new().unwrap();
        let seat = driver.sit();
        assert!(seat.is_some());
        for _ in 0..3 {
            assert!(driver.sit().is_none());
        }
        drop(seat);
        assert!(driver.sit().is_some());
    }
}
