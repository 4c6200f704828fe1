//! A process beside this one, for what a thread cannot do: be in another user namespace than its process.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::{self, Fork};

/// The most bytes of what is done in another process.
const MAX_OUTCOME: u64 = 1 << 20;

/// Makes namespaces in a process of their own, or enters some first, and does something while that process holds them:
/// they are `/proc/PID/ns/…`. It is gone afterwards.
///
/// May be called in a process of many threads: between fork and end the other process does system calls only.
pub(crate) fn holding<T>(
    user: Option<&OwnedFd>,
    made: UnshareFlags,
    outside: impl FnOnce(Pid) -> io::Result<T>,
) -> io::Result<T> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let pid = match sys::fork()? {
        Fork::Child => sys::hold(&writer, || {
            if let Some(user) = user {
                rustix::thread::move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
            }
            sys::unshare_raw(made)
        }),
        Fork::Parent(pid) => pid,
    };
    drop(writer);
    let mut outcome = [0; 4];
    let heard = File::from(reader).read_exact(&mut outcome);
    let done = match heard.map(|()| i32::from_ne_bytes(outcome)) {
        Ok(0) => outside(pid),
        Ok(errno) => Err(Errno::from_raw_os_error(errno).into()),
        Err(error) => Err(error),
    };
    // It waits for nothing else, and its number is its own until it is waited for.
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    while let Err(Errno::INTR) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {}
    done
}

/// Does something in another process that is in this user namespace, with all capabilities there, and gives what came of
/// it. Its files are still opened as the host's user. Must be called by a process of one thread.
pub(crate) fn inside<T: Serialize + DeserializeOwned>(user: &OwnedFd, work: impl FnOnce() -> T) -> io::Result<T> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let pid = match sys::fork()? {
        Fork::Child => {
            drop(reader);
            let entered = rustix::thread::move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User));
            let outcome = entered.map(|()| work()).map_err(Errno::raw_os_error);
            let sent = serde_json::to_vec(&outcome).map(|bytes| send(writer, &bytes));
            sys::exit(if matches!(sent, Ok(Ok(()))) { 0 } else { 1 })
        }
        Fork::Parent(pid) => pid,
    };
    drop(writer);
    let outcome = receive(reader);
    while let Err(Errno::INTR) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {}
    let outcome: Result<T, i32> = serde_json::from_slice(&outcome?).map_err(io::Error::other)?;
    outcome.map_err(io::Error::from_raw_os_error)
}

/// With its length first: processes that were started meanwhile may keep the pipe open.
fn send(writer: OwnedFd, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut writer = File::from(writer);
    writer.write_all(&(bytes.len() as u64).to_ne_bytes())?;
    writer.write_all(bytes)
}

fn receive(reader: OwnedFd) -> io::Result<Vec<u8>> {
    let mut reader = File::from(reader);
    let mut length = [0; 8];
    reader.read_exact(&mut length)?;
    let length = u64::from_ne_bytes(length);
    if length > MAX_OUTCOME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
