//! What the embedding program decides about the backend.

use std::path::PathBuf;
use std::time::Duration;

pub use crate::address_space::AddressSpace;

/// Configuration of a [`WasmBackend`](crate::WasmBackend).
#[derive(Clone, Debug)]
pub struct WasmConfig {
    /// Directory of the ahead-of-time cache. It is created with mode 0700 when it is missing; one that belongs to
    /// another user, or that others can write to, is refused: its content is machine code that will run here.
    pub cache_dir: PathBuf,
    /// Where programs are compiled.
    pub compiler: Compiler,
    /// How many threads run guests; 0 means one per CPU.
    pub worker_threads: usize,
    /// How instances get their memory, where there is ample address space.
    pub pooling: Pooling,
    /// How much address space the engine may take.
    pub address_space: AddressSpace,
    /// How many requests one HTTP component handles at a time; further requests wait.
    pub http_concurrency: usize,
    /// How long a request waits for its turn before it is answered with 503.
    pub http_wait: Duration,
    /// How long an instance of an HTTP component that may be reused waits for its next request before it is dropped.
    pub http_idle: Duration,
    /// Whom outgoing https requests trust.
    pub http_roots: TlsRoots,
}

impl WasmConfig {
    /// The defaults, with the cache at `cache_dir`.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            compiler: Compiler::InProcess,
            worker_threads: 0,
            pooling: Pooling::default(),
            address_space: AddressSpace::Detect,
            http_concurrency: 64,
            http_wait: Duration::from_secs(10),
            http_idle: Duration::from_secs(60),
            http_roots: TlsRoots::Host,
        }
    }
}

/// Where programs are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// In this process. The compiler's memory (about 300 MiB after a large program) stays resident.
    #[default]
    InProcess,
    /// In a child process, which gives its memory back when it ends.
    Subprocess {
        /// The program to run: one that passes the arguments after `args` on to
        /// [`compile_worker_main`](crate::compile_worker_main).
        exe: PathBuf,
        /// Arguments that make `exe` do so.
        args: Vec<String>,
    },
}

/// Whom outgoing https requests of guests trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsRoots {
    /// The host's root certificates, read when a guest first needs them. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    #[default]
    Host,
    /// These certificates, in DER.
    Certificates(Vec<Vec<u8>>),
}

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Each instance maps its own.
    OnDemand,
    /// Slots are reserved in advance, which makes instantiation two to three times faster. Where the address space
    /// does not suffice, the backend falls back to [`Pooling::OnDemand`].
    Pooled {
        /// The most instances of components at one time.
        instances: u32,
    },
}

/// The most instances of a node that may get any number of pods.
const INSTANCES: u32 = 2000;
/// Instances that a container may need at a time: its program, requests that it handles, programs run in it.
const INSTANCES_OF_CONTAINER: u32 = 128;

impl Pooling {
    /// A pool for a program that never runs more containers than these. A place that nobody uses costs little, but it
    /// does cost: 2,000 of them are made and given back in 8 ms.
    pub fn for_containers(containers: usize) -> Self {
        let containers = u32::try_from(containers).unwrap_or(u32::MAX);
        Self::Pooled { instances: containers.saturating_add(1).saturating_mul(INSTANCES_OF_CONTAINER).min(INSTANCES) }
    }
}

impl Default for Pooling {
    fn default() -> Self {
        Self::Pooled { instances: INSTANCES }
    }
}
