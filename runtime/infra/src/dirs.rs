//! Where the pods of a node keep what is on a disk, and what removes it after a crash.
//!
//! ```text
//!   <state>/pods.lock                      taken while a pod's directory comes or goes
//!   <state>/pods/<uid>/lock                held by the process that runs the pod, for as long as it lives
//!   <state>/pods/<uid>/volumes/NAME        emptyDir volumes
//!   <state>/pods/<uid>/containers/NAME-N/  what one incarnation of a container writes into its root
//!   <state>/pods/<uid>/mounts/NAME         filesystems in memory that Linux containers mount
//!   <state>/pods/<uid>/logs/               logs whose place the front end does not name
//! ```
//!
//! Whoever runs a pod holds its lock (flock(2)), which ends with the process however it dies. So a directory whose
//! lock can be taken belongs to nobody, and [`NodeDirs::sweep`] removes it.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{DirsError, IoContext as _};
use crate::{removal, tmpfs};

/// The directories of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDirs {
    state: PathBuf,
}

impl NodeDirs {
    /// Directories below `state`, which is made when the first pod is.
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// Where they are.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Removes what processes left that died: every pod's directory that nobody holds, except those in `keep`.
    /// `abandoned` is called with the uid and the directory of each before it goes, while its lock is held: for what
    /// else is left of the pod. Returns the uids of the pods that were removed.
    ///
    /// # Errors
    /// [`DirsError`] of the first directory that could not be removed; the others are gone.
    pub fn sweep(
        &self,
        keep: &BTreeSet<String>,
        abandoned: &dyn Fn(&str, &Path),
    ) -> Result<BTreeSet<String>, DirsError> {
        let mut swept = BTreeSet::new();
        sweep_base(&self.state, keep, abandoned, &mut swept).map(|()| swept)
    }
}

fn sweep_base(
    base: &Path,
    keep: &BTreeSet<String>,
    abandoned: &dyn Fn(&str, &Path),
    swept: &mut BTreeSet<String>,
) -> Result<(), DirsError> {
    let pods = base.join("pods");
    let entries = match std::fs::read_dir(&pods) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DirsError::io("read", &pods, error)),
    };
    let mut result = Ok(());
    for entry in entries {
        let entry = entry.context("read", &pods)?;
        // Pods' names are ASCII: anything else is not ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let removed = if name.starts_with(removal::TRASH) {
            File::open(&pods).and_then(|pods| removal::drain(pods.as_fd(), &name)).context("remove", &entry.path())
        } else if keep.contains(&name) {
            Ok(())
        } else {
            match PodDir::claim(base, &name) {
                Ok(dir) => {
                    abandoned(&name, dir.path());
                    swept.insert(name);
                    dir.remove()
                }
                Err(DirsError::InUse { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        result = result.and(removed);
    }
    result
}

/// The directory of one pod below one base, with its lock.
#[derive(Debug)]
pub(crate) struct PodDir {
    base: PathBuf,
    uid: String,
    path: PathBuf,
    _lock: Flock,
}

impl PodDir {
    /// Makes the pod's directory and takes its lock. What a dead process left there is removed.
    pub(crate) fn create(base: &Path, uid: &str) -> Result<Self, DirsError> {
        check_name(uid)?;
        let pods = base.join("pods");
        DirBuilder::new().recursive(true).mode(0o700).create(&pods).context("create", &pods)?;
        let claimed = Self::claim(base, uid)?;
        tmpfs::unmount_all(&claimed.path)?;
        let parent = File::open(&claimed.path).context("open", &claimed.path)?;
        for entry in std::fs::read_dir(&claimed.path).context("read", &claimed.path)? {
            let name = entry.context("read", &claimed.path)?.file_name();
            match name.to_str() {
                Some("lock") => {}
                Some(name) => removal::remove_tree(parent.as_fd(), name).context("remove", &claimed.path.join(name))?,
                None => {
                    let reason = io::Error::new(io::ErrorKind::InvalidData, "unexpected name");
                    return Err(DirsError::io("remove", &claimed.path.join(name), reason));
                }
            }
        }
        Ok(claimed)
    }

    /// Takes the lock of a directory, which is made if missing.
    fn claim(base: &Path, uid: &str) -> Result<Self, DirsError> {
        let _guard = lock_base(base)?;
        let path = base.join("pods").join(uid);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(DirsError::io("create", &path, error)),
        }
        let lock_path = path.join("lock");
        let lock = open_lock(&lock_path).context("open", &lock_path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { base: base.to_owned(), uid: uid.to_owned(), path, _lock: Flock(lock) }),
            Err(TryLockError::WouldBlock) => Err(DirsError::InUse { uid: uid.to_owned() }),
            Err(TryLockError::Error(error)) => Err(DirsError::io("lock", &lock_path, error)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory below it (0700).
    pub(crate) fn make(&self, below: &[&str]) -> Result<PathBuf, DirsError> {
        let mut path = self.path.clone();
        for name in below {
            check_name(name)?;
            path.push(name);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).context("create", &path)?;
        Ok(path)
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(self) -> Result<(), DirsError> {
        tmpfs::unmount_all(&self.path)?;
        let guard = lock_base(&self.base)?;
        let pods = self.base.join("pods");
        let parent = File::open(&pods).context("open", &pods)?;
        let trash = format!("{}{}", removal::TRASH, self.uid);
        // Out of the way first, under the lock of all: nobody then finds a directory that is half gone.
        match std::fs::create_dir(pods.join(&trash)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(DirsError::io("create", &pods.join(&trash), error)),
        }
        let mut target = pods.join(&trash).join("pod");
        let mut count = 0_u32;
        while target.exists() {
            count += 1;
            target.set_file_name(format!("pod-{count}"));
        }
        std::fs::rename(&self.path, &target).context("remove", &self.path)?;
        drop(guard);
        removal::drain(parent.as_fd(), &trash).context("remove", &target)
    }
}

fn lock_base(base: &Path) -> Result<Flock, DirsError> {
    let path = base.join("pods.lock");
    let lock = open_lock(&path).context("open", &path)?;
    lock.lock().context("lock", &path)?;
    Ok(Flock(lock))
}

/// A file that is locked until this is dropped.
///
/// Closing it would not be enough: a child process that is between fork(2) and execve(2) holds a copy of every
/// descriptor, and the lock with it.
#[derive(Debug)]
struct Flock(File);

impl Drop for Flock {
    fn drop(&mut self) {
        // Then it ends when the last copy is closed.
        let _ = self.0.unlock();
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Names become names of directories: they must be plain.
pub(crate) fn check_name(name: &str) -> Result<(), DirsError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(DirsError::BadName { name: name.chars().take(80).collect() });
    }
    Ok(())
}

/// Sets permission bits, whatever the umask is.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), DirsError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).context("set the mode of", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_process_that_is_being_started_does_not_keep_a_pod() {
        let base = tempfile::tempdir().unwrap();
        let dir = PodDir::create(base.path(), "uid-1").unwrap();
        // As fork(2) copies every descriptor, until execve(2) closes it.
        let _copy = dir._lock.0.try_clone().unwrap();
        drop(dir);
        PodDir::create(base.path(), "uid-1").unwrap();
    }
}
