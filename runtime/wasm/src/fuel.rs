//! Fuel: a budget of work that a container has in all, for tests that must be deterministic and for untrusted batches.
//!
//! Only code that counts fuel can be held to it, so such containers run on an engine of their own. A store has what is
//! left of its container's budget. How much it used is settled at each end of a slice and at its own end; with one
//! store, as a command has, the same work ends at the same place each time; instances that run beside each other may
//! together use more by what they do within a slice. Code looks at its fuel where a function or a round of a loop begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nacelle_container::stats::FuelStats;
use wasmtime::{AsContextMut, Trap};

use crate::flag::Flag;
use crate::state::GuestState;

/// The fuel of one container, over all its instances.
#[derive(Debug)]
pub(crate) struct FuelAccount {
    limit: u64,
    consumed: AtomicU64,
    /// All of it is used up.
    pub(crate) exhausted: Flag,
}

/// The guest executed all that its budget allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all fuel consumed: the budget was {limit} units")]
pub(crate) struct FuelExhausted {
    /// The budget in units of fuel.
    pub(crate) limit: u64,
}

impl FuelAccount {
    /// A budget of so many units.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, consumed: AtomicU64::new(0), exhausted: Flag::new() })
    }

    pub(crate) fn stats(&self) -> FuelStats {
        FuelStats { consumed: self.consumed.load(Ordering::Relaxed).min(self.limit), limit: self.limit }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.consumed.load(Ordering::Relaxed))
    }

    fn consume(&self, units: u64) {
        let add = |consumed: u64| Some(consumed.saturating_add(units));
        let before = self.consumed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).unwrap_or_default();
        if before.saturating_add(units) >= self.limit {
            self.exhausted.set();
        }
    }
}

/// One store's part in its container's fuel.
#[derive(Debug)]
pub(crate) struct FuelShare {
    account: Arc<FuelAccount>,
    /// What the store was given last.
    given: u64,
}

impl FuelShare {
    pub(crate) fn new(account: &Arc<FuelAccount>) -> Self {
        Self { account: Arc::clone(account), given: 0 }
    }
}

/// Gives a new store what is left.
pub(crate) fn fill(mut store: impl AsContextMut<Data = GuestState>) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    let Some(fuel) = &mut store.data_mut().fuel else { return Ok(()) };
    fuel.given = fuel.account.left();
    let given = fuel.given;
    store.set_fuel(given)
}

/// Charges what a store has used to its container, and takes from it what others have used meanwhile.
///
/// # Errors
/// [`FuelExhausted`] when nothing is left.
pub(crate) fn settle(mut store: impl AsContextMut<Data = GuestState>) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    if store.data().fuel.is_none() {
        return Ok(());
    }
    let has = store.get_fuel()?;
    let Some(fuel) = &mut store.data_mut().fuel else { return Ok(()) };
    fuel.account.consume(fuel.given.saturating_sub(has));
    fuel.given = has.min(fuel.account.left());
    let (given, limit) = (fuel.given, fuel.account.limit);
    store.set_fuel(given)?;
    if given == 0 { Err(FuelExhausted { limit }.into()) } else { Ok(()) }
}

/// Whether a guest ended for want of fuel.
pub(crate) fn ran_out(error: &wasmtime::Error) -> bool {
    error.is::<FuelExhausted>() || matches!(error.downcast_ref(), Some(Trap::OutOfFuel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_ends_at_the_limit() {
        let account = FuelAccount::new(100);
        account.consume(60);
        assert_eq!((account.left(), account.stats()), (40, FuelStats { consumed: 60, limit: 100 }));
        account.consume(u64::MAX);
        assert_eq!((account.left(), account.stats().consumed), (0, 100));
    }
}
