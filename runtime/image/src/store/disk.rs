//! File operations that survive a crash.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::StoreError;

/// Makes a directory (and its parents) that only its owner can use; tightens one that is there.
pub(super) fn make_private_dir(path: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::io("create directory", path, source))?;
    let metadata = fs::metadata(path).map_err(|source| StoreError::io("read", path, source))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|source| StoreError::io("make private", path, source))?;
    }
    Ok(())
}

/// A file that is locked until this is dropped.
///
/// Closing it would not be enough: a child process that is between fork(2) and execve(2) holds a copy of every
/// descriptor, and the lock with it.
#[derive(Debug)]
pub(super) struct Flock(pub(super) File);

impl Drop for Flock {
    fn drop(&mut self) {
        // Then it ends when the last copy is closed.
        let _ = self.0.unlock();
    }
}

/// Waits for the store's lock.
pub(super) fn lock(root: &Path, exclusive: bool) -> Result<Flock, StoreError> {
    let path = root.join("lock");
    let file = open_lock(&path)?;
    let locked = loop {
        match if exclusive { file.lock() } else { file.lock_shared() } {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    locked.map_err(|source| StoreError::io("lock", &path, source))?;
    Ok(Flock(file))
}

/// The exclusive lock, if nobody holds any.
pub(super) fn try_lock(root: &Path) -> Result<Option<Flock>, StoreError> {
    let path = root.join("lock");
    let file = open_lock(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Flock(file))),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(source)) => Err(StoreError::io("lock", &path, source)),
    }
}

fn open_lock(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::io("open", path, source))
}

/// Writes a whole file by way of `tmp`: after a crash there is the old content or the new.
pub(super) fn write_atomically(path: &Path, bytes: &[u8], tmp: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("write", path, source);
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(tmp).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_parent(path)
}

/// Makes a rename into the parent directory last.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|source| StoreError::io("sync", parent, source))
}

/// Removes a file; one that is gone already is fine.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// The names in a directory of the store; names that are not UTF-8 are not the store's.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |source| StoreError::io("list", dir, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
