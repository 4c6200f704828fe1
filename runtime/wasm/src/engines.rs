//! The engines of a backend, for each kind of metering and each [`Model`], and the programs that were compiled for each.
//!
//! Code that counts fuel is slower, so only containers with a budget of it run such code. Containers that find no room in
//! the pool run the same code in engines without one. All engines but that of most programs, sequential ones whose time is
//! measured, are made when the first container comes that needs them.
//!
//! An HTTP component whose requests are brief has an engine of its own ([`Layout::Checked`]): what its instances leave
//! accessible, and so has to be looked through after each of them, is its own affair.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

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

/// How many components whose requests are brief have an engine of their own.
pub(crate) const BRIEF_COMPONENTS: usize = 16;
/// How many instances each of them has at a time. There are never many that are brief; what finds no room runs the code
/// that all have.
pub(crate) const BRIEF_INSTANCES: u32 = 32;

/// The engines of a backend, with their programs.
pub(crate) struct Engines {
    time: Programs,
    /// For containers outside of the pool, where `time` has one.
    outside: OnceLock<Programs>,
    fuel: OnceLock<Programs>,
    /// The engines of components whose requests are brief.
    brief: Mutex<Vec<Weak<Programs>>>,
    brief_left: Arc<Semaphore>,
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
            brief: Mutex::default(),
            brief_left: Arc::new(Semaphore::new(BRIEF_COMPONENTS)),
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
            (Metering::Fuel, _) => self.without_pool(&self.fuel, metering),
            (Metering::Time, Place::Outside { .. }) if self.pool.is_some() => {
                self.without_pool(&self.outside, metering)
            }
            (Metering::Time, _) => Ok(&self.time),
        }
    }

    /// Programs in engines without a pool, made when they are first needed.
    fn without_pool<'a>(&self, cell: &'a OnceLock<Programs>, metering: Metering) -> Result<&'a Programs, CreateError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(programs) = cell.get() {
            return Ok(programs);
        }
        let programs = self.made(self.layout, metering, Pooling::OnDemand)?;
        Ok(cell.get_or_init(|| programs))
    }

    /// Leave for one more component to have an engine of its own, for as long as it has that.
    pub(crate) fn may_have_brief(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.brief_left).try_acquire_owned().ok()
    }

    /// Programs in an engine of their own, for a component whose requests are brief and whose container is in the pool.
    pub(crate) fn brief(&self) -> Result<Arc<Programs>, CreateError> {
        let pooling = Pooling::Pooled { instances: BRIEF_INSTANCES };
        let programs = Arc::new(self.made(Layout::Checked, Metering::Time, pooling)?);
        let mut brief = self.brief.lock().unwrap_or_else(PoisonError::into_inner);
        brief.retain(|programs| programs.strong_count() > 0);
        brief.push(Arc::downgrade(&programs));
        Ok(programs)
    }

    fn made(&self, layout: Layout, metering: Metering, pooling: Pooling) -> Result<Programs, CreateError> {
        let runtime = |model| {
            Runtime::new(Code { layout, metering, model }, pooling)
                .map_err(|error| CreateError::Other(format!("cannot set up another WebAssembly engine: {error:#}")))
        };
        let runtimes = [runtime(Model::Sequential)?, runtime(Model::Concurrent)?];
        Ok(Programs::new(runtimes, self.cache.clone(), self.compiler.clone()))
    }

    /// Ends the slices of all guests that run.
    pub(crate) fn tick(&self) {
        self.time.tick();
        for programs in [&self.outside, &self.fuel].into_iter().filter_map(OnceLock::get) {
            programs.tick();
        }
        for programs in &*self.brief.lock().unwrap_or_else(PoisonError::into_inner) {
            if let Some(programs) = programs.upgrade() {
                programs.tick();
            }
        }
    }
}
