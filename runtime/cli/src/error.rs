//! What a command fails with, and the exit code that follows from it.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::io;

use crate::output::Streams;

/// The exit code when nacelle itself failed, in distinction to a container's own code.
pub(crate) const EXIT_NACELLE_FAILED: u8 = 125;

/// What kind of thing went wrong; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// Flags that contradict each other, or values that no flag takes.
    Usage,
    /// A manifest could not be read.
    Source,
    /// A manifest has errors; they have been printed.
    Manifest,
    /// `validate` found errors; they have been printed.
    Invalid,
    /// An image, or the store of images.
    Image,
    /// The image named is not in the store.
    NoSuchImage,
    /// Another process runs the pod.
    Busy,
    /// The node could not be opened or a pod not be started.
    Node,
    /// Another failure of the machine.
    Io,
    /// The reader of standard output went away, which nobody needs to be told.
    OutputClosed,
}

impl ErrorKind {
    /// The process' exit code.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Invalid | Self::NoSuchImage => 1,
            Self::OutputClosed => 0,
            Self::Usage | Self::Source | Self::Manifest | Self::Image | Self::Busy | Self::Node | Self::Io => {
                EXIT_NACELLE_FAILED
            }
        }
    }
}

/// One failure: what could not be done, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct CliError {
    /// What kind.
    pub(crate) kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    hints: Vec<String>,
}

impl CliError {
    /// `message` says what could not be done, without a full stop.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hints: Vec::new() }
    }

    /// The same with its cause.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A failure to write to standard output; a closed pipe is a kind of its own.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(ErrorKind::OutputClosed, "standard output is closed"),
            _ => Self::new(ErrorKind::Io, "cannot write to standard output").because(error),
        }
    }
}

impl fmt::Display for CliError {
    /// The message and its causes on one line. A cause that its parent's words end with already is not repeated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.message.clone();
        let mut cause = self.source.as_deref().map(|source| source as &dyn StdError);
        while let Some(error) = cause {
            let words = error.to_string();
            if !words.is_empty() && !text.ends_with(&words) {
                write!(text, ": {words}")?;
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

impl StdError for CliError {}

/// All that a command failed with.
#[derive(Debug)]
pub(crate) struct Errors(Vec<CliError>);

impl Errors {
    /// The errors, unless there are none.
    pub(crate) fn check(errors: Vec<CliError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The highest of the errors' codes, so that a failure of nacelle's own is not hidden by a lesser one.
    pub(crate) fn exit_code(&self) -> u8 {
        self.0.iter().map(|error| error.kind.exit_code()).max().unwrap_or(EXIT_NACELLE_FAILED)
    }

    /// The messages on one line, for the machine-readable output.
    pub(crate) fn summary(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Tells the user.
    pub(crate) fn print(&self, streams: &Streams) {
        for error in self.0.iter().filter(|error| error.kind != ErrorKind::OutputClosed) {
            streams.say_error(&error.to_string());
            for hint in &error.hints {
                streams.say_hint(hint);
            }
        }
    }
}

impl From<CliError> for Errors {
    fn from(error: CliError) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<CliError>> for Errors {
    fn from(errors: Vec<CliError>) -> Self {
        Self(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_on_one_line_and_none_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot reach example.com: connection refused")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("connection refused")]
        struct Inner;

        let error = CliError::new(ErrorKind::Source, "cannot read the manifest").because(Outer(Inner));
        assert_eq!(error.to_string(), "cannot read the manifest: cannot reach example.com: connection refused");
    }

    #[test]
    fn a_failure_of_nacelle_outweighs_a_lesser_one() {
        let errors = Errors(vec![
            CliError::new(ErrorKind::NoSuchImage, "no such image"),
            CliError::new(ErrorKind::Image, "the store is damaged"),
        ]);
        assert_eq!(errors.exit_code(), 125);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = CliError::output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(Errors::from(error).exit_code(), 0);
    }
}
