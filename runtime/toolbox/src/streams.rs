//! Where a command reads from and writes to.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use nacelle_container::output::{Chunk, MAX_CHUNK, OutputSender, Stream};
use nacelle_infra::fs::{Descriptor, Errno};
use tokio::io::{AsyncRead, ReadBuf};

/// Anything to read from.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A standard input. Clones share their position, so that one command of a script goes on where another stopped.
#[derive(Clone)]
pub struct Input {
    reader: Arc<Mutex<Reader>>,
    terminal: bool,
}

impl Input {
    /// One that reads from this.
    pub fn new(reader: Reader) -> Self {
        Self { reader: Arc::new(Mutex::new(reader)), terminal: false }
    }

    /// One that reads what is typed on the exec's terminal.
    pub fn terminal(reader: Reader) -> Self {
        Self { terminal: true, ..Self::new(reader) }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One that is at its end.
    pub fn empty() -> Self {
        Self::new(Box::new(tokio::io::empty()))
    }

    /// One that reads a file from its beginning.
    pub(crate) fn file(file: Descriptor) -> Self {
        Self::new(Box::new(FileReader { file, offset: 0 }))
    }
}

impl AsyncRead for Input {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Commands of a script run one after the other: nobody waits for the lock.
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *reader).poll_read(cx, buffer)
    }
}

/// Reads a file in line, as guests do.
struct FileReader {
    file: Descriptor,
    offset: u64,
}

impl AsyncRead for FileReader {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let bytes = self.file.read_bytes_at(self.offset, buffer.remaining().min(MAX_CHUNK))?;
        self.offset = self.offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

/// A standard output or error. Clones lead to the same place.
#[derive(Clone, Debug)]
pub enum Sink {
    /// The output of the exec, as one of its streams.
    Output(OutputSender, Stream),
    /// The exec's terminal, which has one stream for both outputs.
    Terminal(OutputSender),
    /// The end of a file.
    File(Descriptor),
}

/// Why something could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Nobody reads any more.
    #[error("nobody reads the output")]
    Closed,
    /// The file does not take it.
    #[error(transparent)]
    File(#[from] Errno),
}

impl Sink {
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Writes all of it, waiting for room.
    ///
    /// # Errors
    /// [`WriteError`]; a part may be written then.
    pub async fn write(&self, bytes: Bytes) -> Result<(), WriteError> {
        match self {
            Self::Output(sender, stream) => send(sender, *stream, bytes).await,
            Self::Terminal(sender) => send(sender, Stream::Stdout, bytes).await,
            Self::File(file) => {
                let mut rest = &*bytes;
                while !rest.is_empty() {
                    let written = match file.append(rest)? {
                        0 => return Err(Errno::NOSPC.into()),
                        written => written,
                    };
                    rest = rest.get(written..).unwrap_or_default();
                }
                Ok(())
            }
        }
    }
}

async fn send(sender: &OutputSender, stream: Stream, mut rest: Bytes) -> Result<(), WriteError> {
    while !rest.is_empty() {
        let bytes = rest.split_to(rest.len().min(MAX_CHUNK));
        let chunk = Chunk::now(stream, bytes);
        sender.send(chunk).await.map_err(|_| WriteError::Closed)?;
    }
    Ok(())
}
