//! The baseline of density: guests of bare wasmtime that are instantiated, or sleep.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Waker};

use anyhow::Result;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::p2::bindings::{Command, CommandPre};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The most instances at a time: more than any case parks.
const INSTANCES: u32 = 5100;

/// A program that is ready to be instantiated by bare wasmtime.
pub struct Parked {
    engine: Engine,
    pre: CommandPre<State>,
}

/// What a guest of bare wasmtime can reach.
pub struct State {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// A guest that waits in the host.
pub type Sleeper = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

impl Parked {
    /// Compiles a command component; its instances come from a pool, or each maps its own memory.
    ///
    /// # Errors
    /// When wasmtime refuses its settings or the file.
    pub fn new(path: &Path, pooled: bool) -> Result<Self> {
        let mut config = Config::new();
        if pooled {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_component_instances(INSTANCES)
                .total_core_instances(INSTANCES * 10)
                .total_memories(INSTANCES * 2)
                .total_tables(INSTANCES * 4)
                .total_stacks(INSTANCES);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let pre = CommandPre::new(linker.instantiate_pre(&Component::from_file(&engine, path)?)?)?;
        Ok(Self { engine, pre })
    }

    /// An instance that has not run yet.
    ///
    /// # Errors
    /// When there is no room for it.
    pub async fn instantiate(&self) -> Result<(Store<State>, Command)> {
        let ctx = WasiCtx::builder().args(&["hello", "sleep", "3600"]).build();
        let mut store = Store::new(&self.engine, State { ctx, table: ResourceTable::new() });
        let command = self.pre.instantiate_async(&mut store).await?;
        Ok((store, command))
    }

    /// An instance whose guest has run until it sleeps.
    ///
    /// # Errors
    /// When there is no room for it.
    pub async fn park(&self) -> Result<Sleeper> {
        let (mut store, command) = self.instantiate().await?;
        let mut guest: Sleeper = Box::pin(async move {
            let _ = command.wasi_cli_run().call_run(&mut store).await?;
            Ok(())
        });
        // It gets as far as its sleep in one poll.
        let _ = guest.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        Ok(guest)
    }
}
