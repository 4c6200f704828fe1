//! The engines of a backend, for each kind of metering and each [`Model`], and the programs that were compiled for each.
//!
//! Code that counts fuel is slower, so only containers with a budget of it run such code. All engines but that of most
//! programs, sequential ones whose time is measured, are made when the first container comes that needs them.

use std::sync::{Mutex, OnceLock, PoisonError};

use nacelle_container::CreateError;

use crate::address_space::Layout;
use crate::cache::Cache;
use crate::config::{Compiler, Pooling};
use crate::engine::{Code, Metering};
use crate::model::Model;
use crate::programs::Programs;
use crate::runtime::Runtime;

/// The engines of a backend, with their programs.
pub(crate) struct Engines {
    time: Programs,
    fuel: OnceLock<Programs>,
    /// Held while that is being made.
    making: Mutex<()>,
    layout: Layout,
    cache: Cache,
    compiler: Compiler,
}

impl Engines {
    pub(crate) fn new(pooling: Pooling, layout: Layout, cache: Cache, compiler: Compiler) -> wasmtime::Result<Self> {
        let code = |model| Code { layout, metering: Metering::Time, model };
        let runtimes =
            [Runtime::started(code(Model::Sequential), pooling)?, Runtime::new(code(Model::Concurrent), pooling)?];
        let time = Programs::new(runtimes, cache.clone(), compiler.clone());
        Ok(Self { time, fuel: OnceLock::new(), making: Mutex::new(()), layout, cache, compiler })
    }

    /// The programs of containers that are not held to any fuel.
    pub(crate) fn time(&self) -> &Programs {
        &self.time
    }

    /// The programs that count fuel. Their engines have no pools: these containers are few, and a pool takes address
    /// space.
    pub(crate) fn fuel(&self) -> Result<&Programs, CreateError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fuel) = self.fuel.get() {
            return Ok(fuel);
        }
        let runtime = |model| {
            let code = Code { layout: self.layout, metering: Metering::Fuel, model };
            Runtime::new(code, Pooling::OnDemand)
                .map_err(|error| CreateError::Other(format!("cannot set up an engine that counts fuel: {error:#}")))
        };
        let runtimes = [runtime(Model::Sequential)?, runtime(Model::Concurrent)?];
        Ok(self.fuel.get_or_init(|| Programs::new(runtimes, self.cache.clone(), self.compiler.clone())))
    }

    /// Ends the slices of all guests that run.
    pub(crate) fn tick(&self) {
        self.time.tick();
        if let Some(fuel) = self.fuel.get() {
            fuel.tick();
        }
    }
}
