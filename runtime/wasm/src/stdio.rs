//! Standard streams between guests and the container's channels.
//!
//! Output goes into the container's bounded channel; a guest that writes faster than the reader reads waits until
//! there is room, in WASI 0.2 as in 0.3. Nothing is buffered here: what a write returned for is in the channel, and charged
//! to the container while it is. Input ends when the reader does, or when the container is asked to terminate.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use nacelle_container::output::{Chunk, MAX_CHUNK, OutputSender, Stream};
use nacelle_infra::budget::Budget;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::mpsc::error::TrySendError;
use wasmtime_wasi::cli::{AsyncStdinStream, IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::charged::charged;
use crate::flag::Control;

/// One of a container's output streams, from which a guest makes any number of handles.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    sender: OutputSender,
    stream: Stream,
    terminal: bool,
    /// Who pays for what waits in the channel. What the runtime itself writes is nobody's.
    payer: Option<Arc<Budget>>,
}

impl Output {
    pub(crate) fn new(sender: OutputSender, stream: Stream) -> Self {
        Self { sender, stream, terminal: false, payer: None }
    }

    /// One whose bytes are charged until they are taken from the channel.
    pub(crate) fn paid_by(self, payer: &Arc<Budget>) -> Self {
        Self { payer: Some(Arc::clone(payer)), ..self }
    }

    /// One that is a terminal, or is none.
    pub(crate) fn on_terminal(self, terminal: bool) -> Self {
        Self { terminal, ..self }
    }

    /// Writes the runtime's own words about the container, waiting for room.
    pub(crate) async fn write(&self, text: &str) {
        for part in text.as_bytes().chunks(MAX_CHUNK) {
            // Nobody reads any more: there is nobody to tell.
            let _ = self.sender.send(self.chunk(Bytes::copy_from_slice(part))).await;
        }
    }

    fn chunk(&self, bytes: Bytes) -> Box<Chunk> {
        let bytes = match &self.payer {
            Some(payer) => charged(bytes, payer),
            None => bytes,
        };
        Chunk::now(self.stream, bytes)
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(AsyncHandle { output: self.clone(), reserving: None })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(PollHandle { output: self.clone(), room: None, flushed: false })
    }
}

/// A WASI 0.2 output stream: room in the channel is reserved by `check_write` and used by `write`.
///
/// It is not kept longer than that: many instances share the channel, and those that only wait for something must not
/// keep the others from writing. So a blocking write takes just what it needs, and a flush, which has nothing to do,
/// waits for nothing.
struct PollHandle {
    output: Output,
    room: Option<OwnedPermit<Box<Chunk>>>,
    /// A flush came last: whoever waits for the stream now waits for its end, and does not mean to write.
    flushed: bool,
}

#[wasmtime_wasi::async_trait]
impl OutputStream for PollHandle {
    fn check_write(&mut self) -> StreamResult<usize> {
        self.flushed = false;
        if self.room.is_none() {
            match self.output.sender.clone().try_reserve_owned() {
                Ok(room) => self.room = Some(room),
                Err(TrySendError::Full(_)) => return Ok(0),
                Err(TrySendError::Closed(_)) => return Err(StreamError::Closed),
            }
        }
        Ok(MAX_CHUNK)
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() > MAX_CHUNK {
            return Err(StreamError::trap("a write exceeds what check-write permitted"));
        }
        let room = self.room.take().ok_or_else(|| StreamError::trap("a write without a permit from check-write"))?;
        room.send(self.output.chunk(bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.flushed = true;
        Ok(())
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        if std::mem::take(&mut self.flushed) && self.room.is_none() {
            return Ok(0);
        }
        self.ready().await;
        self.check_write()
    }

    async fn blocking_write_and_flush(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        self.flushed = false;
        while !bytes.is_empty() {
            self.ready().await;
            let room = self.room.take().ok_or(StreamError::Closed)?;
            let part = bytes.split_to(bytes.len().min(MAX_CHUNK));
            room.send(self.output.chunk(part));
        }
        Ok(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for PollHandle {
    async fn ready(&mut self) {
        if self.room.is_none() {
            // A closed channel is ready too: the next call reports it.
            self.room = self.output.sender.clone().reserve_owned().await.ok();
        }
    }
}

type Reserving = Pin<Box<dyn Future<Output = Option<OwnedPermit<Box<Chunk>>>> + Send + Sync>>;

/// A WASI 0.3 output stream.
struct AsyncHandle {
    output: Output,
    reserving: Option<Reserving>,
}

impl AsyncWrite for AsyncHandle {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let sender = &this.output.sender;
        let reserving = this.reserving.get_or_insert_with(|| {
            let sender = sender.clone();
            Box::pin(async move { sender.reserve_owned().await.ok() })
        });
        let room = ready!(reserving.as_mut().poll(cx));
        this.reserving = None;
        let Some(room) = room else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let part = buf.get(..MAX_CHUNK).unwrap_or(buf);
        if !part.is_empty() {
            room.send(this.output.chunk(Bytes::copy_from_slice(part)));
        }
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What the host gives a container to read.
pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A container's standard input, from which a guest makes any number of handles that share its position.
#[derive(Clone)]
pub(crate) struct Input {
    stream: Arc<AsyncStdinStream>,
    terminal: bool,
}

impl Input {
    /// The input that `reader` gives, which `control.terminate` ends. Call it on the runtime that runs the guest.
    pub(crate) fn new(reader: Reader, control: Arc<Control>) -> Self {
        let terminated = Box::pin(async move { control.terminate.wait().await });
        let reader = UntilTerminated { reader: Mutex::new(reader), terminated };
        Self { stream: Arc::new(AsyncStdinStream::new(reader)), terminal: false }
    }

    /// One that is a terminal, or is none.
    pub(crate) fn on_terminal(self, terminal: bool) -> Self {
        Self { terminal, ..self }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        self.stream.async_stream()
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        self.stream.p2_stream()
    }
}

struct UntilTerminated {
    /// A mutex only because the reader need not be `Sync`; it is never locked by two.
    reader: Mutex<Reader>,
    terminated: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl AsyncRead for UntilTerminated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Input that is already there goes before the end.
        let this = &mut *self;
        let reader = this.reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Poll::Ready(result) = Pin::new(reader).poll_read(cx, buf) {
            return Poll::Ready(result);
        }
        ready!(this.terminated.as_mut().poll(cx));
        // A finished future must not be polled again.
        this.terminated = Box::pin(std::future::ready(()));
        Poll::Ready(Ok(()))
    }
}
