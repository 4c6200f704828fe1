//! How a command fails.

use std::io;

use nacelle_infra::budget::OverBudget;
use nacelle_infra::fs::Errno;

use crate::streams::WriteError;

/// Why a command ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It says this after its name, and ends with this code.
    #[error("{message}")]
    Message {
        /// The exit code.
        code: u8,
        /// What is wrong.
        message: String,
    },
    /// Nobody reads what it writes: it ends without a word, as by SIGPIPE.
    #[error("nobody reads the output")]
    Closed,
    /// The container has no memory for it.
    #[error(transparent)]
    Memory(#[from] OverBudget),
}

/// What a command gives: an exit code.
pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// The usual code.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message { code: 1, message: message.into() }
    }

    /// A command line that is not understood.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Message { code: 2, message: message.into() }
    }

    /// Something about a path.
    pub(crate) fn at(path: &str, errno: Errno) -> Self {
        Self::new(format!("{path}: {}", words(errno)))
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Closed => Self::Closed,
            WriteError::File(errno) => Self::new(format!("write error: {}", words(errno))),
        }
    }
}

/// strerror(3).
pub(crate) fn words(errno: Errno) -> String {
    words_of(&io::Error::from(errno))
}

/// strerror(3), of an error that may be none of the system's.
pub(crate) fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}
