//! A connection as wasi:io streams.
//!
//! Socket and streams share each half of the connection. A half ends by the socket's `shutdown`, and with the socket,
//! which outlives its streams: dropping a stream alone ends nothing, as with wasmtime-wasi.
//!
//! ```text
//!   output:  Open(permit) ──flush──► Flushing ──► Open(0)
//!               └───error, shutdown──────┴──────► Closed(why): each later call says so
//! ```
//!
//! Reads and writes are calls of the network that never wait. Nothing is buffered here: `check-write` permits what the
//! connection takes at that moment, and nobody else writes to it. Calls that block try first and wait only where there
//! is nothing to do: one that does not wait asks nobody to be woken, and none waits by more than one future.

use std::future::poll_fn;
use std::mem;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use nacelle_infra::network::{NetError, TcpRead, TcpStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use crate::sockets::MAX_CHUNK;
use crate::sockets::tcp::{Receiver, Sender};

/// Both halves of a connection, as its socket holds them.
#[derive(Debug)]
pub(super) struct Streams {
    receive: Arc<Half<Receiver>>,
    send: Arc<Half<Sender>>,
}

/// One half of a connection.
#[derive(Debug)]
struct Half<T> {
    end: T,
    closed: AtomicBool,
}

impl<T> Half<T> {
    fn new(end: T) -> Arc<Self> {
        Arc::new(Self { end, closed: AtomicBool::new(false) })
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn close(&self, stream: &TcpStream, how: Shutdown) {
        self.closed.store(true, Ordering::Release);
        // What has ended needs no further end.
        let _ = stream.shutdown(how);
    }
}

impl Streams {
    pub(super) fn new(receiver: Receiver, sender: Sender) -> Self {
        Self { receive: Half::new(receiver), send: Half::new(sender) }
    }

    /// Ends one or both halves.
    pub(super) fn shutdown(&self, how: Shutdown) {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.receive.close(self.receive.end.stream(), Shutdown::Read);
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            self.send.close(self.send.end.stream(), Shutdown::Write);
        }
    }
}

/// What a guest reads a connection by.
#[derive(Debug)]
pub(super) struct Input(Arc<Half<Receiver>>);

impl Input {
    pub(super) fn new(streams: &Streams) -> Self {
        Self(Arc::clone(&streams.receive))
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_closed() { Poll::Ready(()) } else { self.0.end.stream().poll_readable(cx) }
    }

    /// Reads something. A read of nothing waits until there would be something to read.
    fn poll_read(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<StreamResult<Bytes>> {
        for _ in 0..2 {
            match self.read(size) {
                Ok(bytes) if bytes.is_empty() => ready!(self.poll_ready(cx)),
                result => return Poll::Ready(result),
            }
            if size == 0 {
                return Poll::Ready(Ok(Bytes::new()));
            }
        }
        // It was ready for nothing: others first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Input {
    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        poll_fn(|cx| self.poll_read(cx, size)).await
    }

    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.0.is_closed() {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let stream = self.0.end.stream();
        match stream.try_read(size.min(MAX_CHUNK)) {
            Ok(TcpRead::Bytes(bytes)) => Ok(bytes),
            Ok(TcpRead::Empty) => Ok(Bytes::new()),
            Ok(TcpRead::End) => {
                self.0.close(stream, Shutdown::Read);
                Err(StreamError::Closed)
            }
            Err(error) => {
                self.0.close(stream, Shutdown::Read);
                Err(StreamError::LastOperationFailed(error.into()))
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }
}

/// What a guest writes a connection by.
#[derive(Debug)]
pub(super) struct Output {
    half: Arc<Half<Sender>>,
    state: Writing,
}

#[derive(Debug)]
enum Writing {
    /// So many bytes may be written.
    Open(usize),
    /// Nothing may be written until what was is on its way.
    Flushing,
    /// The end, or the error that ended it.
    Closed(Option<NetError>),
}

impl Output {
    pub(super) fn new(streams: &Streams) -> Self {
        Self { half: Arc::clone(&streams.send), state: Writing::Open(0) }
    }

    fn stream(&self) -> &TcpStream {
        self.half.end.stream()
    }

    /// Notices the socket's shutdown, and says what an ended stream says.
    fn check_open(&mut self) -> StreamResult<()> {
        if !matches!(self.state, Writing::Closed(_)) && self.half.is_closed() {
            self.state = Writing::Closed(None);
        }
        match &self.state {
            Writing::Closed(error) => Err(failure(error.clone())),
            Writing::Open(_) | Writing::Flushing => Ok(()),
        }
    }

    fn fail(&mut self, error: NetError) -> StreamError {
        // What cannot be written to any more is closed; anything else has a reason to tell.
        let error = Some(error).filter(|error| *error != NetError::ConnectionBroken);
        self.state = Writing::Closed(error.clone());
        failure(error)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.check_open().is_err() {
            return Poll::Ready(());
        }
        if matches!(self.state, Writing::Flushing) {
            ready!(self.stream().poll_flushed(cx));
            self.state = Writing::Open(0);
        }
        self.stream().poll_writable(cx)
    }

    /// Waits for room, and says how much there is.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<usize>> {
        for _ in 0..2 {
            match self.check_write() {
                Ok(0) => ready!(self.poll_ready(cx)),
                result => return Poll::Ready(result),
            }
        }
        // It was ready for nothing: others first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes all of `bytes`, from the front.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<StreamResult<()>> {
        self.check_open()?;
        while !bytes.is_empty() {
            let room = ready!(self.poll_room(cx))?;
            // Splitting what is not split needs an allocation.
            let chunk = if room < bytes.len() { bytes.split_to(room) } else { mem::take(bytes) };
            self.write(chunk)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until what was written is on its way. The end of the stream is no failure of what was written before.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<()>> {
        if !matches!(self.state, Writing::Flushing) {
            match self.flush() {
                Ok(()) if matches!(self.state, Writing::Flushing) => {}
                Ok(()) | Err(StreamError::Closed) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        ready!(self.stream().poll_flushed(cx));
        match self.check_write() {
            Ok(_) | Err(StreamError::Closed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

fn failure(error: Option<NetError>) -> StreamError {
    error.map_or(StreamError::Closed, |error| StreamError::LastOperationFailed(error.into()))
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    async fn write_ready(&mut self) -> StreamResult<usize> {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    async fn blocking_write_and_flush(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        poll_fn(|cx| self.poll_write(cx, &mut bytes)).await?;
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check_open()?;
        if matches!(self.state, Writing::Flushing) && !self.stream().is_flushed() {
            return Ok(0);
        }
        match self.stream().writable() {
            Ok(room) => {
                let permit = room.min(MAX_CHUNK);
                self.state = Writing::Open(permit);
                Ok(permit)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check_open()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let size = bytes.len();
        match self.state {
            Writing::Open(permit) if size <= permit => {}
            _ => return Err(StreamError::trap("a write of more than check-write permitted")),
        }
        self.state = Writing::Open(0);
        match self.stream().try_write(bytes) {
            Ok(taken) if taken == size => Ok(()),
            // The room was there when it was asked for, and nobody else writes.
            Ok(_) => Err(self.fail(NetError::ConnectionAborted)),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_open()?;
        if !self.stream().is_flushed() {
            self.state = Writing::Flushing;
        }
        Ok(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }
}
