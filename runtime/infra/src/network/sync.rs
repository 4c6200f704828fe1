//! Waiting without a runtime: sets of wakers, and locks that a panic elsewhere does not spoil.
//!
//! The order of locks in this module: registry of a container's sockets, then port table, then listener, then a
//! connection that waits in a listener, then the two pipes of a link (client's first). Nothing is woken, dropped or
//! awaited under any of them, except what this says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Locks. A panic while the lock was held leaves data that is at worst incomplete, never unsound: going on is better
/// than taking all other containers of the pod down.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tasks that wait for the same thing. Almost always there is one, which costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct WakerSet {
    first: Option<Waker>,
    others: Vec<Waker>,
    /// How often the set ran over since it was last emptied.
    overflows: u32,
}

/// Wakers beside the first at which a set looks for stale ones. It doubles at each overflow up to 2¹⁰ times this.
const OTHERS: usize = 8;

impl WakerSet {
    /// Remembers who to wake.
    ///
    /// Who stopped waiting says nothing, so a guest that waits for many things in turns would fill the set with stale
    /// wakers. A full set is therefore returned, to be woken after unlocking: who still waits comes back.
    #[must_use = "wake what fell out, after unlocking"]
    pub(crate) fn register(&mut self, waker: &Waker) -> Self {
        let Some(first) = &self.first else {
            self.first = Some(waker.clone());
            return Self::default();
        };
        if first.will_wake(waker) || self.others.iter().any(|other| other.will_wake(waker)) {
            return Self::default();
        }
        if self.others.len() < OTHERS << self.overflows.min(10) {
            self.others.push(waker.clone());
            return Self::default();
        }
        let stale = Self { first: self.first.take(), others: std::mem::take(&mut self.others), overflows: 0 };
        self.overflows += 1;
        self.first = Some(waker.clone());
        stale
    }

    /// Takes everyone out, to be woken after unlocking.
    #[inline]
    #[must_use = "wake it, after unlocking"]
    pub(crate) fn take(&mut self) -> Self {
        if self.first.is_none() { Self::default() } else { std::mem::take(self) }
    }

    /// Wakes all.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(first) = self.first {
            first.wake();
            for other in self.others {
                other.wake();
            }
        }
    }
}

/// Many waiters behind one waker: a tokio socket remembers only the last task that polled it.
#[derive(Debug, Default)]
pub(crate) struct Fan {
    waiting: Mutex<WakerSet>,
}

impl Fan {
    /// A fan, and the waker that wakes all that wait in it.
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let fan = Arc::new(Self::default());
        let waker = Waker::from(Arc::clone(&fan));
        (fan, waker)
    }

    /// Remembers who to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        let stale = lock(&self.waiting).register(waker);
        stale.wake();
    }

    /// Wakes all.
    pub(crate) fn wake_all(&self) {
        let waiting = lock(&self.waiting).take();
        waiting.wake();
    }
}

impl Wake for Fan {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_is_kept_once_and_all_are_woken_once() {
        let count = Arc::new(Count::default());
        let other = Arc::new(Count::default());
        let mut set = WakerSet::default();
        let waker = Waker::from(Arc::clone(&count));
        for _ in 0..3 {
            set.register(&waker).wake();
        }
        set.register(&Waker::from(Arc::clone(&other))).wake();
        set.take().wake();
        set.take().wake();
        assert_eq!((count.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn a_set_does_not_grow_with_those_who_went_away_and_nobody_is_forgotten() {
        let count = Arc::new(Count::default());
        let mut set = WakerSet::default();
        for _ in 0..100_000 {
            // Each is a waker of its own, as those of futures that are made and dropped.
            struct Own(Arc<Count>);
            impl Wake for Own {
                fn wake(self: Arc<Self>) {
                    self.0.0.fetch_add(1, Ordering::Relaxed);
                }
            }
            set.register(&Waker::from(Arc::new(Own(Arc::clone(&count))))).wake();
            assert!(set.others.len() <= OTHERS << 10);
        }
        set.take().wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 100_000);
    }
}
