//! A second program in a running container.

use std::fmt;

use tokio::io::AsyncRead;

/// What is to be run, and what it is connected to. Its output goes where [`exec`](crate::Container::exec) is told.
pub struct ExecRequest {
    /// The arguments, `argv[0]` included.
    pub argv: Vec<String>,
    /// What it reads from its standard input; `None` is an empty one.
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Its terminal; `None` for a program without one.
    pub terminal: Option<TerminalSize>,
}

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
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
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// There is no such program: shells and Kubernetes show 127.
    #[error("{0}: not found")]
    NotFound(String),
    /// The container has ended or was never started.
    #[error("container is not running")]
    NotRunning,
    /// This backend cannot do it.
    #[error("{0}")]
    Unsupported(String),
}
