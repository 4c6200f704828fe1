//! The ahead-of-time cache: compiled components on disk, each with a seal that tells whether it is whole.
//!
//! ```text
//!   KEY.cwasm   the compiled component, as wasmtime gave it
//!   KEY.seal    its length and SHA-256, and the inode and change time under which the checksum was last verified
//!   KEY.lock    held (flock) by the one process that compiles KEY, or that removes what there is of KEY
//!   .new-KEY-…  what will become one of the first two; left by a process that was killed unless somebody holds the lock
//! ```
//!
//! An entry is used when its seal fits: the length, and either inode and change time (the file has not been touched
//! since it was verified) or, failing that, the checksum. Anything else is rebuilt. Files appear by rename only.

mod prune;
mod seal;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

pub use prune::{Pruned, prune_cache};
use rustix::fs::FlockOperation;
use seal::Seal;

/// How the names of unfinished files begin.
const NEW: &str = ".new-";

/// A cache directory that only this user can write to.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

/// The name of an entry: hexadecimal digits, dots and dashes only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

impl Key {
    /// The key of the program with this digest, compiled by an engine with this compatibility key.
    ///
    /// # Errors
    /// When the digest is not `sha256:` and 64 hexadecimal digits.
    pub(crate) fn new(digest: &str, compatibility: &str) -> Result<Self, String> {
        match digest.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) => {
                Ok(Self(format!("{hex}-{}", version(compatibility))))
            }
            _ => Err(format!("its digest {digest:?} is not a sha256 digest")),
        }
    }
}

/// The part of a key that all programs compiled by one version have in common.
fn version(compatibility: &str) -> String {
    let short = compatibility.get(..32).unwrap_or(compatibility);
    format!("{short}-{}", crate::adapt::VERSION)
}

/// Holds an entry's lock; released when dropped.
///
/// Closing the file would not be enough: a child process that is between fork(2) and execve(2) holds a copy of every
/// descriptor, and the lock with it.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Then it ends when the last copy is closed.
        let _ = self.0.unlock();
    }
}

impl Cache {
    /// Opens the directory, making it if it is missing.
    ///
    /// # Errors
    /// When it cannot be made, is not a directory, belongs to another user, or others can write to it.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Opened by its real path, so that a symlink changed later leads nowhere else.
        let dir = fs::canonicalize(dir)?;
        let meta = fs::metadata(&dir)?;
        let user = rustix::process::geteuid().as_raw();
        if meta.uid() != user {
            return Err(io::Error::other(format!(
                "it belongs to user {}, not to {user}: compiled code in it cannot be trusted; use another directory",
                meta.uid()
            )));
        }
        if meta.mode() & 0o022 != 0 {
            return Err(io::Error::other(format!(
                "others can write to it (mode {:o}): compiled code in it cannot be trusted; chmod it to 700",
                meta.mode() & 0o777
            )));
        }
        Ok(Self { dir })
    }

    /// The path of an entry that is whole, or `None`.
    pub(crate) fn find(&self, key: &Key) -> Option<PathBuf> {
        let code = self.path(key, "cwasm");
        let seal = Seal::parse(&fs::read_to_string(self.path(key, "seal")).ok()?)?;
        match seal.check(&code) {
            Ok(seal::Verdict::Untouched) => Some(code),
            Ok(seal::Verdict::Verified(fresh)) => {
                // Copied or restored from elsewhere; the next start need not read all of it again.
                if let Err(error) = self.write_seal(key, &fresh) {
                    tracing::debug!(%error, path = %code.display(), "seal not renewed");
                }
                Some(code)
            }
            Ok(seal::Verdict::Damaged) => {
                tracing::warn!(path = %code.display(), "damaged entry in the compilation cache; compiling again");
                None
            }
            Err(_) => None,
        }
    }

    /// Waits until no other process compiles `key`. Blocks.
    pub(crate) fn lock(&self, key: &Key) -> io::Result<Lock> {
        let path = self.path(key, "lock");
        loop {
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
            // Whoever prunes removes the file while holding its lock: then there is another one by now, or none.
            if is_at(&file, &path)? {
                return Ok(Lock(file));
            }
        }
    }

    /// A file to compile `key` into; it goes away when it is dropped without being [stored](Self::store). The caller
    /// holds the lock.
    pub(crate) fn scratch(&self, key: &Key) -> io::Result<tempfile::TempPath> {
        Ok(self.new_file(key)?.into_temp_path())
    }

    /// A file without a name: it is gone with its last descriptor.
    pub(crate) fn unnamed_file(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.dir)
    }

    fn new_file(&self, key: &Key) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(&format!("{NEW}{}-", key.0)).tempfile_in(&self.dir)
    }

    /// Makes what was compiled into `scratch` the entry of `key`.
    pub(crate) fn store(&self, key: &Key, scratch: tempfile::TempPath) -> io::Result<PathBuf> {
        let code = self.path(key, "cwasm");
        let seal_path = self.path(key, "seal");
        File::open(&scratch)?.sync_all()?;
        // First the seal goes, then the code comes: a crash in between leaves no seal over other code.
        match fs::remove_file(&seal_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        scratch.persist(&code).map_err(|error| error.error)?;
        self.write_seal(key, &Seal::of(&code)?)?;
        Ok(code)
    }

    fn write_seal(&self, key: &Key, seal: &Seal) -> io::Result<()> {
        let mut file = self.new_file(key)?;
        io::Write::write_all(&mut file, seal.to_string().as_bytes())?;
        file.persist(self.path(key, "seal")).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, key: &Key, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", key.0))
    }
}

/// Whether `path` still names this open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
