//! A listener in memory: who has connected and waits to be accepted, and who waits for room to connect.
//!
//! As in the kernel a connection is there before it is accepted, as long as the backlog has room: `backlog + 1` of them.
//! The kernel then drops what comes, and clients try again and again; here a connect waits for room, in order, and only a
//! bounded number of them does. One more is refused.
//!
//! A client of a host port is a socket of the host's, which is accepted as such: its bytes come from the kernel to whoever
//! accepts it.
//!
//! ```text
//!   Open ── close, end of the container ──► Closed     those that wait are refused, those not accepted are reset
//! ```

use std::any::Any;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::TcpOptions;
use super::host::HostVisitor;
use super::link::Endpoint;
use crate::network::account::Account;
use crate::network::owner::End;
use crate::network::sync::{WakerSet, lock};
use crate::network::{Family, NetError};

/// What accepts connections at an address of a pod.
pub(crate) struct Listener {
    local: SocketAddr,
    family: Family,
    account: Account,
    service: Option<Arc<dyn Any + Send + Sync>>,
    max_waiting: usize,
    options: Mutex<TcpOptions>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Listener").field("local", &self.local).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum State {
    Open(Queue),
    Closed(NetError),
}

#[derive(Debug)]
struct Queue {
    backlog: usize,
    ready: VecDeque<Arrival>,
    waiting: VecDeque<Arc<Pending>>,
    acceptors: WakerSet,
}

/// A connection that is there and not accepted.
#[derive(Debug)]
pub(super) enum Arrival {
    /// One in memory.
    Memory(Arc<Endpoint>),
    /// One by a socket of the host's.
    Host(Box<HostVisitor>),
}

impl Arrival {
    fn reset(self) {
        match self {
            Self::Memory(endpoint) => endpoint.reset(),
            Self::Host(visitor) => drop(visitor),
        }
    }
}

/// A connect that waits for room.
#[derive(Debug)]
pub(crate) struct Pending {
    state: Mutex<PendingState>,
}

#[derive(Debug)]
enum PendingState {
    Waiting { server: Arc<Endpoint>, connector: WakerSet },
    Established,
    Failed(NetError),
}

/// What became of a connect.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is connected.
    Established,
    /// It waits for room.
    Waiting(Arc<Pending>),
}

impl Listener {
    /// A listener with an empty queue.
    pub(super) fn new(
        local: SocketAddr,
        account: Account,
        options: TcpOptions,
        backlog: usize,
        max_waiting: usize,
        service: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            local,
            family: Family::of(local.ip()),
            account,
            service,
            max_waiting,
            options: Mutex::new(options),
            state: Mutex::new(State::Open(Queue {
                backlog,
                ready: VecDeque::new(),
                waiting: VecDeque::new(),
                acceptors: WakerSet::default(),
            })),
        })
    }

    /// Whom connections are charged to.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// What was registered with it.
    pub(crate) fn service(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.service.as_ref()
    }

    /// What its connections begin with.
    pub(super) fn options(&self) -> TcpOptions {
        *lock(&self.options)
    }

    pub(super) fn set_options(&self, options: TcpOptions) {
        *lock(&self.options) = options;
    }

    /// The family of its socket.
    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Lets a connection in, or makes it wait.
    pub(super) fn admit(&self, server: Arc<Endpoint>) -> Result<Admission, NetError> {
        let mut state = lock(&self.state);
        let State::Open(queue) = &mut *state else {
            return Err(NetError::ConnectionRefused);
        };
        if queue.waiting.is_empty() && queue.has_room() {
            queue.ready.push_back(Arrival::Memory(server));
            let woken = queue.acceptors.take();
            drop(state);
            woken.wake();
            return Ok(Admission::Established);
        }
        if queue.waiting.len() >= self.max_waiting {
            return Err(NetError::ConnectionRefused);
        }
        let waiting = PendingState::Waiting { server, connector: WakerSet::default() };
        let pending = Arc::new(Pending { state: Mutex::new(waiting) });
        queue.waiting.push_back(Arc::clone(&pending));
        Ok(Admission::Waiting(pending))
    }

    /// Lets in what `arrive` makes of `arriving`, if there is room; otherwise it comes back.
    pub(crate) fn admit_now<T>(&self, arriving: T, arrive: impl FnOnce(T) -> Option<HostVisitor>) -> Result<(), T> {
        let mut state = lock(&self.state);
        let State::Open(queue) = &mut *state else {
            return Err(arriving);
        };
        if !queue.waiting.is_empty() || !queue.has_room() {
            return Err(arriving);
        }
        let Some(visitor) = arrive(arriving) else {
            return Ok(());
        };
        queue.ready.push_back(Arrival::Host(Box::new(visitor)));
        let woken = queue.acceptors.take();
        drop(state);
        woken.wake();
        Ok(())
    }

    /// Forgets a connect that is no longer wanted.
    pub(super) fn forget(&self, pending: &Arc<Pending>) {
        if let State::Open(queue) = &mut *lock(&self.state) {
            queue.waiting.retain(|other| !Arc::ptr_eq(other, pending));
        }
        pending.fail(NetError::ConnectionRefused);
    }

    /// The next connection; none: would block.
    pub(super) fn try_accept(&self) -> Result<Option<Arrival>, NetError> {
        let mut state = lock(&self.state);
        let queue = match &mut *state {
            State::Open(queue) => queue,
            State::Closed(why) => return Err(why.clone()),
        };
        let next = queue.ready.pop_front();
        let woken = queue.promote();
        drop(state);
        woken.into_iter().for_each(WakerSet::wake);
        Ok(next)
    }

    /// Ready when an accept has something to say.
    pub(super) fn poll_acceptable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        let State::Open(queue) = &mut *state else {
            return Poll::Ready(());
        };
        if !queue.ready.is_empty() {
            return Poll::Ready(());
        }
        let stale = queue.acceptors.register(cx.waker());
        drop(state);
        stale.wake();
        Poll::Pending
    }

    /// How many connections may wait to be accepted, and one.
    pub(super) fn set_backlog(&self, backlog: usize) {
        let mut state = lock(&self.state);
        let State::Open(queue) = &mut *state else {
            return;
        };
        queue.backlog = backlog;
        let mut woken = queue.promote();
        woken.push(queue.acceptors.take());
        drop(state);
        woken.into_iter().for_each(WakerSet::wake);
    }

    /// Closes it: what waits is refused, what was not accepted is reset.
    pub(super) fn close(&self, why: NetError) {
        let State::Open(queue) = std::mem::replace(&mut *lock(&self.state), State::Closed(why)) else {
            return;
        };
        for pending in queue.waiting {
            pending.fail(NetError::ConnectionRefused);
        }
        for arrival in queue.ready {
            arrival.reset();
        }
        queue.acceptors.wake();
    }
}

impl End for Listener {
    fn end(&self) {
        self.close(NetError::ConnectionAborted);
    }
}

impl End for Pending {
    fn end(&self) {
        self.fail(NetError::ConnectionAborted);
    }
}

impl Queue {
    /// As Linux's `sk_acceptq_is_full`: one more than asked for.
    fn has_room(&self) -> bool {
        self.ready.len() <= self.backlog
    }

    /// Lets in who waits, as far as there is room; whom to wake for it.
    fn promote(&mut self) -> Vec<WakerSet> {
        let mut woken = Vec::new();
        while self.has_room()
            && let Some(pending) = self.waiting.pop_front()
        {
            if let Some((server, connector)) = pending.leave(PendingState::Established) {
                self.ready.push_back(Arrival::Memory(server));
                woken.push(connector);
            }
        }
        woken
    }
}

impl Pending {
    /// How it went.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        let mut state = lock(&self.state);
        match &mut *state {
            PendingState::Established => Poll::Ready(Ok(())),
            PendingState::Failed(why) => Poll::Ready(Err(why.clone())),
            PendingState::Waiting { connector, .. } => {
                let stale = connector.register(cx.waker());
                drop(state);
                stale.wake();
                Poll::Pending
            }
        }
    }

    /// Ends it without a connection.
    fn fail(&self, why: NetError) {
        if let Some((server, connector)) = self.leave(PendingState::Failed(why)) {
            drop(server);
            connector.wake();
        }
    }

    /// Ends the wait, if it has not ended.
    fn leave(&self, outcome: PendingState) -> Option<(Arc<Endpoint>, WakerSet)> {
        let mut state = lock(&self.state);
        match std::mem::replace(&mut *state, outcome) {
            PendingState::Waiting { server, connector } => Some((server, connector)),
            ended => {
                *state = ended;
                None
            }
        }
    }
}
