//! A connection in memory: two pipes, and what happening to one end means for the other. Linux's rules.
//!
//! - Closing with everything read sends an end (FIN). The peer can still write: its first write is swallowed, and
//!   answered by a reset.
//! - Closing with bytes unread, or being killed, sends a reset at once. What the peer had received before it can be read;
//!   then comes ConnectionReset, once; then the end. What the peer had sent is discarded.
//! - A reset after an end reads as the end, and is ConnectionBroken to a writer.
//! - An error is reported once, by whichever of read and write comes first.

use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::TcpRead;
use super::pipe::{Pipe, PipeState, Popped, Reading, Writing};
use crate::network::NetError;
use crate::network::account::Account;
use crate::network::binding::Binding;
use crate::network::owner::{End, Permit, SocketSlot};
use crate::network::sync::WakerSet;
use crate::network::traffic::{Crossing, crossed};

/// What one end of a connection is made from.
#[derive(Debug)]
pub(crate) struct EndConfig {
    pub(crate) account: Account,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// In bytes.
    pub(crate) receive_buffer: usize,
    /// In bytes.
    pub(crate) send_buffer: usize,
    /// The port that the end holds, if it is its own.
    pub(crate) binding: Option<Arc<Binding>>,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// What both ends share.
#[derive(Debug)]
struct Link {
    /// What the client writes.
    up: Pipe,
    /// What the server writes.
    down: Pipe,
    client_error: PendingError,
    server_error: PendingError,
    crossing: Crossing,
}

/// One end of a connection in memory. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    link: Arc<Link>,
    side: Side,
    local: SocketAddr,
    remote: SocketAddr,
    slot: OnceLock<SocketSlot>,
    _binding: Option<Arc<Binding>>,
    _permit: Permit,
}

/// An error that waits to be reported, once.
#[derive(Debug, Default)]
struct PendingError(AtomicU8);

const NO_ERROR: u8 = 0;
const RESET: u8 = 1;
const BROKEN: u8 = 2;

impl PendingError {
    fn set(&self, error: u8) {
        self.0.store(error, Ordering::Relaxed);
    }

    fn take(&self) -> Option<NetError> {
        match self.0.swap(NO_ERROR, Ordering::Relaxed) {
            RESET => Some(NetError::ConnectionReset),
            BROKEN => Some(NetError::ConnectionBroken),
            _ => None,
        }
    }
}

/// Everything of a link, seen from one side, under both locks.
struct Both<'a> {
    incoming: MutexGuard<'a, PipeState>,
    outgoing: MutexGuard<'a, PipeState>,
}

impl Both<'_> {
    /// Unlocks, and wakes everyone at both ends.
    fn wake_all(mut self) {
        let woken: [WakerSet; 4] = [
            self.incoming.readers.take(),
            self.incoming.writers.take(),
            self.outgoing.readers.take(),
            self.outgoing.writers.take(),
        ];
        drop(self);
        woken.into_iter().for_each(WakerSet::wake);
    }
}

impl Endpoint {
    /// A connection: the client's end and the server's. What is written counts in `crossing`.
    pub(crate) fn pair(
        client: EndConfig,
        server: EndConfig,
        crossing: Crossing,
    ) -> Result<(Arc<Self>, Arc<Self>), NetError> {
        let permits = (client.account.connection()?, server.account.connection()?);
        let link = Arc::new(Link {
            up: Pipe::new(client.account.memory(), client.send_buffer, server.receive_buffer)?,
            down: Pipe::new(server.account.memory(), server.send_buffer, client.receive_buffer)?,
            client_error: PendingError::default(),
            server_error: PendingError::default(),
            crossing,
        });
        let end = |side, config: EndConfig, permit| {
            Arc::new(Self {
                link: Arc::clone(&link),
                side,
                local: config.local,
                remote: config.remote,
                slot: OnceLock::new(),
                _binding: config.binding,
                _permit: permit,
            })
        };
        Ok((end(Side::Client, client, permits.0), end(Side::Server, server, permits.1)))
    }

    /// Makes the end a socket of its owner: counted there, and ended with it.
    pub(crate) fn belong_to(self: &Arc<Self>, slot: SocketSlot) -> Result<(), NetError> {
        let this: Arc<dyn End> = Arc::clone(self) as Arc<dyn End>;
        slot.track(Arc::downgrade(&this))?;
        // An end is given to one owner, once.
        let _ = self.slot.set(slot);
        Ok(())
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    #[inline]
    pub(super) fn try_read(&self, max: usize) -> Result<TcpRead, NetError> {
        match self.incoming().pop(max) {
            Popped::Bytes(bytes) => Ok(TcpRead::Bytes(bytes)),
            Popped::Nothing(Reading::Open) => Ok(TcpRead::Empty),
            Popped::Nothing(Reading::Shut | Reading::Finished) => Ok(TcpRead::End),
            Popped::Nothing(Reading::Reset) => self.error().take().map_or(Ok(TcpRead::End), Err),
            Popped::Nothing(Reading::Aborted) => Err(NetError::ConnectionAborted),
        }
    }

    #[inline]
    pub(super) fn try_write(&self, bytes: Bytes) -> Result<usize, NetError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let length = bytes.len();
        match self.outgoing().push(bytes) {
            Ok(taken) => {
                self.count(taken);
                Ok(taken)
            }
            Err(met) => self.cannot_write(met, Some(length)),
        }
    }

    #[inline]
    fn count(&self, bytes: usize) {
        let Crossing { client, server } = &self.link.crossing;
        if bytes > 0 {
            match self.side {
                Side::Client => crossed(client.as_ref(), server.as_ref(), bytes),
                Side::Server => crossed(server.as_ref(), client.as_ref(), bytes),
            }
        }
    }

    pub(super) fn writable(&self) -> Result<usize, NetError> {
        match self.outgoing().room() {
            Ok(room) => Ok(room),
            Err(met) => self.cannot_write(met, None),
        }
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.incoming().poll_readable(cx)
    }

    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.outgoing().poll_writable(cx)
    }

    /// In bytes.
    pub(super) fn set_buffers(&self, receive: usize, send: usize) {
        self.incoming().set_receive_buffer(receive);
        self.outgoing().set_send_buffer(send);
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> Result<(), NetError> {
        let mut both = self.both();
        let Both { incoming, outgoing } = &mut both;
        match outgoing.writing {
            Writing::Aborted => return Err(NetError::ConnectionAborted),
            Writing::Dead => return Err(NetError::NotConnected),
            // Both ends have finished: the connection is over.
            Writing::Shut if incoming.reading == Reading::Finished => return Err(NetError::NotConnected),
            Writing::Open | Writing::Shut | Writing::Gone => {}
        }
        if how != Shutdown::Read {
            outgoing.writing = Writing::Shut;
            if matches!(outgoing.reading, Reading::Open | Reading::Shut) {
                outgoing.reading = Reading::Finished;
            }
        }
        if how != Shutdown::Write && incoming.reading == Reading::Open {
            incoming.reading = Reading::Shut;
        }
        // Who has finished and wants no more answers bytes with a reset.
        if outgoing.writing == Writing::Shut && incoming.reading == Reading::Shut && incoming.writing == Writing::Open {
            incoming.writing = Writing::Gone;
        }
        both.wake_all();
        Ok(())
    }

    /// Sends a reset, as for bytes that nobody will read.
    pub(super) fn reset(&self) {
        let mut both = self.both();
        self.reset_peer(&mut both);
        both.wake_all();
    }

    /// What a write, or the question whether one is possible, is told instead of room. `length` of a write.
    #[cold]
    fn cannot_write(&self, met: Writing, length: Option<usize>) -> Result<usize, NetError> {
        match (met, length) {
            (Writing::Open, _) => Ok(0),
            (Writing::Aborted, _) => Err(NetError::ConnectionAborted),
            (Writing::Shut | Writing::Dead, _) => Err(self.error().take().unwrap_or(NetError::ConnectionBroken)),
            (Writing::Gone, None) => Ok(usize::from(u16::MAX)),
            (Writing::Gone, Some(length)) => {
                self.write_to_nobody();
                Ok(length)
            }
        }
    }

    /// The peer answers bytes that nobody will read.
    fn write_to_nobody(&self) {
        let mut both = self.both();
        let Both { incoming, outgoing } = &mut both;
        if outgoing.writing != Writing::Gone {
            return;
        }
        outgoing.writing = Writing::Dead;
        let (own, peer) = (self.error(), self.peer_error());
        if incoming.reading == Reading::Finished {
            own.set(BROKEN);
        } else {
            own.set(RESET);
            incoming.reading = Reading::Reset;
        }
        // The peer's end may still exist: it has only shut both directions down.
        peer.set(RESET);
        outgoing.reading = Reading::Reset;
        both.wake_all();
    }

    fn reset_peer(&self, both: &mut Both<'_>) {
        let Both { incoming, outgoing } = both;
        let was_over = match incoming.writing {
            Writing::Dead | Writing::Aborted => true,
            Writing::Shut => outgoing.reading == Reading::Finished,
            Writing::Open | Writing::Gone => false,
        };
        if !was_over {
            if outgoing.reading == Reading::Finished {
                self.peer_error().set(BROKEN);
            } else {
                self.peer_error().set(RESET);
                outgoing.reading = Reading::Reset;
            }
            incoming.writing = Writing::Dead;
        }
        outgoing.writing = Writing::Dead;
        incoming.discard();
    }

    fn both(&self) -> Both<'_> {
        let up = self.link.up.lock();
        let down = self.link.down.lock();
        match self.side {
            Side::Client => Both { incoming: down, outgoing: up },
            Side::Server => Both { incoming: up, outgoing: down },
        }
    }

    #[inline]
    fn incoming(&self) -> &Pipe {
        match self.side {
            Side::Client => &self.link.down,
            Side::Server => &self.link.up,
        }
    }

    #[inline]
    fn outgoing(&self) -> &Pipe {
        match self.side {
            Side::Client => &self.link.up,
            Side::Server => &self.link.down,
        }
    }

    fn error(&self) -> &PendingError {
        match self.side {
            Side::Client => &self.link.client_error,
            Side::Server => &self.link.server_error,
        }
    }

    fn peer_error(&self) -> &PendingError {
        match self.side {
            Side::Client => &self.link.server_error,
            Side::Server => &self.link.client_error,
        }
    }
}

impl End for Endpoint {
    fn end(&self) {
        let mut both = self.both();
        self.reset_peer(&mut both);
        both.incoming.reading = Reading::Aborted;
        both.outgoing.writing = Writing::Aborted;
        both.wake_all();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let mut both = self.both();
        if both.incoming.has_bytes() {
            self.reset_peer(&mut both);
        } else {
            let Both { incoming, outgoing } = &mut both;
            if matches!(outgoing.writing, Writing::Open | Writing::Gone) {
                outgoing.writing = Writing::Shut;
                if matches!(outgoing.reading, Reading::Open | Reading::Shut) {
                    outgoing.reading = Reading::Finished;
                }
            }
            if incoming.writing == Writing::Open {
                incoming.writing = Writing::Gone;
            }
        }
        both.wake_all();
    }
}
