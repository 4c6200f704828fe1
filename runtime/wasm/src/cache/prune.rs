//! Removing entries that nobody needs. Safe beside processes that compile and run:
//!
//! - an entry is removed under its lock, and one whose lock somebody holds is left alone: it is being compiled;
//! - code that is mapped stays mapped when its file goes; whoever found the entry a moment before it went finds it
//!   missing when loading it, and compiles.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::{Cache, Lock, NEW, is_at, version};
use crate::engine::{Code, compatibility_key, compile_engine};

/// Hexadecimal digits of a SHA-256.
const HEX: usize = 64;

/// What [`prune_cache`] took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Compiled programs.
    pub programs: usize,
    /// Bytes of disk freed.
    pub bytes: u64,
}

/// Removes from the ahead-of-time cache at `dir` every program whose digest (`sha256:…`) `keep` does not want or that
/// another version of the engine compiled, and what compilations that were killed left behind. Other processes may use
/// the cache meanwhile. Blocks on file I/O.
///
/// # Errors
/// When the directory cannot be used as a cache, or a file cannot be removed; the rest is tried all the same.
pub fn prune_cache(dir: &Path, keep: impl Fn(&str) -> bool) -> io::Result<Pruned> {
    let key = |code| {
        let engine = compile_engine(code).map_err(|error| io::Error::other(format!("{error:#}")))?;
        Ok(version(&compatibility_key(&engine)))
    };
    let current = Code::all().map(key).collect::<io::Result<Vec<_>>>()?;
    Cache::open(dir)?.prune(&current, keep)
}

impl Cache {
    pub(super) fn prune(&self, current: &[String], keep: impl Fn(&str) -> bool) -> io::Result<Pruned> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // Names of ours are ASCII; others are none of our business.
            names.extend(entry?.file_name().into_string().ok());
        }
        let keys: BTreeSet<&str> = names.iter().filter_map(|name| key_of(name)).collect();
        let mut pruned = Pruned::default();
        let mut failed = None;
        for key in keys {
            let is_current = key.get(HEX + 1..).is_some_and(|version| current.iter().any(|one| one == version));
            let wanted = is_current && key.get(..HEX).is_some_and(|hex| keep(&format!("sha256:{hex}")));
            let of_key = names.iter().filter(|name| key_of(name) == Some(key));
            let doomed: Vec<&str> =
                of_key.filter(|name| !wanted || name.starts_with(NEW)).map(String::as_str).collect();
            if let Err(error) = self.remove(key, &doomed, &mut pruned) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(pruned), Err)
    }

    /// Removes files of one key, unless somebody is at work on it.
    fn remove(&self, key: &str, doomed: &[&str], pruned: &mut Pruned) -> io::Result<()> {
        if doomed.is_empty() {
            return Ok(());
        }
        let path = self.dir.join(format!("{key}.lock"));
        let lock = File::options().create(true).truncate(false).write(true).open(&path)?;
        let _held =
            match rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) if is_at(&lock, &path)? => Lock(lock),
                // It is being compiled, or somebody else prunes.
                Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
        for name in doomed.iter().filter(|name| !name.ends_with(".lock")) {
            let path = self.dir.join(name);
            let size = fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
            match fs::remove_file(&path) {
                Ok(()) => {
                    pruned.bytes = pruned.bytes.saturating_add(size);
                    pruned.programs += usize::from(name.ends_with(".cwasm"));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // Last, and under the lock itself.
        fs::remove_file(&path)
    }
}

/// The key that a file belongs to, if it is one of the cache's.
fn key_of(name: &str) -> Option<&str> {
    let key = match name.strip_prefix(NEW) {
        // The rest of the name is random.
        Some(rest) => rest.rsplit_once('-')?.0,
        None => ["cwasm", "seal", "lock"].iter().find_map(|end| name.strip_suffix(end)?.strip_suffix('.'))?,
    };
    let hex = key.get(..HEX)?;
    let is_digest = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_digest && key.get(HEX..)?.starts_with('-')).then_some(key)
}
