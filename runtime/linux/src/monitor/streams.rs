//! The streams of a container's processes: pipes or a terminal. The monitor keeps the ends that are not the process's own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::Uid;
use rustix::pipe::PipeFlags;
use rustix::process::Pid;

use super::console::Console;
use super::containers::other;
use super::runtime::Stdio;
use crate::protocol::{Failure, Streams};
use crate::sys;

/// The ends of a container's streams that are not its own.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) stdin: Option<OwnedFd>,
    /// Output and errors, or a terminal.
    pub(super) rest: Vec<OwnedFd>,
}

impl Held {
    pub(super) fn streams(&self) -> Streams {
        if self.rest.len() == 1 { Streams::Terminal } else { Streams::Pipes { stdin: self.stdin.is_some() } }
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.stdin.iter().chain(&self.rest).map(|fd| fd.as_fd()).collect()
    }

    pub(super) fn try_clone(&self) -> io::Result<Vec<OwnedFd>> {
        self.fds().into_iter().map(|fd| fd.try_clone_to_owned()).collect()
    }
}

/// Makes the streams of a process, runs it, and keeps the other ends.
///
/// They belong to `owner`, as the container's user may open them again: `/dev/stdout`.
pub(super) fn connected(
    dir: &Path,
    owner: u32,
    stdin: bool,
    terminal: bool,
    run: impl FnOnce(Stdio, Option<&Path>) -> Result<Pid, Failure>,
) -> Result<(Pid, Held), Failure> {
    if terminal {
        let console = Console::listen(dir).map_err(other("listen for the terminal"))?;
        let pid = run(Stdio::Terminal, Some(console.path()))?;
        let terminal = console.terminal().map_err(other("take the terminal"))?;
        if let Err(error) = sys::terminal_peer(terminal.as_fd()).and_then(|peer| give(&peer, owner)) {
            tracing::debug!(%error, "a container's user cannot open its terminal again");
        }
        return Ok((pid, Held { stdin: None, rest: vec![terminal] }));
    }
    let pipe = || {
        let made = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
        made.and_then(|pipe| give(&pipe.0, owner).map(|()| pipe)).map_err(other("make a pipe"))
    };
    let (own_stdin, stdin) = if stdin {
        let (reader, writer) = pipe()?;
        (reader, Some(writer))
    } else {
        (File::open("/dev/null").map_err(other("open /dev/null"))?.into(), None)
    };
    let (stdout, own_stdout) = pipe()?;
    let (stderr, own_stderr) = pipe()?;
    let pid = run(Stdio::Pipes { stdin: own_stdin, stdout: own_stdout, stderr: own_stderr }, None)?;
    Ok((pid, Held { stdin, rest: vec![stdout, stderr] }))
}

/// Makes something a user's of the host.
fn give(what: &OwnedFd, owner: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(what, Some(Uid::from_raw(owner)), None)?)
}
