//! An engine with the host functions that it offers to guests.

use nacelle_container::CreateError;
use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::config::Pooling;
use crate::engine::{self, Code};
use crate::linker::linker;
use crate::state::GuestState;

/// What runs one kind of code. Its engine is made when the first program comes that needs it.
pub(crate) struct Runtime {
    pub(crate) code: Code,
    /// What code for its engine is known by.
    pub(crate) compatibility: String,
    pooling: Pooling,
    parts: OnceCell<Parts>,
}

/// An engine and what it offers.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<GuestState>,
}

impl Runtime {
    /// One whose engine is made later.
    ///
    /// # Errors
    /// When no such engine works on this machine.
    pub(crate) fn new(code: Code, pooling: Pooling) -> wasmtime::Result<Self> {
        let compatibility = engine::compatibility_key(&engine::compile_engine(code)?);
        Ok(Self { code, compatibility, pooling, parts: OnceCell::new() })
    }

    /// One whose engine is made now, so that what is wrong with the machine shows early.
    ///
    /// # Errors
    /// As for [`Runtime::new`].
    pub(crate) fn started(code: Code, pooling: Pooling) -> wasmtime::Result<Self> {
        let parts = OnceCell::new_with(Some(Parts::new(code, pooling)?));
        Ok(Self { parts, ..Self::new(code, pooling)? })
    }

    /// The engine, and what it offers.
    pub(crate) async fn parts(&self) -> Result<&Parts, CreateError> {
        let start = async || Parts::new(self.code, self.pooling);
        let started = self.parts.get_or_try_init(start).await;
        started.map_err(|error| CreateError::Other(format!("cannot set up another WebAssembly engine: {error:#}")))
    }

    /// Whether it has an engine whose instances come from a pool.
    pub(crate) fn is_pooled(&self) -> bool {
        self.parts.get().is_some_and(|parts| parts.engine.pooling_allocator_metrics().is_some())
    }

    /// Ends the slices of all guests that run.
    pub(crate) fn tick(&self) {
        if let Some(parts) = self.parts.get() {
            parts.engine.increment_epoch();
        }
    }
}

impl Parts {
    fn new(code: Code, pooling: Pooling) -> wasmtime::Result<Self> {
        let engine = engine::run_engine(pooling, code)?;
        let linker = linker(&engine, code.model)?;
        Ok(Self { engine, linker })
    }
}
