//! Leases: what each open store uses, told to all others.
//!
//! The file `leases/ID` is locked by its owner for as long as the owner lives; a kill frees it. It is a log: `+digest`
//! when something comes into use, `-digest` when it goes out. Whoever removes things holds the store's exclusive lock
//! and reads the logs of the living; whoever adds holds the shared lock, so nothing is removed between being leased
//! and being looked at.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Store, disk};
use crate::digest::Digest;
use crate::error::StoreError;

/// A log longer than this is written anew.
const COMPACT: u64 = 1 << 20;
/// A log longer than this is not one of ours.
const READ_LIMIT: u64 = 64 << 20;

/// Keeps an image from being removed, by any process, until the last clone is dropped or the process ends.
#[derive(Clone, Debug)]
pub struct Lease {
    _held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    session: Arc<Session>,
    digests: Vec<Digest>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.session.release(&self.digests);
    }
}

/// One open store: its log and its unfinished files.
#[derive(Debug)]
pub(crate) struct Session {
    path: PathBuf,
    tmp: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    log: disk::Flock,
    length: u64,
    counts: HashMap<Digest, usize>,
}

impl Session {
    /// Clears away sessions without an owner (unless another process is at work on the store right now: then it is
    /// left to the next) and starts a new one.
    pub(super) fn start(root: &Path) -> Result<Self, StoreError> {
        if let Some(_guard) = disk::try_lock(root)? {
            clear(root)?;
        }
        let _guard = disk::lock(root, false)?;
        let leases = root.join("leases");
        let failed = |source| StoreError::io("create", &leases, source);
        let file = tempfile::Builder::new().prefix("").rand_bytes(16).tempfile_in(&leases).map_err(failed)?;
        let (_, path) = file.keep().map_err(|error| failed(error.error))?;
        // O_APPEND, so that each line is one write. Nobody clears it away before it is locked: that takes the
        // exclusive lock.
        let log = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        log.lock().map_err(failed)?;
        let tmp = root.join("tmp").join(path.file_name().unwrap_or_default());
        disk::make_private_dir(&tmp)?;
        Ok(Self { path, tmp, state: Mutex::new(State { log: disk::Flock(log), length: 0, counts: HashMap::new() }) })
    }

    pub(super) fn tmp(&self) -> &Path {
        &self.tmp
    }

    fn release(&self, digests: &[Digest]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        for digest in digests {
            if let Some(count) = state.counts.get_mut(digest) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    state.counts.remove(digest);
                    let _ = writeln!(lines, "-{digest}");
                }
            }
        }
        // A failure keeps the image until this process ends: safe.
        if let Err(error) = state.append(&lines) {
            tracing::debug!(%error, "a lease could not be given back early");
        }
    }
}

impl State {
    fn append(&mut self, lines: &str) -> std::io::Result<()> {
        self.log.0.write_all(lines.as_bytes())?;
        self.length = self.length.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn compact(&mut self) -> std::io::Result<()> {
        let mut lines = String::new();
        for digest in self.counts.keys() {
            let _ = writeln!(lines, "+{digest}");
        }
        self.log.0.set_len(0)?;
        self.length = 0;
        self.append(&lines)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.tmp);
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Takes `digests` (blobs and chain ids) into use. What is in the store from now on stays. Blocking.
    pub(crate) fn lease(&self, mut digests: Vec<Digest>) -> Result<Lease, StoreError> {
        digests.sort();
        digests.dedup();
        let session = self.session();
        let failed = |source| StoreError::io("write", &session.path, source);
        let _guard = self.lock_shared()?;
        let mut state = session.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        for digest in digests.iter().filter(|digest| !state.counts.contains_key(*digest)) {
            let _ = writeln!(lines, "+{digest}");
        }
        if state.length > COMPACT {
            state.compact().map_err(failed)?;
        }
        state.append(&lines).map_err(failed)?;
        for digest in &digests {
            *state.counts.entry(digest.clone()).or_default() += 1;
        }
        Ok(Lease { _held: Arc::new(Held { session: session.clone(), digests }) })
    }

    /// Everything that a living process uses.
    pub(super) fn leased(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let dir = self.root().join("leases");
        let mut leased = BTreeSet::new();
        for name in disk::names(&dir)? {
            let path = dir.join(name);
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
            if file.try_lock().is_ok() {
                continue;
            }
            let mut text = String::new();
            file.take(READ_LIMIT).read_to_string(&mut text).map_err(|source| StoreError::io("read", &path, source))?;
            // Apart from the other logs: what one store gives back another may still use.
            let mut own = BTreeSet::new();
            for line in text.lines() {
                match (line.get(..1), line.get(1..).map(str::parse::<Digest>)) {
                    (Some("+"), Some(Ok(digest))) => {
                        own.insert(digest);
                    }
                    (Some("-"), Some(Ok(digest))) => {
                        own.remove(&digest);
                    }
                    _ => {}
                }
            }
            leased.append(&mut own);
        }
        Ok(leased)
    }
}

/// Removes sessions whose process is gone. The caller holds the exclusive lock, so none is just being made.
pub(super) fn clear(root: &Path) -> Result<(), StoreError> {
    let leases = root.join("leases");
    for name in disk::names(&leases)? {
        let path = leases.join(&name);
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        if file.try_lock().is_ok() {
            disk::remove_file(&path)?;
        }
    }
    let alive: BTreeSet<String> = disk::names(&leases)?.into_iter().collect();
    let tmp = root.join("tmp");
    for name in disk::names(&tmp)? {
        if !alive.contains(&name) {
            let path = tmp.join(&name);
            match fs::remove_dir_all(&path) {
                // Its owner came to its end this instant and removed it itself.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(|source| StoreError::io("remove", path, source))?,
            }
        }
    }
    Ok(())
}
