//! The content store.
//!
//! ```text
//! version            the format, "1"
//! lock               flock: shared while a lease or record is written, exclusive while things are removed
//! blobs/sha256/HEX   verified content, never changed
//! images/HEX.json    one record per reference (HEX is the digest of the reference's text)
//! rootfs/HEX/        the tree of a WebAssembly image, by chain id
//! layers/HEX/        one layer of a Linux image in overlayfs' form, by the chain id of it and those below
//! trees/HEX/         all layers of a Linux image in one tree, where root did not unpack it, by chain id
//! stamps/NAME        which inode a digest was verified of, so that it need not be hashed at each use
//! leases/ID          one per open store: what it uses; flock'd as long as its process lives
//! tmp/ID/            that store's unfinished files
//! ```
//!
//! Everything appears by rename of a finished, fsynced file, so a kill at any instant leaves at most files in `tmp/`
//! and `leases/`, which the next [`Store::open`] finds without an owner and removes.

mod blobs;
mod collect;
mod disk;
mod gc;
mod lease;
mod programs;
mod record;
mod stamps;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use collect::{Collected, DiskMarks};
pub use gc::{Pruned, Removed};
pub use lease::Lease;
pub(crate) use record::{Content, Record, SizedBlob};

use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::Clients;
use lease::Session;

const FORMAT: u32 = 1;

/// Where unpacked trees lie.
const TREES: [&str; 3] = ["rootfs", "layers", "trees"];

/// Images by digest, in a directory that several processes may use at the same time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    session: Arc<Session>,
    flights: Flights,
    clients: Clients,
    pulls: Arc<tokio::sync::Semaphore>,
}

/// Pulls at work at the same time; the others wait their turn. A thousand pods must not open a thousand connections.
const PULLS: usize = 64;

impl Store {
    /// Opens the store in the directory `root`, which is made (mode 0700) when missing, and clears away what killed
    /// processes left unfinished. Blocking.
    ///
    /// # Errors
    /// When the directory cannot be used, or was written by a newer version.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        disk::make_private_dir(root)?;
        for dir in ["blobs", "blobs/sha256", "images", "rootfs", "layers", "trees", "stamps", "leases", "tmp"] {
            disk::make_private_dir(&root.join(dir))?;
        }
        check_version(root)?;
        let session = Session::start(root)?;
        Ok(Self {
            inner: Arc::new(Inner {
                root: root.to_owned(),
                session: Arc::new(session),
                flights: Flights::default(),
                clients: Clients::default(),
                pulls: Arc::new(tokio::sync::Semaphore::new(PULLS)),
            }),
        })
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.inner.clients
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.inner.session
    }

    /// A directory for unfinished files, on the same file system as everything else.
    pub(crate) fn tmp(&self) -> &Path {
        self.inner.session.tmp()
    }

    pub(crate) fn rootfs_path(&self, chain: &Digest) -> PathBuf {
        self.inner.root.join("rootfs").join(chain.hex())
    }

    pub(crate) fn layer_path(&self, chain: &Digest) -> PathBuf {
        self.inner.root.join("layers").join(chain.hex())
    }

    pub(crate) fn tree_path(&self, chain: &Digest) -> PathBuf {
        self.inner.root.join("trees").join(chain.hex())
    }

    /// Waits for a turn to pull. The semaphore is never closed, so there always is one.
    pub(crate) async fn turn(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.inner.pulls.clone().acquire_owned().await.ok()
    }

    /// Waits until nobody else in this process works on `key`.
    pub(crate) async fn flight(&self, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        self.inner.flights.get(key).lock_owned().await
    }

    /// Taken while removing; excludes [`Self::lock_shared`] everywhere.
    fn lock_exclusive(&self) -> Result<disk::Flock, StoreError> {
        disk::lock(&self.inner.root, true)
    }

    fn lock_shared(&self) -> Result<disk::Flock, StoreError> {
        disk::lock(&self.inner.root, false)
    }
}

fn check_version(root: &Path) -> Result<(), StoreError> {
    let path = root.join("version");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == FORMAT.to_string() => Ok(()),
        Ok(text) if !text.trim().is_empty() => Err(StoreError::Version {
            path: root.to_owned(),
            found: text.trim().chars().take(20).collect(),
            understood: FORMAT,
        }),
        // Empty: a power failure while it was written for the first time.
        Ok(_) => disk::write_atomically(&path, format!("{FORMAT}\n").as_bytes(), root),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            disk::write_atomically(&path, format!("{FORMAT}\n").as_bytes(), root)
        }
        Err(source) => Err(StoreError::io("read", path, source)),
    }
}

/// One lock per thing that is being fetched or unpacked, so that it is done once.
#[derive(Debug, Default)]
struct Flights(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    fn get(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(existing) = map.get(key).and_then(Weak::upgrade) {
            return existing;
        }
        map.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::default();
        map.insert(key.to_owned(), Arc::downgrade(&flight));
        flight
    }
}

/// Runs file work where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Interrupted.into()),
    }
}
