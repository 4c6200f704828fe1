//! The engines of a backend, one for each kind of metering, and the programs that were compiled for each.
//!
//! Code that counts fuel is slower, so only containers with a budget of it run such code. Their engine is made when the
//! first of them is created.

use std::sync::{Mutex, OnceLock, PoisonError};

use nacelle_container::CreateError;
use wasmtime::Engine;

use crate::address_space::Layout;
use crate::cache::Cache;
use crate::config::{Compiler, Pooling};
use crate::engine::{Code, Metering, run_engine};
use crate::linker;
use crate::programs::Programs;

/// An engine and the programs that it runs.
pub(crate) struct Runner {
    pub(crate) engine: Engine,
    pub(crate) programs: Programs,
}

/// The engines of a backend.
pub(crate) struct Engines {
    time: Runner,
    fuel: OnceLock<Runner>,
    /// Held while that is being made.
    making: Mutex<()>,
    layout: Layout,
    cache: Cache,
    compiler: Compiler,
}

impl Engines {
    pub(crate) fn new(pooling: Pooling, layout: Layout, cache: Cache, compiler: Compiler) -> wasmtime::Result<Self> {
        let time = runner(pooling, Code { layout, metering: Metering::Time }, &cache, &compiler)?;
        Ok(Self { time, fuel: OnceLock::new(), making: Mutex::new(()), layout, cache, compiler })
    }

    /// The engine for containers that are not held to any fuel.
    pub(crate) fn time(&self) -> &Runner {
        &self.time
    }

    /// The engine whose guests count fuel. It has no pool: these containers are few, and a pool takes address space.
    pub(crate) fn fuel(&self) -> Result<&Runner, CreateError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fuel) = self.fuel.get() {
            return Ok(fuel);
        }
        let code = Code { layout: self.layout, metering: Metering::Fuel };
        let made = runner(Pooling::OnDemand, code, &self.cache, &self.compiler)
            .map_err(|error| CreateError::Other(format!("cannot set up an engine that counts fuel: {error:#}")))?;
        Ok(self.fuel.get_or_init(|| made))
    }

    /// Ends the slices of all guests that run.
    pub(crate) fn tick(&self) {
        self.time.engine.increment_epoch();
        if let Some(fuel) = self.fuel.get() {
            fuel.engine.increment_epoch();
        }
    }
}

fn runner(pooling: Pooling, code: Code, cache: &Cache, compiler: &Compiler) -> wasmtime::Result<Runner> {
    let engine = run_engine(pooling, code)?;
    let linker = linker::linker(&engine)?;
    Ok(Runner { programs: Programs::new(engine.clone(), linker, cache.clone(), compiler.clone()), engine })
}
