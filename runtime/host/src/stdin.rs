//! The pipe to a container's standard input.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::Mutex;

/// Bytes that wait in the pipe, as in a Linux pipe.
const CAPACITY: usize = 64 * 1024;

/// The writing end of a container's standard input. It stays open while the container lives, whoever comes and goes,
/// until it is closed.
#[derive(Clone, Debug)]
pub struct Stdin {
    pipe: Arc<Mutex<Option<DuplexStream>>>,
    once: bool,
}

impl Stdin {
    /// A pipe: the writing end, and the reading end for the container.
    pub(crate) fn new(once: bool) -> (Self, DuplexStream) {
        let (writer, reader) = tokio::io::duplex(CAPACITY);
        (Self { pipe: Arc::new(Mutex::new(Some(writer))), once }, reader)
    }

    /// Writes all of `bytes`; waits while the pipe is full.
    ///
    /// # Errors
    /// `BrokenPipe` when the container does not read any more, or the pipe was closed.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self.pipe.lock().await.as_mut() {
            Some(pipe) => pipe.write_all(bytes).await,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The client's input ended: with Kubernetes' `stdinOnce` the container then reads the end of its input,
    /// otherwise it waits for the next client.
    pub async fn detach(&self) {
        if self.once {
            self.pipe.lock().await.take();
        }
    }
}
