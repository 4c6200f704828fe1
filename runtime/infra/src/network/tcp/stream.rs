//! A connection's bytes.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TcpOptions;
use super::host::HostConnection;
use super::link::Endpoint;
use crate::network::NetError;

/// A handle to a connection: all clones are the same connection. Never blocks; any number of tasks may wait; a wake may
/// be spurious.
#[derive(Clone, Debug)]
pub struct TcpStream {
    connection: Connection,
}

#[derive(Clone, Debug)]
enum Connection {
    Memory(Arc<Endpoint>),
    Host(Arc<HostConnection>),
}

/// What [`TcpStream::try_read`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpRead {
    /// Bytes, at least one.
    Bytes(Bytes),
    /// None now: would block.
    Empty,
    /// The peer has sent everything.
    End,
}

impl TcpStream {
    pub(crate) fn in_memory(endpoint: Arc<Endpoint>) -> Self {
        Self { connection: Connection::Memory(endpoint) }
    }

    pub(crate) fn on_host(connection: Arc<HostConnection>) -> Self {
        Self { connection: Connection::Host(connection) }
    }

    /// Takes at most `max` bytes that have arrived.
    ///
    /// # Errors
    ///
    /// Reset by the peer, or the container's network was closed.
    #[inline]
    pub fn try_read(&self, max: usize) -> Result<TcpRead, NetError> {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.try_read(max),
            Connection::Host(connection) => connection.try_read(max),
        }
    }

    /// Ready when there are bytes, the end, or an error.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.poll_readable(cx),
            Connection::Host(connection) => connection.poll_readable(cx),
        }
    }

    /// How many bytes [`Self::try_write`] takes now; 0: wait.
    ///
    /// # Errors
    ///
    /// The same as a write's.
    pub fn writable(&self) -> Result<usize, NetError> {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.writable(),
            Connection::Host(connection) => connection.writable(),
        }
    }

    /// Sends from the front of `bytes`, and says how many were taken; 0: none now. What is taken is not copied: the
    /// allocation behind `bytes` lives until the peer has read it, so do not send a small part of a large one.
    ///
    /// After the peer has closed, the first write is swallowed and the next fails: the kernel's reset takes a round trip.
    ///
    /// # Errors
    ///
    /// Reset by the peer, shut down, or the container's network was closed.
    #[inline]
    pub fn try_write(&self, bytes: Bytes) -> Result<usize, NetError> {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.try_write(bytes),
            Connection::Host(connection) => connection.try_write(&bytes),
        }
    }

    /// Ready when there is room, or an error.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.poll_writable(cx),
            Connection::Host(connection) => connection.poll_writable(cx),
        }
    }

    /// Whether all that was written is on its way: always in memory; handed to the kernel for a host connection.
    pub fn is_flushed(&self) -> bool {
        match &self.connection {
            Connection::Memory(_) => true,
            Connection::Host(connection) => connection.is_flushed(),
        }
    }

    /// Ready when [`Self::is_flushed`].
    pub fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.connection {
            Connection::Memory(_) => Poll::Ready(()),
            Connection::Host(connection) => connection.poll_flushed(cx),
        }
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`] if the connection has ended.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), NetError> {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.shutdown(how),
            Connection::Host(connection) => connection.shutdown(how),
        }
    }

    /// The own address.
    pub fn local_address(&self) -> SocketAddr {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.local(),
            Connection::Host(connection) => connection.local(),
        }
    }

    /// The peer's address.
    pub fn remote_address(&self) -> SocketAddr {
        match &self.connection {
            Connection::Memory(endpoint) => endpoint.remote(),
            Connection::Host(connection) => connection.remote(),
        }
    }

    pub(super) fn set_options(&self, new: &TcpOptions, former: &TcpOptions) -> Result<(), NetError> {
        match &self.connection {
            Connection::Memory(endpoint) => {
                let (receive, send) = new.buffers();
                endpoint.set_buffers(receive, send);
                Ok(())
            }
            Connection::Host(connection) => connection.set_options(new, former),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let has_ended_or_read = match &self.connection {
                Connection::Memory(endpoint) => match endpoint.try_read(buffer.remaining())? {
                    TcpRead::Bytes(bytes) => {
                        buffer.put_slice(&bytes);
                        true
                    }
                    TcpRead::End => true,
                    TcpRead::Empty => false,
                },
                Connection::Host(connection) => {
                    connection.try_read_with(buffer.remaining(), |bytes| buffer.put_slice(bytes))?.is_some()
                }
            };
            if has_ended_or_read {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_readable(cx));
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let taken = match &self.connection {
                Connection::Memory(endpoint) => match endpoint.writable()?.min(bytes.len()) {
                    0 => 0,
                    // Copied only as far as there is room for it.
                    room => endpoint.try_write(Bytes::copy_from_slice(&bytes[..room]))?,
                },
                Connection::Host(connection) => connection.try_write(bytes)?,
            };
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            ready!(self.poll_writable(cx));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(cx).map(Ok)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flushed(cx));
        Poll::Ready(match self.shutdown(Shutdown::Write) {
            // What has ended needs no further end.
            Ok(()) | Err(NetError::NotConnected) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}
