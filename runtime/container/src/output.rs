//! What leaves a container through its standard output and error.
//!
//! A backend holds an [`OutputSender`] per container and sends [`Chunk`]s; the channel is bounded, so that a guest
//! that writes faster than its reader waits, as it would on a pipe. The channel ends when the last sender is dropped,
//! which a backend does before it reports the container's end: whoever drains the channel then has all of it.

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

/// Which stream a piece of output was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error; also trap backtraces and other words of the runtime about the container.
    Stderr,
}

/// The most bytes of one [`Chunk`].
pub const MAX_CHUNK: usize = 16 * 1024;

/// How many chunks wait in a channel: with [`MAX_CHUNK`], at most 1 MiB of a container's output is in memory.
pub const CHANNEL_CHUNKS: usize = 64;

/// A piece of output as the guest wrote it: not a line, and not necessarily UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it was written.
    pub stream: Stream,
    /// When it was written.
    pub time: Timestamp,
    /// At most [`MAX_CHUNK`] bytes.
    pub bytes: Bytes,
}

impl Chunk {
    /// What has just been written.
    pub fn now(stream: Stream, bytes: Bytes) -> Box<Self> {
        Box::new(Self { stream, time: Timestamp::now(), bytes })
    }
}

/// The backend's end of a container's output. Chunks are boxed because a channel has room for some from the start, and
/// most containers are idle.
pub type OutputSender = mpsc::Sender<Box<Chunk>>;
/// The host's end of a container's output.
pub type OutputReceiver = mpsc::Receiver<Box<Chunk>>;

/// A bounded channel for one container's output.
pub fn channel() -> (OutputSender, OutputReceiver) {
    mpsc::channel(CHANNEL_CHUNKS)
}
