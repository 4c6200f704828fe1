//! Finding, compiling and loading programs, each once.
//!
//! ```text
//!   in memory? ──yes──────────────────────────────────────────────► Ready
//!      │ no: one task per program from here on
//!   in the cache, whole? ──yes── load ── link ────────────────────►   "
//!      │ no: look which engine it needs; one process per key from here on (flock)
//!   in the cache by now? ──no── compile ── store ── load ── link ─►   "
//! ```
//!
//! A program in the cache is there under the key of its engine, so that finding it means knowing which it needs.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nacelle_container::CreateError;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::{Cache, Key};
use crate::compile::{self, CompileError, Job};
use crate::config::Compiler;
use crate::model::Model;
use crate::program::{self, Entry};
use crate::runtime::Runtime;

/// All programs of a backend that are metered alike.
pub(crate) struct Programs {
    runtimes: [Runtime; 2],
    cache: Cache,
    compiler: Compiler,
    loaded: Mutex<HashMap<String, Arc<Slot>>>,
}

/// A program that is ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Ready {
    /// Its entry point.
    pub(crate) entry: Arc<Entry>,
    /// The engine that it belongs to.
    pub(crate) engine: Engine,
    /// How that runs it.
    pub(crate) model: Model,
}

/// One program and what it is run by: locked by the task that loads it, gone from memory when no container uses it.
type Slot = tokio::sync::Mutex<Option<(Model, Weak<Entry>)>>;

/// Why the cache could not be asked.
enum LoadError {
    /// The digest is none.
    Digest(String),
    Create(CreateError),
}

impl LoadError {
    fn or(self, bad: impl FnOnce(String) -> CreateError) -> CreateError {
        match self {
            Self::Digest(reason) => bad(reason),
            Self::Create(error) => error,
        }
    }
}

impl Programs {
    /// For programs without concurrency, and for the others.
    pub(crate) fn new(runtimes: [Runtime; 2], cache: Cache, compiler: Compiler) -> Self {
        Self { runtimes, cache, compiler, loaded: Mutex::default() }
    }

    /// Ends the slices of all guests that run.
    pub(crate) fn tick(&self) {
        self.runtimes.iter().for_each(Runtime::tick);
    }

    /// The program at `path` with this digest, ready to be instantiated.
    pub(crate) async fn get(&self, path: &Path, digest: &str) -> Result<Ready, CreateError> {
        let slot = self.slot(digest);
        let mut slot = slot.lock().await;
        if let Some(ready) = self.loaded(&slot).await? {
            return Ok(ready);
        }
        let bad = |reason| CreateError::BadProgram { path: path.display().to_string(), reason };
        let (runtime, component) = match self.load(digest).await.map_err(|error| error.or(bad))? {
            Some(loaded) => loaded,
            None => {
                let program = path.to_owned();
                let runtime = self.runtime(blocking(move || compile::model(&program)).await?);
                let key = Key::new(digest, &runtime.compatibility).map_err(bad)?;
                (runtime, self.compile(runtime, &key, path, digest).await?)
            }
        };
        self.link(&mut slot, runtime, &component, path).await
    }

    /// The program with this digest, if it is in memory or in the cache.
    pub(crate) async fn find(&self, digest: &str) -> Result<Option<Ready>, CreateError> {
        let slot = self.slot(digest);
        let mut slot = slot.lock().await;
        if let Some(ready) = self.loaded(&slot).await? {
            return Ok(Some(ready));
        }
        let bad = |reason| CreateError::BadProgram { path: digest.to_owned(), reason };
        match self.load(digest).await.map_err(|error| error.or(bad))? {
            Some((runtime, component)) => self.link(&mut slot, runtime, &component, Path::new(digest)).await.map(Some),
            None => Ok(None),
        }
    }

    /// A file without a name, on the disk that the cache is on.
    pub(crate) fn unnamed_file(&self) -> io::Result<File> {
        self.cache.unnamed_file()
    }

    fn slot(&self, digest: &str) -> Arc<Slot> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        // Slots that nobody waits for and whose program is gone.
        let is_loaded = |slot: &Option<(Model, Weak<Entry>)>| slot.as_ref().is_some_and(|it| it.1.strong_count() > 0);
        loaded.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|slot| is_loaded(&slot)));
        Arc::clone(loaded.entry(digest.to_owned()).or_default())
    }

    async fn loaded(&self, slot: &Option<(Model, Weak<Entry>)>) -> Result<Option<Ready>, CreateError> {
        let Some((model, entry)) = slot else { return Ok(None) };
        let Some(entry) = entry.upgrade() else { return Ok(None) };
        let parts = self.runtime(*model).parts().await?;
        Ok(Some(Ready { entry, engine: parts.engine.clone(), model: *model }))
    }

    async fn link(
        &self,
        slot: &mut Option<(Model, Weak<Entry>)>,
        runtime: &Runtime,
        component: &Component,
        path: &Path,
    ) -> Result<Ready, CreateError> {
        let parts = runtime.parts().await?;
        let entry = Arc::new(program::link(&parts.linker, component, path)?);
        *slot = Some((runtime.code.model, Arc::downgrade(&entry)));
        Ok(Ready { entry, engine: parts.engine.clone(), model: runtime.code.model })
    }

    fn runtime(&self, model: Model) -> &Runtime {
        let [sequential, concurrent] = &self.runtimes;
        if concurrent.code.model == model { concurrent } else { sequential }
    }

    /// The program from the cache, with what runs it.
    async fn load(&self, digest: &str) -> Result<Option<(&Runtime, Component)>, LoadError> {
        for runtime in &self.runtimes {
            let key = Key::new(digest, &runtime.compatibility).map_err(LoadError::Digest)?;
            if let Some(component) = self.load_cached(runtime, &key).await.map_err(LoadError::Create)? {
                return Ok(Some((runtime, component)));
            }
        }
        Ok(None)
    }

    async fn compile(&self, runtime: &Runtime, key: &Key, path: &Path, digest: &str) -> Result<Component, CreateError> {
        let (cache, locked) = (self.cache.clone(), key.clone());
        let lock = blocking(move || cache.lock(&locked)).await?.map_err(cache_error)?;
        if let Some(component) = self.load_cached(runtime, key).await? {
            return Ok(component);
        }
        let scratch = self.cache.scratch(key).map_err(cache_error)?;
        tracing::debug!(path = %path.display(), digest, "compiling");
        let job = Job { input: path, output: &scratch, digest, compatibility: &runtime.compatibility };
        let engine = &runtime.parts().await?.engine;
        compile::compile(&self.compiler, engine, job).await.map_err(|error| match error {
            CompileError::BadProgram(reason) => CreateError::BadProgram { path: path.display().to_string(), reason },
            CompileError::Failed(_) => CreateError::Other(format!("{}: {error}", path.display())),
        })?;
        let (cache, stored) = (self.cache.clone(), key.clone());
        let code = blocking(move || cache.store(&stored, scratch)).await?.map_err(cache_error)?;
        let loaded = load_code(engine, code).await?;
        // Only now: nobody prunes an entry that is locked.
        drop(lock);
        loaded.map_err(|error| {
            CreateError::Other(format!("{}: the compiled program cannot be loaded: {error:#}", path.display()))
        })
    }

    /// The component from the cache, if it has an entry that fits.
    async fn load_cached(&self, runtime: &Runtime, key: &Key) -> Result<Option<Component>, CreateError> {
        let (cache, wanted) = (self.cache.clone(), key.clone());
        let Some(code) = blocking(move || cache.find(&wanted)).await? else {
            return Ok(None);
        };
        match load_code(&runtime.parts().await?.engine, code.clone()).await? {
            Ok(component) => Ok(Some(component)),
            Err(error) => {
                tracing::warn!(path = %code.display(), %error, "foreign entry in the compilation cache; compiling again");
                Ok(None)
            }
        }
    }
}

async fn load_code(engine: &Engine, code: PathBuf) -> Result<wasmtime::Result<Component>, CreateError> {
    let engine = engine.clone();
    blocking(move || crate::aot::load(&engine, &code)).await
}

fn cache_error(error: std::io::Error) -> CreateError {
    CreateError::Other(format!("compilation cache: {error}"))
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CreateError> {
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|error| CreateError::Other(format!("the runtime failed while it loaded a program: {error}")))
}
