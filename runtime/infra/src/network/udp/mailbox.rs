//! Where the datagrams of this node for a socket wait. What does not fit is lost, as datagrams are.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};

use bytes::Bytes;

use super::Datagram;
use crate::budget::{Budget, Ledger};
use crate::network::limits::DATAGRAM_OVERHEAD;
use crate::network::owner::End;
use crate::network::sync::{WakerSet, lock};
use crate::network::{Family, NetError};

/// The datagrams for one socket.
#[derive(Debug)]
pub(crate) struct Mailbox {
    family: Family,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Open(Box<Mail>),
    /// The container has ended.
    Closed,
}

#[derive(Debug)]
struct Mail {
    accepts: Accepts,
    queue: VecDeque<Datagram>,
    /// What the queue costs, in bytes.
    cost: usize,
    bound: usize,
    ledger: Ledger,
    /// What came back for a datagram that was sent; reported once.
    error: Option<NetError>,
    readers: WakerSet,
}

/// Whose datagrams a socket takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    /// Anybody's.
    All,
    /// A connected socket: its peer's, sent to the address it connected from.
    Peer { remote: SocketAddr, local: IpAddr },
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It waits to be received.
    Taken,
    /// There was no room for it: it is lost, as datagrams are.
    Lost,
    /// Nobody receives there: an ICMP message goes back.
    Refused,
}

impl Mailbox {
    /// An empty one, of at most `bound` bytes, charged to `budget`.
    pub(super) fn new(family: Family, bound: usize, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            family,
            state: Mutex::new(State::Open(Box::new(Mail {
                accepts: Accepts::All,
                queue: VecDeque::new(),
                cost: 0,
                bound,
                ledger: Ledger::new(budget),
                error: None,
                readers: WakerSet::default(),
            }))),
        })
    }

    /// Puts a datagram in.
    pub(crate) fn deliver(&self, from: SocketAddr, to: IpAddr, bytes: Bytes) -> Delivery {
        let mut state = lock(&self.state);
        let State::Open(mail) = &mut *state else {
            return Delivery::Refused;
        };
        if let Accepts::Peer { remote, local } = mail.accepts
            && (remote, local) != (from, to)
        {
            return Delivery::Refused;
        }
        let cost = mail.cost + bytes.len() + DATAGRAM_OVERHEAD;
        // As the kernel does: what arrives while there is any room is taken, so one always fits.
        if mail.cost >= mail.bound || mail.ledger.cover(cost as u64).is_err() {
            return Delivery::Lost;
        }
        mail.cost = cost;
        mail.queue.push_back(Datagram { bytes, remote: self.family.present(from) });
        let woken = mail.readers.take();
        drop(state);
        woken.wake();
        Delivery::Taken
    }

    /// The next datagram, or what came back for one that was sent.
    pub(super) fn receive(&self) -> Result<Option<Datagram>, NetError> {
        let mut state = lock(&self.state);
        let mail = state.open()?;
        if let Some(error) = mail.error.take() {
            return Err(error);
        }
        let next = mail.queue.pop_front();
        if let Some(datagram) = &next {
            mail.cost -= datagram.bytes.len() + DATAGRAM_OVERHEAD;
            mail.ledger.settle(mail.cost as u64);
            if mail.queue.is_empty() {
                mail.queue.shrink_to(16);
            }
        }
        Ok(next)
    }

    /// Ready when [`Self::receive`] has something to say.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        let Ok(mail) = state.open() else {
            return Poll::Ready(());
        };
        if mail.error.is_some() || !mail.queue.is_empty() {
            return Poll::Ready(());
        }
        drop(state);
        self.wait(cx)
    }

    /// Waits for the next wake-up, whatever it is for.
    pub(super) fn wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        let Ok(mail) = state.open() else {
            return Poll::Ready(());
        };
        let stale = mail.readers.register(cx.waker());
        drop(state);
        stale.wake();
        Poll::Pending
    }

    /// An error that waits to be reported; an error too once the container has ended.
    pub(super) fn take_error(&self) -> Result<(), NetError> {
        match lock(&self.state).open()?.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What came back for a datagram that was sent.
    pub(super) fn fail(&self, error: NetError) {
        self.change(|mail| mail.error = Some(error));
    }

    /// Whose datagrams are taken from now on. Those that wait stay.
    pub(super) fn accept_from(&self, accepts: Accepts) {
        self.change(|mail| {
            mail.accepts = accepts;
            mail.error = None;
        });
    }

    /// In bytes.
    pub(super) fn set_bound(&self, bound: usize) {
        self.change(|mail| mail.bound = bound);
    }

    fn change(&self, change: impl FnOnce(&mut Mail)) {
        let mut state = lock(&self.state);
        if let State::Open(mail) = &mut *state {
            change(mail);
            let woken = mail.readers.take();
            drop(state);
            woken.wake();
        }
    }
}

impl State {
    fn open(&mut self) -> Result<&mut Mail, NetError> {
        match self {
            Self::Open(mail) => Ok(mail),
            Self::Closed => Err(NetError::ConnectionAborted),
        }
    }
}

impl End for Mailbox {
    fn end(&self) {
        let state = std::mem::replace(&mut *lock(&self.state), State::Closed);
        if let State::Open(mut mail) = state {
            mail.readers.take().wake();
        }
    }
}

/// A host socket that has something for the same readers wakes them by this.
impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.change(|_| {});
    }
}
