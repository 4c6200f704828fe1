//! Finding, compiling and loading programs, each once.
//!
//! ```text
//!   in memory? ──yes──────────────────────────────────────────────► Entry
//!      │ no: one task per key from here on
//!   in the cache, whole? ──yes── load ── link ────────────────────►   "
//!      │ no: one process per key from here on (flock)
//!   in the cache by now? ──no── compile ── store ── load ── link ─►   "
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nacelle_container::CreateError;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::{Cache, Key};
use crate::compile::{self, CompileError, Job};
use crate::config::Compiler;
use crate::program::{self, Entry};
use crate::state::GuestState;

/// All programs of a backend.
pub(crate) struct Programs {
    engine: Engine,
    compatibility: String,
    linker: Linker<GuestState>,
    cache: Cache,
    compiler: Compiler,
    loaded: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// One program: locked by the task that loads it, gone from memory when no container uses it.
type Slot = tokio::sync::Mutex<Weak<Entry>>;

impl Programs {
    pub(crate) fn new(engine: Engine, linker: Linker<GuestState>, cache: Cache, compiler: Compiler) -> Self {
        let compatibility = crate::engine::compatibility_key(&engine);
        Self { engine, compatibility, linker, cache, compiler, loaded: Mutex::default() }
    }

    /// The program at `path` with this digest, ready to be instantiated.
    pub(crate) async fn get(&self, path: &Path, digest: &str) -> Result<Arc<Entry>, CreateError> {
        let key = Key::new(digest, &self.compatibility)
            .map_err(|reason| CreateError::BadProgram { path: path.display().to_string(), reason })?;
        let slot = {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            // Slots that nobody waits for and whose program is gone.
            loaded.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|entry| entry.strong_count() > 0)
            });
            Arc::clone(loaded.entry(key.clone()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(entry) = slot.upgrade() {
            return Ok(entry);
        }
        let component = self.load(&key, path, digest).await?;
        let entry = Arc::new(program::link(&self.linker, &component, path)?);
        *slot = Arc::downgrade(&entry);
        Ok(entry)
    }

    async fn load(&self, key: &Key, path: &Path, digest: &str) -> Result<Component, CreateError> {
        if let Some(component) = self.load_cached(key).await? {
            return Ok(component);
        }
        let (cache, locked) = (self.cache.clone(), key.clone());
        let lock = blocking(move || cache.lock(&locked)).await?.map_err(cache_error)?;
        if let Some(component) = self.load_cached(key).await? {
            return Ok(component);
        }
        let scratch = self.cache.scratch(key).map_err(cache_error)?;
        tracing::debug!(path = %path.display(), digest, "compiling");
        let job = Job { input: path, output: &scratch, digest, compatibility: &self.compatibility };
        compile::compile(&self.compiler, &self.engine, job).await.map_err(|error| match error {
            CompileError::BadProgram(reason) => CreateError::BadProgram { path: path.display().to_string(), reason },
            CompileError::Failed(_) => CreateError::Other(format!("{}: {error}", path.display())),
        })?;
        let (cache, stored) = (self.cache.clone(), key.clone());
        let code = blocking(move || cache.store(&stored, scratch)).await?.map_err(cache_error)?;
        let loaded = self.load_code(code).await?;
        // Only now: nobody prunes an entry that is locked.
        drop(lock);
        loaded.map_err(|error| {
            CreateError::Other(format!("{}: the compiled program cannot be loaded: {error:#}", path.display()))
        })
    }

    /// The component from the cache, if it has an entry that fits.
    async fn load_cached(&self, key: &Key) -> Result<Option<Component>, CreateError> {
        let (cache, wanted) = (self.cache.clone(), key.clone());
        let Some(code) = blocking(move || cache.find(&wanted)).await? else {
            return Ok(None);
        };
        match self.load_code(code.clone()).await? {
            Ok(component) => Ok(Some(component)),
            Err(error) => {
                tracing::warn!(path = %code.display(), %error, "foreign entry in the compilation cache; compiling again");
                Ok(None)
            }
        }
    }

    async fn load_code(&self, code: PathBuf) -> Result<wasmtime::Result<Component>, CreateError> {
        let engine = self.engine.clone();
        blocking(move || crate::aot::load(&engine, &code)).await
    }
}

fn cache_error(error: std::io::Error) -> CreateError {
    CreateError::Other(format!("compilation cache: {error}"))
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CreateError> {
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|error| CreateError::Other(format!("the runtime failed while it loaded a program: {error}")))
}
