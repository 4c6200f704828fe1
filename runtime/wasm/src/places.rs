//! Whether a container's instances come from the pool, and how many containers the kernel lets this process have.
//!
//! ```text
//!   create ── room in the pool? ──yes──► Place::Pool
//!                   │ no
//!                   └─ mappings left? ──yes──► Place::Outside: each instance maps its own memory
//!                            │ no
//!                            └──► NoPlace: the container is not created, and is tried again
//! ```
//!
//! A container has its place from its creation until nothing of it is left. A quarter of the pool is nobody's: it is for
//! requests that are handled at a time and for programs that are run beside.
//!
//! The kernel bounds how many mappings a process has (`vm.max_map_count`). At that bound not only instances fail but
//! allocations anywhere, so it must not be reached: a quarter of it is left alone.

use std::fs;
use std::sync::Arc;

use nacelle_container::CreateError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Pooling;
use crate::engine::Metering;
use crate::engines::{BRIEF_COMPONENTS, BRIEF_INSTANCES};

/// Mappings of a place in the pool. Measured: 2 for its stack and the guard of that, 6 more in use.
const MAPPINGS_IN_POOL: usize = 8;
/// Mappings of a container outside of it: its memory, its table and its stack, each with what guards it. Measured: 6.6.
const MAPPINGS_OUTSIDE: usize = 8;
/// The kernel's own default, where it does not say.
const DEFAULT_MAPPINGS: usize = 65_530;
/// Where that is set.
const MAX_MAP_COUNT: &str = "/proc/sys/vm/max_map_count";

/// The places of a backend.
#[derive(Debug)]
pub(crate) struct Places {
    pool: Arc<Semaphore>,
    outside: Arc<Semaphore>,
    count: Count,
}

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    pool: usize,
    outside: usize,
    /// Mappings that this process may have.
    mappings: usize,
}

/// A container's place, given back when dropped.
#[derive(Debug)]
pub(crate) enum Place {
    /// Its instances come from the pool.
    Pool { _permit: OwnedSemaphorePermit },
    /// Each of its instances maps its own memory.
    Outside { _permit: OwnedSemaphorePermit },
}

/// All places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no room for another WebAssembly container: {containers} are here, and the {mappings} memory mappings that \
     this process may have (vm.max_map_count) suffice for no more; raise it with sysctl -w vm.max_map_count=N"
)]
pub(crate) struct NoPlace {
    containers: usize,
    mappings: usize,
}

impl From<NoPlace> for CreateError {
    fn from(error: NoPlace) -> Self {
        Self::Other(error.to_string())
    }
}

impl Count {
    /// What there is with so many `mappings`, where the engine has this pool.
    fn of(pool: Option<u32>, mappings: usize) -> Self {
        let instances = pool.map_or(0, |instances| usize::try_from(instances).unwrap_or(usize::MAX));
        // Beside the pool there may be those of components whose requests are brief.
        let of_each = usize::try_from(BRIEF_INSTANCES).unwrap_or(usize::MAX);
        let brief = pool.map_or(0, |_| of_each.saturating_mul(BRIEF_COMPONENTS));
        let usable = mappings - mappings / 4;
        let pooled = instances.saturating_add(brief).saturating_mul(MAPPINGS_IN_POOL);
        let outside = usable.saturating_sub(pooled) / MAPPINGS_OUTSIDE;
        Self { pool: (instances - instances / 4).min(Semaphore::MAX_PERMITS), outside, mappings }
    }
}

impl Places {
    /// Those on this machine, where engines have a pool like this one, or none.
    pub(crate) fn new(pool: Option<Pooling>) -> Self {
        let instances = match pool {
            Some(Pooling::Pooled { instances }) => Some(instances),
            Some(Pooling::OnDemand) | None => None,
        };
        let mappings = fs::read_to_string(MAX_MAP_COUNT).ok().and_then(|text| text.trim().parse().ok());
        Self::of(Count::of(instances, mappings.unwrap_or(DEFAULT_MAPPINGS)))
    }

    fn of(count: Count) -> Self {
        let outside = count.outside.min(Semaphore::MAX_PERMITS);
        Self { pool: Arc::new(Semaphore::new(count.pool)), outside: Arc::new(Semaphore::new(outside)), count }
    }

    /// A place for a container that is metered like this: code that counts fuel has no pool.
    ///
    /// # Errors
    /// [`NoPlace`] when the kernel's bound is near.
    pub(crate) fn take(&self, metering: Metering) -> Result<Place, NoPlace> {
        if metering == Metering::Time
            && let Ok(permit) = Arc::clone(&self.pool).try_acquire_owned()
        {
            return Ok(Place::Pool { _permit: permit });
        }
        let Count { pool, outside, mappings } = self.count;
        match Arc::clone(&self.outside).try_acquire_owned() {
            Ok(permit) => Ok(Place::Outside { _permit: permit }),
            Err(_) => {
                Err(NoPlace { containers: (pool - self.pool.available_permits()).saturating_add(outside), mappings })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_thousand_containers_fit_by_the_kernels_default() {
        let count = Count::of(Some(2000), DEFAULT_MAPPINGS);
        assert_eq!(count.pool, 1500);
        assert!(count.pool + count.outside >= 5000 + 100, "{count:?}");
        let count = Count::of(None, DEFAULT_MAPPINGS);
        assert!(count.outside >= 5000 + 500, "{count:?}");
        // A pool that takes more than the kernel gives leaves nothing beside it.
        assert_eq!(Count::of(Some(u32::MAX), DEFAULT_MAPPINGS).outside, 0);
    }

    #[test]
    fn the_pool_comes_first_and_the_kernels_bound_is_told() {
        let places = Places::of(Count { pool: 1, outside: 1, mappings: 7 });
        let first = places.take(Metering::Time).unwrap();
        let second = places.take(Metering::Time).unwrap();
        assert!(matches!((&first, &second), (Place::Pool { .. }, Place::Outside { .. })));
        let none = places.take(Metering::Time).unwrap_err();
        assert_eq!(none, NoPlace { containers: 2, mappings: 7 });
        assert!(none.to_string().contains("vm.max_map_count"), "{none}");
        drop(first);
        assert!(matches!(places.take(Metering::Fuel), Err(NoPlace { containers: 1, .. })));
        assert!(matches!(places.take(Metering::Time), Ok(Place::Pool { .. })));
        drop(second);
        assert!(matches!(places.take(Metering::Fuel), Ok(Place::Outside { .. })));
    }
}
