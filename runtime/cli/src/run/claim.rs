//! One `nacelle run` per pod: there is no daemon that would know, so a lock file does.
//!
//! Each pod that runs under a state directory has a file `run/NAMESPACE_NAME.lock` there, locked by the process that
//! runs it and holding that process' number. The kernel drops the lock when the process ends, however it ends. An
//! underscore cannot be part of either name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{CliError, ErrorKind};

/// How often a lock that another process holds is looked at. The kernel has no wait for it that a signal handler of
/// ours could interrupt.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The right to run a pod, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked, so nobody else has claimed it; whoever opened it meanwhile notices that the file is gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who runs a pod already.
#[derive(Debug)]
pub(crate) struct Holder {
    lock: File,
    pid: Option<Pid>,
}

/// What came of trying to claim a pod.
#[derive(Debug)]
pub(crate) enum Tried {
    Claimed(Claim),
    Held(Holder),
}

/// Claims a pod, if no other process has.
///
/// # Errors
/// When the state directory cannot be used.
pub(crate) fn try_claim(state_dir: &Path, namespace: &str, name: &str) -> Result<Tried, CliError> {
    let folder = state_dir.join("run");
    let path = folder.join(format!("{namespace}_{name}.lock"));
    let failed = |error: io::Error| {
        CliError::new(ErrorKind::Io, format!("cannot use {}", path.display()))
            .because(error)
            .hint("another directory can be named with --state-dir")
    };
    fs::create_dir_all(&folder).map_err(failed)?;
    loop {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Ok(Tried::Held(Holder { pid: read_pid(&mut file), lock: file }));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if is_still_at(&file, &path) {
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
            return Ok(Tried::Claimed(Claim { path, _lock: file }));
        }
        // Its last owner removed it between our opening and our locking it.
    }
}

/// Removes the files that killed processes left of pods that nobody runs. What cannot be removed now is no obstacle.
pub(crate) fn sweep(state_dir: &Path) {
    for entry in fs::read_dir(state_dir.join("run")).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        if file.try_lock().is_ok() && is_still_at(&file, &path) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

fn read_pid(file: &mut File) -> Option<Pid> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

impl Holder {
    /// What to tell a user who did not ask for a replacement.
    pub(crate) fn refusal(&self, namespace: &str, name: &str) -> CliError {
        let who = match self.pid {
            Some(pid) => format!("process {pid}"),
            None => "another process".to_owned(),
        };
        CliError::new(ErrorKind::Busy, format!("pod {namespace}/{name} is run by {who} already"))
            .hint("stop that process, or have it stopped with --replace")
    }

    /// Asks the holder to stop, as SIGTERM does, and waits until it no longer runs the pod.
    ///
    /// # Errors
    /// When the holder is not known or may not be asked.
    pub(crate) async fn replace(mut self, namespace: &str, name: &str) -> Result<(), CliError> {
        let failed = || CliError::new(ErrorKind::Busy, format!("cannot replace pod {namespace}/{name}"));
        // It is written right after the lock is taken, so it may not have been there yet.
        let Some(pid) = self.pid.or_else(|| read_pid(&mut self.lock)) else {
            return Err(failed().because("the process that runs it is only just starting").hint("try again"));
        };
        let asked = pidfd_open(pid, PidfdFlags::empty()).and_then(|process| {
            // The number may have passed to another process, unless the lock is still held now that we have a handle.
            match self.lock.try_lock() {
                Ok(()) => Ok(()),
                Err(_) => pidfd_send_signal(process, Signal::TERM),
            }
        });
        match asked {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(failed().because(format!("process {pid} cannot be asked to stop: {error}"))),
        }
        while matches!(self.lock.try_lock(), Err(TryLockError::WouldBlock)) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_claimed_once() {
        let state = tempfile::tempdir().unwrap();
        let Tried::Claimed(claim) = try_claim(state.path(), "default", "web").unwrap() else { panic!("held") };
        let Tried::Held(holder) = try_claim(state.path(), "default", "web").unwrap() else { panic!("claimed twice") };
        let own = std::process::id();
        assert_eq!(
            holder.refusal("default", "web").to_string(),
            format!("pod default/web is run by process {own} already")
        );
        assert!(matches!(try_claim(state.path(), "other", "web").unwrap(), Tried::Claimed(_)));
        drop(claim);
        assert!(matches!(try_claim(state.path(), "default", "web").unwrap(), Tried::Claimed(_)));
    }

    #[test]
    fn a_file_that_a_killed_process_left_is_no_obstacle() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("run")).unwrap();
        fs::write(state.path().join("run/default_web.lock"), "4242\n").unwrap();
        assert!(matches!(try_claim(state.path(), "default", "web").unwrap(), Tried::Claimed(_)));
    }

    #[test]
    fn files_of_killed_processes_go_and_those_of_others_stay() {
        let state = tempfile::tempdir().unwrap();
        let claimed = try_claim(state.path(), "default", "web").unwrap();
        fs::write(state.path().join("run/default_old.lock"), "4242\n").unwrap();
        sweep(state.path());
        let left: Vec<_> =
            fs::read_dir(state.path().join("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["default_web.lock"]);
        drop(claimed);
        sweep(&state.path().join("absent"));
    }

    #[test]
    fn nothing_is_left_behind() {
        let state = tempfile::tempdir().unwrap();
        drop(try_claim(state.path(), "default", "web").unwrap());
        assert_eq!(fs::read_dir(state.path().join("run")).unwrap().count(), 0);
    }
}
