//! The baseline: wasmtime as its own documentation embeds it, with nothing of nacelle.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxView, WasiView};

/// Wasmtime with its default settings, but for metering.
pub struct Bare {
    engine: Engine,
    linker: Linker<State>,
    metering: Metering,
}

/// How wasmtime interrupts a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metering {
    /// It does not.
    #[default]
    None,
    /// The guest yields at each tick of an epoch, every so often.
    Epoch(Duration),
    /// The guest yields each time it has used so much fuel.
    Fuel(u64),
}

/// What a guest of bare wasmtime can reach.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The kernel's sockets.
    pub network: bool,
    /// A directory, at `/folder`.
    pub folder: Option<&'a Path>,
    /// File operations on the guest's own thread, which is not wasmtime-wasi's default.
    pub inline_files: bool,
}

struct State {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

impl Bare {
    /// An engine and a linker with all of WASI 0.2.
    ///
    /// # Errors
    /// When wasmtime refuses its settings.
    pub fn new() -> Result<Self> {
        Self::metered(Metering::None)
    }

    /// As [`Bare::new`], with a metering. Epochs tick until the engine is dropped.
    ///
    /// # Errors
    /// When wasmtime refuses its settings.
    pub fn metered(metering: Metering) -> Result<Self> {
        Self::of(Config::new(), metering)
    }

    /// As [`Bare::metered`], but its code checks each access to memory itself, in place of guard pages.
    ///
    /// # Errors
    /// When wasmtime refuses its settings.
    pub fn checked(metering: Metering) -> Result<Self> {
        let mut config = Config::new();
        config.signals_based_traps(false).memory_guard_size(0);
        Self::of(config, metering)
    }

    fn of(mut config: Config, metering: Metering) -> Result<Self> {
        match metering {
            Metering::None => {}
            Metering::Epoch(_) => drop(config.epoch_interruption(true)),
            Metering::Fuel(_) => drop(config.consume_fuel(true)),
        }
        let engine = Engine::new(&config)?;
        if let Metering::Epoch(tick) = metering {
            let engine = engine.weak();
            std::thread::spawn(move || {
                while let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                    std::thread::sleep(tick);
                }
            });
        }
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Ok(Self { engine, linker, metering })
    }

    /// Compiles a component.
    ///
    /// # Errors
    /// When the file is not a component.
    pub fn compile(&self, path: &Path) -> Result<Component> {
        Ok(Component::from_file(&self.engine, path)?)
    }

    /// Runs a command component to its end and returns what it printed.
    ///
    /// # Errors
    /// When the guest fails.
    pub async fn run(&self, component: &Component, args: &[&str]) -> Result<Vec<u8>> {
        self.run_in(component, args, Surroundings::default()).await
    }

    /// As [`Bare::run`], with something to reach.
    ///
    /// # Errors
    /// When the guest fails, or a directory cannot be opened.
    pub async fn run_in(&self, component: &Component, args: &[&str], around: Surroundings<'_>) -> Result<Vec<u8>> {
        let stdout = MemoryOutputPipe::new(1 << 20);
        let mut builder = WasiCtx::builder();
        builder.args(args).stdout(stdout.clone());
        if around.network {
            builder.inherit_network().allow_tcp(true).allow_ip_name_lookup(true);
        }
        if around.inline_files {
            builder.allow_blocking_current_thread(true);
        }
        if let Some(folder) = around.folder {
            builder.preopened_dir(folder, "/folder", FsPerms::ReadWrite)?;
        }
        let ctx = builder.build();
        let mut store = Store::new(&self.engine, State { ctx, table: ResourceTable::new() });
        match self.metering {
            Metering::None => {}
            Metering::Epoch(_) => {
                store.set_epoch_deadline(1);
                store.epoch_deadline_async_yield_and_update(1);
            }
            Metering::Fuel(interval) => {
                store.set_fuel(u64::MAX)?;
                store.fuel_async_yield_interval(Some(interval))?;
            }
        }
        let command = Command::instantiate_async(&mut store, component, &self.linker).await?;
        match command.wasi_cli_run().call_run(&mut store).await {
            Ok(ended) => ended.ok().context("the guest failed")?,
            // A guest that calls exit unwinds through the host.
            Err(error) if error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(stdout.contents().to_vec())
    }
}
