//! Whether a pod's monitor lives: a lock on a file that its own process has, and no other.
//!
//! A record lock (fcntl(2)), because a process that it has forked does not have it, as it would have one of flock(2): what
//! a killed monitor was starting lives on for as long as nobody ends it, with all descriptors that the monitor had.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, Pid, PidfdFlags, Signal};

/// The file, in a pod's directory. Has the monitor's pid, for people.
const LOCK: &str = "monitor.lock";

/// How long a monitor that was killed may take to go.
const KILL_TIME: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Marks a pod's directory as one with a monitor, whose number is `own`, until this process ends. No other descriptor of
/// this file may be closed in this process: that would end the lock.
pub(crate) fn take(dir: &Path, own: Pid) -> io::Result<File> {
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(dir.join(LOCK))?;
    rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
    file.set_len(0)?;
    write!(file, "{}", own.as_raw_nonzero())?;
    Ok(file)
}

/// The monitor of a pod's directory: a pidfd, readable when it has ended.
pub(crate) fn monitor(dir: &Path) -> io::Result<Option<OwnedFd>> {
    let file = match File::open(dir.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    loop {
        let Some(pid) = holder(&file)? else { return Ok(None) };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            // The number could be another process' by the time it was opened.
            Ok(pidfd) if holder(&file)? == Some(pid) => return Ok(Some(pidfd)),
            Ok(_) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn holder(file: &File) -> io::Result<Option<Pid>> {
    let Some(lock) = rustix::process::fcntl_getlk(file, &Flock::from(FlockType::WriteLock))? else { return Ok(None) };
    let unknown = || io::Error::other("the pod's monitor is not among the processes that are seen from here");
    lock.pid.map(Some).ok_or_else(unknown)
}

/// Kills the monitor of a pod's directory, if there is one, and waits for its end. Blocks.
pub(crate) fn kill(dir: &Path) -> io::Result<()> {
    let Some(pidfd) = monitor(dir)? else { return Ok(()) };
    match rustix::process::pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&KILL_TIME))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "a pod's monitor does not end")),
        _ => Ok(()),
    }
}
