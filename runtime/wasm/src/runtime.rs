//! An engine with what belongs to it: the host functions that it offers to guests, and the ticks of its epoch.

use nacelle_container::CreateError;
use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::backend::WasmError;
use crate::config::Pooling;
use crate::engine::{self, Ticker};
use crate::linker::linker;
use crate::model::Model;
use crate::state::GuestState;

/// What runs the guests of one model. Its engine is made when the first of them comes.
pub(crate) struct Runtime {
    pub(crate) model: Model,
    /// What code for its engine is known by.
    pub(crate) compatibility: String,
    pooling: Pooling,
    parts: OnceCell<Parts>,
}

/// An engine and what belongs to it.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<GuestState>,
    pub(crate) ticker: Ticker,
}

impl Runtime {
    /// One whose engine is made later.
    ///
    /// # Errors
    /// When no such engine works on this machine.
    pub(crate) fn new(model: Model, pooling: Pooling) -> Result<Self, WasmError> {
        let engine = engine::compile_engine(model).map_err(|error| engine_error(&error))?;
        let compatibility = engine::compatibility_key(&engine);
        Ok(Self { model, compatibility, pooling, parts: OnceCell::new() })
    }

    /// One whose engine is made now, so that what is wrong with the machine shows early.
    ///
    /// # Errors
    /// As for [`Runtime::new`], or when there is no thread for its ticks.
    pub(crate) fn started(model: Model, pooling: Pooling) -> Result<Self, WasmError> {
        let runtime = Self::new(model, pooling)?;
        let parts = OnceCell::new_with(Some(Parts::start(model, pooling)?));
        Ok(Self { parts, ..runtime })
    }

    /// The engine, and what belongs to it.
    pub(crate) async fn parts(&self) -> Result<&Parts, CreateError> {
        let start = async || Parts::start(self.model, self.pooling);
        self.parts.get_or_try_init(start).await.map_err(|error| CreateError::Other(error.to_string()))
    }
}

impl Parts {
    fn start(model: Model, pooling: Pooling) -> Result<Self, WasmError> {
        let engine = engine::run_engine(model, pooling).map_err(|error| engine_error(&error))?;
        let linker = linker(&engine, model).map_err(|error| engine_error(&error))?;
        let ticker = Ticker::spawn(&engine).map_err(WasmError::Thread)?;
        Ok(Self { engine, linker, ticker })
    }
}

fn engine_error(error: &wasmtime::Error) -> WasmError {
    WasmError::Engine(format!("{error:#}"))
}
