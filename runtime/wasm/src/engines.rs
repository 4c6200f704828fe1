//! The engines of a backend, for each kind of metering and each [`Model`], and the programs that were compiled for each.
//!
//! Code that counts fuel is slower, so only containers with a budget of it run such code. Containers that find no room in
//! the pool run the same code in engines without one. HTTP components whose requests are brief have code of their own, and a
//! pool of its own for it. All engines but that of most programs, sequential ones whose time is measured, are made when the
//! first container comes that needs them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nacelle_container::CreateError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address_space::Layout;
use crate::cache::Cache;
use crate::config::{Compiler, Pooling};
use crate::engine::{Code, Metering};
use crate::model::Model;
use crate::places::Place;
use crate::programs::Programs;
use crate::runtime::Runtime;

/// How many instances that serve brief requests there may be at a time. There are never many that are brief; what finds
/// no room runs the code that all have.
pub(crate) const BRIEF_INSTANCES: u32 = 128;

/// The engines of a backend, with their programs.
pub(crate) struct Engines {
    time: Programs,
    /// For containers outside of the pool, where `time` has one.
    outside: OnceLock<Programs>,
    fuel: OnceLock<Programs>,
    brief: OnceLock<Programs>,
    brief_places: Arc<Semaphore>,
    /// Held while one of them is being made.
    making: Mutex<()>,
    /// The pool of `time`, if it has one.
    pool: Option<Pooling>,
    layout: Layout,
    cache: Cache,
    compiler: Compiler,
}

impl Engines {
    pub(crate) fn new(pooling: Pooling, layout: Layout, cache: Cache, compiler: Compiler) -> wasmtime::Result<Self> {
        let code = |model| Code { layout, metering: Metering::Time, model };
        let sequential = Runtime::started(code(Model::Sequential), pooling)?;
        let pool = sequential.is_pooled().then_some(pooling);
        let runtimes = [sequential, Runtime::new(code(Model::Concurrent), pooling)?];
        let time = Programs::new(runtimes, cache.clone(), compiler.clone());
        Ok(Self {
            time,
            outside: OnceLock::new(),
            fuel: OnceLock::new(),
            brief: OnceLock::new(),
            brief_places: Arc::new(Semaphore::new(usize::try_from(BRIEF_INSTANCES).unwrap_or(0))),
            making: Mutex::new(()),
            pool,
            layout,
            cache,
            compiler,
        })
    }

    /// The pool that containers find room in, if there is one.
    pub(crate) fn pool(&self) -> Option<Pooling> {
        self.pool
    }

    /// The programs of containers that are not held to any fuel and find room in the pool.
    pub(crate) fn time(&self) -> &Programs {
        &self.time
    }

    /// The programs of containers that are metered like this and have this place.
    pub(crate) fn programs(&self, metering: Metering, place: &Place) -> Result<&Programs, CreateError> {
        match (metering, place) {
            // Their engines have no pools: these containers are few, and a pool takes address space.
            (Metering::Fuel, _) => self.other(&self.fuel, self.layout, metering, Pooling::OnDemand),
            (Metering::Time, Place::Outside { .. }) if self.pool.is_some() => {
                self.other(&self.outside, self.layout, metering, Pooling::OnDemand)
            }
            (Metering::Time, _) => Ok(&self.time),
        }
    }

    /// The programs that serve brief requests, for components whose container is in the pool.
    pub(crate) fn brief(&self) -> Result<&Programs, CreateError> {
        self.other(&self.brief, Layout::Checked, Metering::Time, Pooling::Pooled { instances: BRIEF_INSTANCES })
    }

    /// Room for an instance of one of these programs.
    pub(crate) fn brief_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.brief_places).try_acquire_owned().ok()
    }

    /// Programs in engines that are made when they are first needed.
    fn other<'a>(
        &self,
        cell: &'a OnceLock<Programs>,
        layout: Layout,
        metering: Metering,
        pooling: Pooling,
    ) -> Result<&'a Programs, CreateError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(programs) = cell.get() {
            return Ok(programs);
        }
        let runtime = |model| {
            Runtime::new(Code { layout, metering, model }, pooling)
                .map_err(|error| CreateError::Other(format!("cannot set up another WebAssembly engine: {error:#}")))
        };
        let runtimes = [runtime(Model::Sequential)?, runtime(Model::Concurrent)?];
        Ok(cell.get_or_init(|| Programs::new(runtimes, self.cache.clone(), self.compiler.clone())))
    }

    /// Ends the slices of all guests that run.
    pub(crate) fn tick(&self) {
        self.time.tick();
        for programs in [&self.outside, &self.fuel, &self.brief].into_iter().filter_map(OnceLock::get) {
            programs.tick();
        }
    }
}
