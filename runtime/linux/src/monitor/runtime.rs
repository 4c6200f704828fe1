//! The seam to libcontainer: all that is asked of it.
//!
//! Must be called by a process of one thread: libcontainer forks without exec.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;
use rustix::process::Pid;

use super::executor::{NOT_FOUND, Program};
use crate::protocol::Failure;

/// How long the kernel may take to execute a program before nobody waits for it any more.
const EXEC_TIME: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The most bytes of libcontainer's own words in an error.
const MAX_WORDS: u64 = 4096;

/// A process' standard streams, as it gets them.
#[derive(Debug)]
pub(super) enum Stdio {
    Pipes { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
    Terminal,
}

/// Where libcontainer keeps what it knows of a container, and where its bundle is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) state: &'a Path,
    pub(super) key: &'a str,
    pub(super) bundle: &'a Path,
}

fn builder(
    place: Place<'_>,
    stdio: Stdio,
    console: Option<&Path>,
    program: Program,
) -> Result<ContainerBuilder, LibcontainerError> {
    let builder = ContainerBuilder::new(place.key.to_owned(), SyscallType::Linux)
        .with_root_path(place.state)?
        .with_executor(program)
        .with_console_socket(console);
    Ok(match stdio {
        Stdio::Terminal => builder,
        Stdio::Pipes { stdin, stdout, stderr } => builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr),
    })
}

/// Makes a container of a bundle and starts its program. Returns its first process, a child of this one.
pub(super) fn start(
    place: Place<'_>,
    stdio: Stdio,
    console: Option<&Path>,
    program: Program,
    errors: &ErrorLog,
) -> Result<Pid, Failure> {
    let (report, program) = reporting(program)?;
    let run = || -> Result<Container, LibcontainerError> {
        let init = builder(place, stdio, console, program)?.as_init(place.bundle);
        let mut container = init.with_systemd(false).with_detach(true).build()?;
        container.start()?;
        Ok(container)
    };
    errors.begin();
    let container = run().map_err(|error| errors.explain(&error))?;
    executed(&report)?;
    let pid = container.pid().and_then(|pid| Pid::from_raw(pid.as_raw()));
    pid.ok_or_else(|| Failure::Other("the container was started, but its process is not known".to_owned()))
}

/// Runs another program in a container: the process that this file describes. Returns it, a child of this process.
pub(super) fn exec(
    place: Place<'_>,
    process: &Path,
    stdio: Stdio,
    console: Option<&Path>,
    program: Program,
    errors: &ErrorLog,
) -> Result<Pid, Failure> {
    let (report, program) = reporting(program)?;
    let run = || {
        let tenant = builder(place, stdio, console, program)?.as_tenant();
        tenant.with_process(Some(process)).with_detach(true).build()
    };
    errors.begin();
    let pid = run().map_err(|error| errors.explain(&error))?;
    executed(&report)?;
    Pid::from_raw(pid.as_raw()).ok_or_else(|| Failure::Other("the program's process is not known".to_owned()))
}

/// A program that says, to the other end of this pipe, why it cannot be executed. libcontainer knows no more than that it
/// has told its process to go on.
fn reporting(program: Program) -> Result<(OwnedFd, Program), Failure> {
    let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let (reader, writer) = pipe.map_err(|error| Failure::Other(format!("cannot make a pipe: {error}")))?;
    Ok((reader, Program { report: Some(Arc::new(writer)), ..program }))
}

/// Waits until a process is its program. This process has no other end of the pipe any more.
fn executed(report: &OwnedFd) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Other(format!("cannot hear whether a program was executed: {error}"));
    let ready = rustix::event::poll(&mut [PollFd::new(report, PollFlags::IN)], Some(&EXEC_TIME));
    if ready.map_err(|error| failed(error.into()))? == 0 {
        // Its file is on a disk that does not answer. It will have started, or will end.
        return Ok(());
    }
    let mut words = [0; 4096];
    let read = rustix::io::read(report, &mut words).map_err(|error| failed(error.into()))?;
    let words = String::from_utf8_lossy(words.get(..read).unwrap_or_default()).into_owned();
    match words.strip_prefix(NOT_FOUND) {
        None if words.is_empty() => Ok(()),
        None => Err(Failure::Other(words)),
        Some(_) => Err(Failure::NotFound(words)),
    }
}

/// What libcontainer says about its errors: the errors themselves are terse. Shared with the processes that it forks.
#[derive(Debug)]
pub(super) struct ErrorLog {
    file: File,
}

impl ErrorLog {
    /// Sends libcontainer's words to a file of the pod's from here on.
    pub(super) fn install(dir: &Path) -> io::Result<Self> {
        let path = dir.join("monitor.log");
        let file = File::options().create(true).read(true).append(true).open(path)?;
        let writer = file.try_clone()?;
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::ERROR)
            .with_writer(Mutex::new(writer))
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .with_level(false);
        // Only a program that uses this function as a library could have installed another one: it keeps it.
        let _ = tracing::subscriber::set_global_default(subscriber.finish());
        Ok(Self { file })
    }

    /// Forgets what was said before.
    fn begin(&self) {
        let _ = self.file.set_len(0);
    }

    /// The error with what was said about it, its causes, and the words of the processes that have failed.
    fn explain(&self, error: &LibcontainerError) -> Failure {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        // Said by a child, it has come through a pipe, and may be anywhere in the text.
        if let Some(at) = text.find(NOT_FOUND) {
            let words = text.get(at..).unwrap_or_default();
            return Failure::NotFound(words.lines().next().unwrap_or_default().to_owned());
        }
        let words = self.words();
        if !words.is_empty() {
            let _ = write!(text, " ({words})");
        }
        Failure::Other(text)
    }

    fn words(&self) -> String {
        let mut text = String::new();
        let mut file = &self.file;
        let read = file.rewind().and_then(|()| file.take(MAX_WORDS).read_to_string(&mut text));
        if read.is_err() {
            return String::new();
        }
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }
}
