//! A connection by a host socket.
//!
//! Who is told that there is room may write so much, all at once, but the kernel takes what it likes. So one write of up
//! to [`CHUNK`] bytes is always taken, and what the kernel did not take is sent by a task:
//!
//! ```text
//!   Open ── write, the kernel takes less ──► Flushing ── all sent ──► Open
//!     │                                        │  └─── failed ──► Failed ── reported, once ──► Finished
//!     └── shutdown ──► Finished ◄── shutdown ──┘ (when all is sent)
//! ```

use std::cell::RefCell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::sockets::apply;
use crate::budget::{Budget, Ledger};
use crate::network::account::Descriptor;
use crate::network::binding::Binding;
use crate::network::host_port::Place;
use crate::network::owner::{End, Permit, SocketSlot};
use crate::network::readiness::Reactor;
use crate::network::sync::{Fan, lock};
use crate::network::tcp::{TcpOptions, TcpRead};
use crate::network::traffic::Traffic;
use crate::network::{Family, NetError};

/// The most that is read or written at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// What a connection is charged with at least, in bytes: its registrations, and what little is kept of it in between.
const FLOOR: u64 = 4096;

/// A connection by a host socket.
#[derive(Debug)]
pub(crate) struct HostConnection {
    family: Family,
    stream: TcpStream,
    local: SocketAddr,
    remote: SocketAddr,
    readers: Arc<Fan>,
    reader: Waker,
    writers: Arc<Fan>,
    sending: Mutex<Sending>,
    ended: AtomicBool,
    reactor: Reactor,
    runtime: Handle,
    traffic: Arc<Traffic>,
    slot: SocketSlot,
    _memory: Ledger,
    _permits: (Permit, Option<Descriptor>),
    _inside: Option<Inside>,
}

/// How a connection appears in its pod, which is not on the host's network; with what it holds there.
#[derive(Debug)]
pub(super) struct Inside {
    local: SocketAddr,
    _binding: Option<Arc<Binding>>,
    _place: Option<Place>,
}

impl Inside {
    /// From an address whose port is bound.
    pub(super) fn from(local: SocketAddr, binding: Arc<Binding>) -> Self {
        Self { local, _binding: Some(binding), _place: None }
    }

    /// To an address, by a host port.
    pub(super) fn to(local: SocketAddr, place: Place) -> Self {
        Self { local, _binding: None, _place: Some(place) }
    }
}

#[derive(Debug)]
enum Sending {
    Open,
    Flushing { rest: Kept, then: Then },
    Failed(NetError),
    Finished,
}

/// Bytes that were taken and not sent.
#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    budget: Arc<Budget>,
    charged: u64,
}

impl Kept {
    /// A copy: what is kept must not hold a larger allocation than it needs.
    fn new(bytes: &[u8], budget: Arc<Budget>) -> Self {
        let charged = bytes.len() as u64;
        // They were promised room for: at most a chunk per connection.
        budget.force(charged);
        Self { bytes: Bytes::copy_from_slice(bytes), budget, charged }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.release(self.charged);
    }
}

#[derive(Clone, Copy, Debug)]
enum Then {
    GoOn,
    Finish,
}

thread_local! {
    /// Bytes are received into this and copied at their number, so that few bytes do not hold much memory.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl HostConnection {
    /// Takes over a stream that was connected to `remote`, and may have been reset since: what is left of it can be read.
    /// `inside`: none for a pod on the host's network, and for the node itself.
    pub(super) fn new(
        family: Family,
        (stream, remote): (TcpStream, SocketAddr),
        slot: SocketSlot,
        permits: (Permit, Option<Descriptor>),
        (runtime, traffic): (Handle, Arc<Traffic>),
        inside: Option<Inside>,
    ) -> Result<Arc<Self>, NetError> {
        // Connections in memory hold nothing back either. WASI has no option by which a guest could say so, and small
        // writes would wait for the peer's delayed acknowledgements. Not being able to is no reason to fail.
        let _ = stream.set_nodelay(true);
        let local = match &inside {
            Some(inside) => inside.local,
            None => stream.local_addr().map_err(|error| NetError::from_host(&error))?,
        };
        let (readers, reader) = Fan::new();
        // Writers wait for the task that flushes, not for the kernel.
        let (writers, _) = Fan::new();
        let memory = Ledger::with_floor(Arc::clone(slot.memory()), FLOOR)?;
        let tracker = slot.tracker();
        let this = Arc::new(Self {
            family,
            stream,
            local,
            remote,
            readers,
            reader,
            writers,
            sending: Mutex::new(Sending::Open),
            ended: AtomicBool::new(false),
            reactor: Reactor::default(),
            runtime,
            traffic,
            slot,
            _memory: memory,
            _permits: permits,
            _inside: inside,
        });
        tracker.track(Arc::downgrade(&this) as _)?;
        Ok(this)
    }

    /// From now on a close sends what is left, as it does by default.
    pub(super) fn linger(&self) -> Result<(), NetError> {
        sockopt::set_socket_linger(&self.stream, None).map_err(|error| NetError::from_host(&error.into()))
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(in crate::network::tcp) fn try_read(&self, max: usize) -> Result<TcpRead, NetError> {
        let mut bytes = Bytes::new();
        Ok(match self.try_read_with(max, |received| bytes = Bytes::copy_from_slice(received))? {
            None => TcpRead::Empty,
            Some(0) => TcpRead::End,
            Some(_) => TcpRead::Bytes(bytes),
        })
    }

    /// Hands at most `max` bytes that have arrived to `take`, and says how many: 0 at the end, none while there are none.
    pub(in crate::network::tcp) fn try_read_with(
        &self,
        max: usize,
        take: impl FnOnce(&[u8]),
    ) -> Result<Option<usize>, NetError> {
        self.check()?;
        if max == 0 {
            return Ok(None);
        }
        let received: io::Result<usize> = BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(CHUNK, 0);
            let count = self.receive(&mut buffer[..max.min(CHUNK)])?;
            take(&buffer[..count]);
            Ok(count)
        });
        match received {
            Ok(count) => {
                self.traffic.received(count);
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.reactor.blocked(None),
            Err(error) => {
                self.traffic.receive_failed();
                Err(NetError::from_host(&error))
            }
        }
    }

    /// One call of the kernel. If it does not fill the buffer there is nothing more for now: tokio is told so, as its own
    /// `poll_read` does, and the call that would find nothing is saved.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let mut count = 0;
        let read = self.stream.try_io(Interest::READABLE, || {
            count = rustix::io::read(&self.stream, buffer)?;
            if (1..room).contains(&count) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if count > 0 { Ok(count) } else { read.map(|()| 0) }
    }

    pub(in crate::network::tcp) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.readers.register(cx.waker());
        if self.check().is_err() {
            return Poll::Ready(());
        }
        self.reactor.note(self.stream.poll_read_ready(&mut Context::from_waker(&self.reader)))
    }

    pub(in crate::network::tcp) fn writable(&self) -> Result<usize, NetError> {
        self.check()?;
        match lock(&self.sending).admit()? {
            true => Ok(CHUNK),
            false => Ok(0),
        }
    }

    pub(in crate::network::tcp) fn try_write(self: &Arc<Self>, bytes: &[u8]) -> Result<usize, NetError> {
        self.check()?;
        let mut sending = lock(&self.sending);
        if !sending.admit()? || bytes.is_empty() {
            return Ok(0);
        }
        let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
        let taken = bytes.len();
        let sent = match self.stream.try_write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                self.traffic.transmit_failed();
                return Err(NetError::from_host(&error));
            }
        };
        // What the kernel does not take now, the flusher sends: it has left the guest.
        self.traffic.transmitted(taken);
        if sent < taken {
            let rest = bytes.get(sent..).unwrap_or_default();
            let rest = Kept::new(rest, Arc::clone(self.slot.memory()));
            *sending = Sending::Flushing { rest, then: Then::GoOn };
            drop(sending);
            // Made here: a runtime that has ended drops the task without having run it.
            let flusher = Flusher(Arc::clone(self));
            self.runtime.spawn(flusher.flush());
        }
        Ok(taken)
    }

    /// Ready when a write takes bytes or has something to say.
    pub(in crate::network::tcp) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_flushed(cx)
    }

    pub(in crate::network::tcp) fn is_flushed(&self) -> bool {
        !matches!(*lock(&self.sending), Sending::Flushing { .. })
    }

    pub(in crate::network::tcp) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writers.register(cx.waker());
        if self.check().is_err() || self.is_flushed() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(in crate::network::tcp) fn shutdown(&self, how: Shutdown) -> Result<(), NetError> {
        self.check()?;
        let mut sending = lock(&self.sending);
        let now = match (&mut *sending, how) {
            (_, Shutdown::Read) => Some(rustix::net::Shutdown::Read),
            (Sending::Flushing { then, .. }, _) => {
                *then = Then::Finish;
                (how == Shutdown::Both).then_some(rustix::net::Shutdown::Read)
            }
            (state, _) => {
                *state = Sending::Finished;
                Some(if how == Shutdown::Both { rustix::net::Shutdown::Both } else { rustix::net::Shutdown::Write })
            }
        };
        drop(sending);
        match now {
            Some(how) => rustix::net::shutdown(&self.stream, how).map_err(|error| NetError::from_host(&error.into())),
            None => Ok(()),
        }
    }

    pub(in crate::network::tcp) fn set_options(&self, new: &TcpOptions, former: &TcpOptions) -> Result<(), NetError> {
        apply(&self.stream, self.family, new, former)
    }

    fn check(&self) -> Result<(), NetError> {
        if self.ended.load(Ordering::Acquire) { Err(NetError::ConnectionAborted) } else { Ok(()) }
    }
}

impl Sending {
    /// Whether bytes can be written now.
    fn admit(&mut self) -> Result<bool, NetError> {
        match self {
            Self::Open => Ok(true),
            Self::Flushing { then: Then::GoOn, .. } => Ok(false),
            Self::Flushing { then: Then::Finish, .. } | Self::Finished => Err(NetError::ConnectionBroken),
            Self::Failed(error) => {
                let error = error.clone();
                *self = Self::Finished;
                Err(error)
            }
        }
    }
}

impl End for HostConnection {
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        *lock(&self.sending) = Sending::Finished;
        // Dissolves the connection at once, with a reset, whoever still holds it.
        if rustix::net::connect_unspec(&self.stream).is_err() {
            let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
        }
        self.readers.wake_all();
        self.writers.wake_all();
    }
}

/// Sends what the kernel did not take. As a kernel does it, this outlives the socket.
struct Flusher(Arc<HostConnection>);

impl Flusher {
    async fn flush(self) {
        let connection = &self.0;
        loop {
            let ready = connection.stream.writable().await;
            let mut sending = lock(&connection.sending);
            let Sending::Flushing { rest, then } = &mut *sending else {
                return;
            };
            let outcome = ready.and_then(|()| connection.stream.try_write(&rest.bytes));
            match outcome {
                Ok(sent) => rest.bytes.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    *sending = Sending::Failed(NetError::from_host(&error));
                    return;
                }
            }
            if rest.bytes.is_empty() {
                *sending = match then {
                    Then::GoOn => Sending::Open,
                    Then::Finish => {
                        let _ = rustix::net::shutdown(&connection.stream, rustix::net::Shutdown::Write);
                        Sending::Finished
                    }
                };
                return;
            }
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        let mut sending = lock(&self.0.sending);
        // Not done: the runtime has ended. Nobody would send the rest any more, nor wake who waits for that.
        if matches!(*sending, Sending::Flushing { .. }) {
            *sending = Sending::Failed(NetError::ConnectionAborted);
        }
        drop(sending);
        self.0.writers.wake_all();
    }
}
