//! The end of slices: every 5 ms, as long as there is a guest, and when somebody's quota is used up.
//!
//! Threads that run a slice to its end look at I/O and timers once per slice. The ticker then takes the driver's seat until
//! it wakes again instead of sleeping, so that what comes in can interrupt whoever has had his share.

use std::io;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use super::driver::Driver;
use super::shared::Shared;

/// The length of a slice.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// How long nobody may have looked at I/O before the ticker does. Threads whose slices end with the tick did so just after
/// the one before.
const UNATTENDED: Duration = Duration::from_micros(2500);

/// Ends slices as long as there is a guest.
#[derive(Debug)]
pub(super) struct Ticker {
    guests: Arc<AtomicUsize>,
    thread: Thread,
}

impl Ticker {
    /// Starts the thread. It ends when the ticker is dropped and the last guest is gone.
    pub(super) fn spawn(shared: &Arc<Shared>, driver: Arc<Driver>) -> io::Result<Self> {
        let guests = Arc::new(AtomicUsize::new(0));
        let (shared, there) = (Arc::clone(shared), Arc::downgrade(&guests));
        let thread =
            std::thread::Builder::new().name("nacelle-ticker".into()).spawn(move || tick(&shared, &driver, &there))?;
        Ok(Self { guests, thread: thread.thread().clone() })
    }

    pub(super) fn guard(&self) -> TickGuard {
        if self.guests.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
        TickGuard(Arc::clone(&self.guests))
    }
}

fn tick(shared: &Shared, driver: &Driver, guests: &Weak<AtomicUsize>) {
    let handle = shared.handle.clone();
    let _context = handle.enter();
    shared.alarm.parker.own();
    let tick = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX);
    let mut next_tick = 0;
    while let Some(guests) = guests.upgrade() {
        let count = guests.load(Ordering::SeqCst);
        drop(guests);
        if count == 0 {
            std::thread::park();
            continue;
        }
        let now = shared.now();
        if now >= next_tick {
            next_tick = now.saturating_add(tick);
        }
        // In this order: whose wish for another time gets lost is interrupted afterwards, and wishes again.
        shared.alarm.set(next_tick);
        shared.interrupt();
        let unattended = is_unattended(now, shared.looked_at.load(Ordering::Relaxed));
        match unattended.then(|| driver.sit()).flatten() {
            Some(seat) => {
                seat.drive(async {
                    while let Some(left) = shared.alarm.left(shared.now()) {
                        shared.alarm.parker.wait(Some(left)).await;
                    }
                });
                drop(seat);
                if shared.has_idle() {
                    // Somebody who has nothing else to do shall sit there.
                    shared.wake_idle();
                }
            }
            None => {
                while let Some(left) = shared.alarm.left(shared.now()) {
                    shared.alarm.parker.park(Some(left));
                }
            }
        }
    }
}

/// Both in nanoseconds.
fn is_unattended(now: u64, looked_at: u64) -> bool {
    Duration::from_nanos(now.saturating_sub(looked_at)) >= UNATTENDED
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // So that a parked thread sees that they are gone.
        drop(std::mem::take(&mut self.guests));
        self.thread.unpark();
    }
}

/// One guest for which slices end.
#[derive(Debug)]
pub(crate) struct TickGuard(Arc<AtomicUsize>);

impl Drop for TickGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_per_slice_is_not_enough_and_one_between_short_polls_is() {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
        let (tick, soon_after) = (nanos(3 * TICK), nanos(2 * TICK + Duration::from_micros(300)));
        assert!(is_unattended(tick, soon_after));
        assert!(!is_unattended(tick, tick - nanos(Duration::from_micros(100))));
        // Another thread may have come by since this one read the clock.
        assert!(!is_unattended(tick, tick + 1));
    }
}
