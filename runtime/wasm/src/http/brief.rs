//! Code of its own for a component whose requests are brief.
//!
//! ```text
//!   guarded code ──requests are brief, and so many──► compiled once more, beside ──► checked code
//!        ▲                                                                             │
//!        └──────────────── requests are long, or there is no room ─────────────────────┘
//! ```
//!
//! Guard pages make code fast: it need not check where it reads and writes. But each instance's memory then has to be
//! protected anew, and again whenever it grows, and a change of protection stops all threads of the process. An instance
//! that serves one short request costs twice as much by that. So such a component gets code that checks bounds itself, in
//! an engine without guard pages ([`Layout::Checked`](crate::address_space::Layout)). Guests cannot tell the two apart.
//!
//! Only fresh instances do, of containers that are in the pool. Which requests are brief is [`pace`](super::pace)'s to say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nacelle_container::{CreateError, Program};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::instances::Instances;
use super::pace::{Pace, Verdict};
use crate::engines::{BRIEF_INSTANCES, Engines};
use crate::programs::{Programs, Ready};

/// A container's code for brief requests.
pub(super) struct Brief {
    engines: Arc<Engines>,
    pace: Mutex<Pace>,
    /// Whether its requests are brief.
    is_wanted: AtomicBool,
    /// Whether it has been asked for.
    is_asked: AtomicBool,
    code: OnceLock<Checked>,
}

/// The component in an engine of its own.
struct Checked {
    program: Ready,
    places: Arc<Semaphore>,
    /// The engine's slices end as long as this is there.
    _programs: Arc<Programs>,
    _leave: OwnedSemaphorePermit,
}

/// What one instance is made of.
pub(super) struct Chosen<'a> {
    pub(super) program: &'a Ready,
    /// Its place in the pool, as long as there is the instance.
    pub(super) place: OwnedSemaphorePermit,
}

impl Brief {
    /// None yet.
    pub(super) fn new(engines: Arc<Engines>) -> Self {
        Self {
            engines,
            pace: Mutex::default(),
            is_wanted: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            code: OnceLock::new(),
        }
    }

    /// What the next instance is to be made of, if not of the container's usual code.
    pub(super) fn choose(&self) -> Option<Chosen<'_>> {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return None;
        }
        let code = self.code.get()?;
        Some(Chosen { program: &code.program, place: Arc::clone(&code.places).try_acquire_owned().ok()? })
    }

    /// An instance of `instances` was made within this time, and served its request and was cleared away within that.
    pub(super) fn served(&self, instances: &Arc<Instances>, making: Duration, serving: Duration) {
        // Nothing that it does can panic half way.
        let verdict = self.pace.lock().unwrap_or_else(PoisonError::into_inner).served(making, serving);
        let is_brief = verdict == Verdict::Brief;
        if self.is_wanted.load(Ordering::Relaxed) != is_brief {
            self.is_wanted.store(is_brief, Ordering::Relaxed);
        }
        if is_brief && !self.is_asked.load(Ordering::Relaxed) {
            self.prepare(instances);
        }
    }

    /// Has the program compiled, beside whatever else there is to do; once. It goes on as before where that fails.
    fn prepare(&self, instances: &Arc<Instances>) {
        let Program::Wasm { path, digest } = &instances.launch.config.program else { return };
        // Where too many others have theirs, it is tried again.
        let Some(leave) = self.engines.may_have_brief() else { return };
        if self.is_asked.swap(true, Ordering::Relaxed) {
            return;
        }
        let (path, digest, engines) = (path.clone(), digest.clone(), Arc::clone(&self.engines));
        let control = Arc::clone(&instances.launch.control);
        // Who holds the instances keeps the container.
        let weak = Arc::downgrade(instances);
        let fetch = async move {
            let programs = engines.brief()?;
            let program = programs.get(&path, &digest).await?;
            // Where there was no room for the pool, each instance would map its memory: that costs more than it saves.
            if program.engine.pooling_allocator_metrics().is_some()
                && let Some(instances) = weak.upgrade()
                && let Some(brief) = &instances.brief
            {
                tracing::debug!(digest, "from now on brief requests have code of their own");
                let places = Arc::new(Semaphore::new(usize::try_from(BRIEF_INSTANCES).unwrap_or(0)));
                let _ = brief.code.set(Checked { program, places, _programs: programs, _leave: leave });
            }
            Ok::<_, CreateError>(())
        };
        instances.spawn(async move {
            tokio::select! {
                biased;
                () = control.kill.wait() => {}
                fetched = fetch => if let Err(error) = fetched {
                    tracing::warn!(%error, "no code of their own for brief requests");
                },
            }
        });
    }
}
