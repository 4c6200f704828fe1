//! The backend: what all containers of this process share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use nacelle_container::output::OutputSender;
use nacelle_container::stats::CpuStats;
use nacelle_container::{
    Backend, Container, ContainerConfig, ContainerInfra, CreateError, PodLimits, PodUid, Program, UpdateError,
};
use nacelle_infra::memory::Part;
use tokio::io::AsyncRead;

use crate::address_space::Layout;
use crate::cache::Cache;
use crate::config::WasmConfig;
use crate::container::WasmContainer;
use crate::count::Count;
use crate::engine::Metering;
use crate::engines::Engines;
use crate::exec::{Execs, Surroundings};
use crate::filesystem::ContainerFiles;
use crate::flag::Control;
use crate::fuel::FuelAccount;
use crate::guest::Launch;
use crate::http::{Bounds, Outgoing, Tls};
use crate::memory::{self, MemoryRefused};
use crate::places::{Place, Places};
use crate::pod_interface::{Facts, calls};
use crate::pods::Pods;
use crate::program::Entry;
use crate::sched::{Executor, Spawner};

/// Runs WebAssembly components and core modules.
///
/// Guests run on threads of the backend's own; its async methods may be called on any tokio runtime. Dropping the
/// backend while containers run ends neither: they keep what they need.
pub struct WasmBackend {
    engines: Arc<Engines>,
    places: Places,
    executor: Arc<Executor>,
    pods: Pods,
    tls: Arc<Tls>,
    bounds: Bounds,
}

/// Why a backend could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WasmError {
    /// The directory of the ahead-of-time cache cannot be used.
    #[error("compilation cache {}: {source}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The WebAssembly engine does not work on this machine.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    /// A thread could not be started.
    #[error("cannot start a thread for WebAssembly guests: {0}")]
    Thread(#[source] std::io::Error),
}

impl WasmBackend {
    /// Sets up the engine, the cache and the threads.
    ///
    /// # Errors
    /// [`WasmError`], see its variants.
    pub fn new(config: WasmConfig) -> Result<Self, WasmError> {
        // Outgoing https needs a provider; another part of the program may have installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cache = Cache::open(&config.cache_dir)
            .map_err(|source| WasmError::Cache { path: config.cache_dir.clone(), source })?;
        let engine_error = |error: wasmtime::Error| WasmError::Engine(format!("{error:#}"));
        let layout = Layout::of(config.address_space);
        let engines = Engines::new(config.pooling, layout, cache, config.compiler).map_err(engine_error)?;
        let places = Places::new(engines.pool());
        let engines = Arc::new(engines);
        let ticked = Arc::clone(&engines);
        let interrupt = move || ticked.tick();
        let executor = Executor::new(config.worker_threads, interrupt).map_err(WasmError::Thread)?;
        Ok(Self {
            engines,
            places,
            executor: Arc::new(executor),
            pods: Pods::default(),
            tls: Tls::new(config.http_roots),
            bounds: Bounds { concurrency: config.http_concurrency, wait: config.http_wait, idle: config.http_idle },
        })
    }

    /// Compiles a program into the cache, if it is not there yet, and checks that it can be run: what
    /// [`create`](Backend::create) would do first.
    ///
    /// # Errors
    /// [`CreateError`] when it cannot be run.
    pub async fn prepare(&self, program: &Program) -> Result<(), CreateError> {
        let (path, digest) = wasm(program)?;
        self.engines.time().get(path, digest).await.map(drop)
    }
}

#[async_trait]
impl Backend for WasmBackend {
    async fn create(
        &self,
        config: ContainerConfig,
        infra: ContainerInfra,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
    ) -> Result<Arc<dyn Container>, CreateError> {
        let (path, digest) = wasm(&config.program)?;
        let fuel = config.resources.fuel.map(FuelAccount::new);
        let metering = if fuel.is_some() { Metering::Fuel } else { Metering::Time };
        let place = self.places.take(metering)?;
        let programs = self.engines.programs(metering, &place)?;
        let main = programs.get(path, digest).await?;
        let (program, entry) = (main.clone(), Arc::clone(&main.entry));
        // Other code needs a pool of its own.
        let brief = matches!(place, Place::Pool { .. }).then(|| Arc::clone(&self.engines));
        memory::admit(&infra.memory, config.resources.memory, entry.initial_memory()).map_err(
            |MemoryRefused { scope, limit, asked: needed }| CreateError::MemoryLimitTooLow { scope, limit, needed },
        )?;
        if let Some(signal) = &config.stop_signal
            && !entry.asks_for_termination()
        {
            tracing::warn!(
                container = %config.id, signal,
                "lifecycle.stopSignal has no effect: the component does not import nacelle:pod/termination"
            );
        }
        let buffers = Arc::clone(infra.memory.part(Part::Buffers));
        let pod = self.pods.group(&config.id.pod, config.pod_cpu, &self.executor);
        let cpu = pod.container(config.resources.cpu);
        let spawner = Spawner::Group(cpu.clone());
        let control = Arc::new(Control::new());
        let facts = Facts::new(&config, Arc::clone(&control), infra.info.clone());
        // Only this kind of guest does two things at a time.
        let (caller, calls) = matches!(*main.entry, Entry::Command3(_)).then(calls).unzip();
        let (outgoing, instances) =
            (Outgoing::new(Arc::clone(&infra.network), Arc::clone(&self.tls), buffers, spawner), Count::default());
        let execs = Execs::new(Surroundings {
            engines: Arc::clone(&self.engines),
            place,
            main,
            config: config.clone(),
            infra: infra.clone(),
            outgoing: Arc::clone(&outgoing),
            fuel: fuel.clone(),
            instances: instances.clone(),
            cpu: cpu.clone(),
            executor: Arc::clone(&self.executor),
            facts: Arc::clone(&facts),
            caller,
        });
        let launch = Launch {
            program,
            brief,
            files: Arc::new(ContainerFiles::open(&infra.files, &config.working_dir)?),
            outgoing,
            output,
            terminal: false,
            fuel,
            instances,
            facts,
            infra,
            control,
            config,
        };
        let executor = Arc::clone(&self.executor);
        let container = WasmContainer::create(launch, calls, execs, stdin, executor, cpu, self.bounds);
        Ok(Arc::new(container.await?))
    }

    async fn update_pod(&self, pod: &PodUid, limits: &PodLimits) -> Result<(), UpdateError> {
        self.pods.update(pod, limits.cpu);
        Ok(())
    }

    fn pod_cpu(&self, pod: &PodUid) -> CpuStats {
        self.pods.usage(pod).into()
    }

    async fn remove_pod(&self, pod: &PodUid, _dir: &Path) {
        self.pods.remove(pod);
    }
}

/// The file and the digest of a program, if it is one for this backend.
fn wasm(program: &Program) -> Result<(&Path, &str), CreateError> {
    match program {
        Program::Wasm { path, digest } => Ok((path, digest)),
        Program::Linux(_) => Err(CreateError::Other("the WebAssembly backend runs no Linux programs".to_owned())),
    }
}
