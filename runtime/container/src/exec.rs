//! A second program in a running container.

use std::fmt;

use tokio::io::AsyncRead;
use tokio::sync::watch;

/// What is to be run, and what it is connected to. Its output goes where [`exec`](crate::Container::exec) is told.
pub struct ExecRequest {
    /// The arguments, `argv[0]` included.
    pub argv: Vec<String>,
    /// What it reads from its standard input; `None` is an empty one.
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Its terminal; `None` for a program without one. With a terminal both kinds of output are one stream, standard
    /// output.
    pub terminal: Option<Terminal>,
}

/// A program's terminal.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// How large it is. A later value is a resize, which a program is told that has a way to hear of it.
    pub size: watch::Receiver<TerminalSize>,
}

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl Terminal {
    /// One that keeps its size.
    pub fn of_size(size: TerminalSize) -> Self {
        Self { size: watch::channel(size).1 }
    }
}

impl ExecRequest {
    /// A program without input and terminal.
    pub fn new(argv: Vec<String>) -> Self {
        Self { argv, stdin: None, terminal: None }
    }
}

impl fmt::Debug for ExecRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { argv, stdin, terminal } = self;
        let stdin = stdin.is_some();
        f.debug_struct("ExecRequest").field("argv", argv).field("stdin", &stdin).field("terminal", terminal).finish()
    }
}

/// Why a program could not be started inside a running container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// There is no such program.
    #[error("exec: {program:?}: {reason}")]
    NotFound {
        /// The program as it was named.
        program: String,
        /// Where it was looked for.
        reason: String,
    },
    /// It is there, but cannot be run.
    #[error("exec: {program:?}: {reason}")]
    NotExecutable {
        /// The program as it was named.
        program: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The container has ended or was never started.
    #[error("container is not running")]
    NotRunning,
    /// This backend cannot do it.
    #[error("{0}")]
    Unsupported(String),
}

impl ExecError {
    /// The exit code that shells and Kubernetes show in place of the program's own: 127 when it was not found, 126 when
    /// it could not be run. `None` when the program is not what failed.
    pub fn code(&self) -> Option<u8> {
        match self {
            Self::NotFound { .. } => Some(127),
            Self::NotExecutable { .. } => Some(126),
            Self::NotRunning | Self::Unsupported(_) => None,
        }
    }
}
