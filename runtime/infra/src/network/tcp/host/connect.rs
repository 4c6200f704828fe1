//! A connect by a host socket.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::connection::Inside;
use super::{HostConnection, HostSocket};
use crate::network::account::{Account, Descriptor};
use crate::network::binding::Binding;
use crate::network::owner::{End, Permit, SocketSlot};
use crate::network::sync::Fan;
use crate::network::tcp::TcpOptions;
use crate::network::traffic::Traffic;
use crate::network::{Family, NetError};

type Connected = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// A connect that has been started.
pub(crate) struct HostConnect {
    to: SocketAddr,
    family: Family,
    future: Mutex<Connected>,
    waiting: Arc<Waiting>,
    waker: Waker,
    runtime: Handle,
    traffic: Arc<Traffic>,
    permit: Permit,
    descriptor: Descriptor,
    /// The port and address in the pod that the connection appears to come from.
    inside: Option<(Arc<Binding>, SocketAddr)>,
}

impl std::fmt::Debug for HostConnect {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HostConnect").finish_non_exhaustive()
    }
}

/// Who waits, and whether the container has ended.
#[derive(Debug)]
struct Waiting {
    fan: Arc<Fan>,
    ended: AtomicBool,
}

impl End for Waiting {
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.fan.wake_all();
    }
}

impl HostConnect {
    /// Starts to connect.
    pub(in crate::network::tcp) fn start(
        socket: HostSocket,
        to: SocketAddr,
        account: &Account,
        slot: &SocketSlot,
        runtime: &Handle,
        inside: Option<(Arc<Binding>, SocketAddr)>,
    ) -> Result<Self, NetError> {
        let permit = account.connection()?;
        let (fan, waker) = Fan::new();
        let waiting = Arc::new(Waiting { fan, ended: AtomicBool::new(false) });
        slot.track(Arc::downgrade(&waiting) as _)?;
        Ok(Self {
            to,
            family: Family::of(to.ip()),
            future: Mutex::new(Box::pin(socket.socket.connect(to))),
            waiting,
            waker,
            runtime: runtime.clone(),
            traffic: Arc::clone(account.traffic()),
            permit,
            descriptor: socket.descriptor,
            inside,
        })
    }

    /// How it went. Once it has said, [`Self::finish`] is next.
    pub(in crate::network::tcp) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpStream, NetError>> {
        self.waiting.fan.register(cx.waker());
        if self.waiting.ended.load(Ordering::Acquire) {
            return Poll::Ready(Err(NetError::ConnectionAborted));
        }
        let _runtime = self.runtime.enter();
        let future = self.future.get_mut().unwrap_or_else(PoisonError::into_inner);
        let outcome = ready!(future.as_mut().poll(&mut Context::from_waker(&self.waker)));
        Poll::Ready(outcome.map_err(|error| NetError::from_host(&error)))
    }

    /// The connection that it became.
    pub(in crate::network::tcp) fn finish(
        self,
        stream: TcpStream,
        slot: SocketSlot,
    ) -> Result<Arc<HostConnection>, NetError> {
        let permits = (self.permit, Some(self.descriptor));
        // The kernel has its own mind of the wildcard; of a connection that was reset it says nothing any more.
        let remote = stream.peer_addr().unwrap_or(self.to);
        let inside = self.inside.map(|(binding, local)| Inside::from(local, binding));
        HostConnection::new(self.family, (stream, remote), slot, permits, (self.runtime, self.traffic), inside)
    }
}

/// A connection of the node's own by the host's network.
pub(crate) async fn dial(
    to: SocketAddr,
    account: &Account,
    slot: SocketSlot,
    runtime: &Handle,
    options: &TcpOptions,
) -> Result<crate::network::TcpStream, NetError> {
    let socket = HostSocket::new(Family::of(to.ip()), options, options, account)?;
    finish_dial(socket, to, account, slot, runtime).await
}

/// The same by `socket`, which is somewhere else: in a pod's network namespace.
pub(crate) async fn dial_by(
    socket: OwnedFd,
    to: SocketAddr,
    account: &Account,
    slot: SocketSlot,
    runtime: &Handle,
    options: &TcpOptions,
) -> Result<crate::network::TcpStream, NetError> {
    let socket = HostSocket::from_fd(socket, Family::of(to.ip()), options, options, account)?;
    finish_dial(socket, to, account, slot, runtime).await
}

async fn finish_dial(
    socket: HostSocket,
    to: SocketAddr,
    account: &Account,
    slot: SocketSlot,
    runtime: &Handle,
) -> Result<crate::network::TcpStream, NetError> {
    let mut connect = HostConnect::start(socket, to, account, &slot, runtime, None)?;
    let stream = std::future::poll_fn(|cx| connect.poll(cx)).await?;
    connect.finish(stream, slot).map(crate::network::TcpStream::on_host)
}
