//! A listener on a host socket.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::sockets::apply;
use super::{HostConnection, HostSocket};
use crate::network::account::{Account, Descriptor};
use crate::network::owner::{End, SocketSlot};
use crate::network::sync::{Fan, lock};
use crate::network::tcp::TcpOptions;
use crate::network::{Family, NetError};

/// A listener on a host socket.
#[derive(Debug)]
pub(in crate::network::tcp) struct HostListener {
    family: Family,
    shared: Arc<Shared>,
    acceptor: Waker,
    account: Account,
    runtime: Handle,
    slot: SocketSlot,
    _descriptor: Descriptor,
}

/// What ends with the container.
#[derive(Debug)]
struct Shared {
    /// None once the container has ended: the port is free then.
    listener: Mutex<Option<Listening>>,
    local: SocketAddr,
    fan: Arc<Fan>,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Listening {
    listener: TcpListener,
    /// Accepted to find out whether there is something to accept.
    next: Option<io::Result<(TcpStream, SocketAddr)>>,
}

impl End for Shared {
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let listening = lock(&self.listener).take();
        drop(listening);
        self.fan.wake_all();
    }
}

impl Shared {
    /// Looks whether there is a connection.
    fn poll_next<R>(
        &self,
        waker: &Waker,
        runtime: &Handle,
        found: impl FnOnce(&mut Option<io::Result<(TcpStream, SocketAddr)>>) -> R,
    ) -> Result<R, NetError> {
        let _runtime = runtime.enter();
        let mut listening = lock(&self.listener);
        let Listening { listener, next } = listening.as_mut().ok_or(NetError::ConnectionAborted)?;
        if next.is_none()
            && let Poll::Ready(accepted) = listener.poll_accept(&mut Context::from_waker(waker))
        {
            *next = Some(accepted);
        }
        Ok(found(next))
    }
}

impl HostListener {
    pub(in crate::network::tcp) fn new(
        socket: HostSocket,
        family: Family,
        backlog: u32,
        account: Account,
        slot: SocketSlot,
        runtime: Handle,
    ) -> Result<Self, NetError> {
        let entered = runtime.enter();
        let local = socket.local()?;
        let HostSocket { socket, descriptor } = socket;
        let listener = socket.listen(backlog).map_err(|error| NetError::from_host(&error))?;
        drop(entered);
        let (fan, acceptor) = Fan::new();
        let listener = Mutex::new(Some(Listening { listener, next: None }));
        let shared = Arc::new(Shared { listener, local, fan, ended: AtomicBool::new(false) });
        slot.track(Arc::downgrade(&shared) as _)?;
        Ok(Self { family, shared, acceptor, account, runtime, slot, _descriptor: descriptor })
    }

    pub(in crate::network::tcp) fn local(&self) -> SocketAddr {
        self.shared.local
    }

    /// An error once its container's network is closed.
    pub(in crate::network::tcp) fn check(&self) -> Result<(), NetError> {
        self.slot.check()
    }

    pub(in crate::network::tcp) fn poll_acceptable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.fan.register(cx.waker());
        match self.shared.poll_next(&self.acceptor, &self.runtime, |next| next.is_some()) {
            Ok(false) => Poll::Pending,
            Ok(true) | Err(_) => Poll::Ready(()),
        }
    }

    pub(in crate::network::tcp) fn try_accept(&self) -> Result<Option<Arc<HostConnection>>, NetError> {
        let slot = self.slot.sibling()?;
        let permits = (self.account.connection()?, Some(self.account.descriptor()?));
        match self.shared.poll_next(&self.acceptor, &self.runtime, Option::take)? {
            None => Ok(None),
            Some(Ok(accepted)) => {
                let around = (self.runtime.clone(), Arc::clone(self.account.traffic()));
                HostConnection::new(self.family, accepted, slot, permits, around, None).map(Some)
            }
            Some(Err(error)) => Err(match NetError::from_host(&error) {
                // What happened to a connection before it was accepted (accept(2)).
                NetError::ConnectionReset | NetError::RemoteUnreachable | NetError::NotSupported => {
                    NetError::ConnectionAborted
                }
                other => other,
            }),
        }
    }

    pub(in crate::network::tcp) fn set_backlog(&self, backlog: u32) -> Result<(), NetError> {
        let listening = lock(&self.shared.listener);
        let Listening { listener, .. } = listening.as_ref().ok_or(NetError::ConnectionAborted)?;
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        rustix::net::listen(listener, backlog).map_err(|error| NetError::from_host(&error.into()))
    }

    pub(in crate::network::tcp) fn set_options(&self, new: &TcpOptions, former: &TcpOptions) -> Result<(), NetError> {
        let listening = lock(&self.shared.listener);
        let Listening { listener, .. } = listening.as_ref().ok_or(NetError::ConnectionAborted)?;
        apply(listener, self.family, new, former)
    }
}
