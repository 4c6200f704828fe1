//! A UDP socket of the host.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;
use tokio::runtime::Handle;

use super::{Datagram, UdpOptions};
use crate::network::account::{Account, Descriptor};
use crate::network::host_options::HostOptions;
use crate::network::readiness::{ROUNDS, Reactor, ask};
use crate::network::sync::lock;
use crate::network::traffic::Traffic;
use crate::network::{Family, NetError, PodNetwork};

/// A UDP socket of the host.
pub(super) struct HostSocket {
    socket: Arc<tokio::net::UdpSocket>,
    /// Waits for a datagram or an error. tokio's polls for reading do not see an error that comes alone, as what comes
    /// back for a datagram does.
    arrival: Mutex<Option<Waiting>>,
    /// Waits for room where the socket's own registration cannot: see [`Self::poll_sendable`].
    room: Mutex<Option<Waiting>>,
    reactor: Reactor,
    runtime: Handle,
    account: Account,
    /// Wakes all who wait: a tokio socket remembers only the last.
    waker: Waker,
    _descriptor: Descriptor,
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl fmt::Debug for HostSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HostSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// What a receive waits for.
const ARRIVAL: Interest = Interest::READABLE.add(Interest::ERROR);

thread_local! {
    /// Datagrams are received into this and copied at their size: nobody knows it before.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl HostSocket {
    /// A socket, unbound, with `options` as far as they are not the default: the kernel's hold for what nobody has set.
    /// `waker` is to wake whoever waits for it.
    pub(super) fn new(
        family: Family,
        options: &UdpOptions,
        waker: Waker,
        pod: &PodNetwork,
    ) -> Result<Arc<Self>, NetError> {
        let descriptor = pod.account().descriptor()?;
        let domain = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(domain, SocketType::DGRAM, flags, None).map_err(host_error)?;
        if family == Family::V6 {
            sockopt::set_ipv6_v6only(&fd, true).map_err(host_error)?;
        }
        apply(&fd, family, options, &UdpOptions::new(pod.node().limits()))?;
        let runtime = pod.sockets_runtime();
        let entered = runtime.enter();
        let socket = tokio::net::UdpSocket::from_std(fd.into()).map_err(|error| NetError::from_host(&error))?;
        drop(entered);
        Ok(Arc::new(Self {
            socket: Arc::new(socket),
            arrival: Mutex::new(None),
            room: Mutex::new(None),
            reactor: Reactor::default(),
            runtime,
            account: pod.account().clone(),
            waker,
            _descriptor: descriptor,
        }))
    }

    #[cfg(test)]
    pub(super) fn kernel_socket(&self) -> &tokio::net::UdpSocket {
        &self.socket
    }

    /// What its pod counts in.
    pub(super) fn traffic(&self) -> &Traffic {
        self.account.traffic()
    }

    pub(super) fn bind(&self, local: SocketAddr) -> Result<(), NetError> {
        rustix::net::bind(&self.socket, &local).map_err(|error| NetError::from_host_bind(&error.into()))
    }

    pub(super) fn connect(&self, remote: Option<SocketAddr>) -> Result<(), NetError> {
        match remote {
            Some(remote) => match rustix::net::connect(&self.socket, &remote) {
                // Connected before, by a route that does not lead to the new peer.
                Err(Errno::INVAL) => {
                    self.disconnect()?;
                    rustix::net::connect(&self.socket, &remote).map_err(host_error)
                }
                outcome => outcome.map_err(host_error),
            },
            None => self.disconnect(),
        }
    }

    fn disconnect(&self) -> Result<(), NetError> {
        match rustix::net::connect_unspec(&self.socket) {
            Ok(()) | Err(Errno::AFNOSUPPORT) => Ok(()),
            Err(error) => Err(host_error(error)),
        }
    }

    /// False: would block.
    pub(super) fn try_send(&self, bytes: &[u8], remote: Option<SocketAddr>) -> Result<bool, NetError> {
        let send = || match remote {
            Some(remote) => rustix::net::sendto(&self.socket, bytes, SendFlags::empty(), &remote),
            None => rustix::net::send(&self.socket, bytes, SendFlags::empty()),
        };
        // Not by tokio, which believes a new socket to be unwritable until its reactor has run.
        match send() {
            Err(Errno::AGAIN) => self.reactor.blocked(false),
            Ok(_) => {
                self.account.traffic().transmitted(bytes.len());
                Ok(true)
            }
            Err(error) => {
                self.account.traffic().transmit_failed();
                Err(host_error(error))
            }
        }
    }

    pub(super) fn try_receive(&self) -> Result<Option<Datagram>, NetError> {
        let received: Result<_, Errno> = BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(65_536, 0);
            let (count, _, remote) = rustix::net::recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            let remote = remote.and_then(|remote| SocketAddr::try_from(remote).ok());
            Ok((Bytes::copy_from_slice(&buffer[..count]), remote))
        });
        match received {
            Ok((bytes, Some(remote))) => Ok(Some(Datagram { bytes, remote })),
            // Not from an IP address: there are no such datagrams on an IP socket.
            Ok((_, None)) => Ok(None),
            Err(Errno::AGAIN) => self.reactor.blocked(None),
            Err(error) => {
                self.account.traffic().receive_failed();
                Err(host_error(error))
            }
        }
    }

    /// Ready when there is a datagram or an error. The socket's waker is remembered, not the caller's.
    pub(super) fn poll_receivable(&self) -> Poll<()> {
        let mut arrival = lock(&self.arrival);
        for _ in 0..ROUNDS {
            let waiting = arrival.get_or_insert_with(|| {
                let socket = Arc::clone(&self.socket);
                Box::pin(async move { socket.ready(ARRIVAL).await.map(drop) })
            });
            ready!(self.reactor.note(waiting.as_mut().poll(&mut Context::from_waker(&self.waker))));
            *arrival = None;
            // What has arrived may have been taken since. Asked by tokio, which forgets what the kernel denies; one by
            // one, as it forgets nothing where it is asked for both.
            let is_there = |interest| self.socket.try_io(interest, || ask(&self.socket, PollFlags::IN)).is_ok();
            if self.reactor.is_gone() || is_there(Interest::READABLE) || is_there(Interest::ERROR) {
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }

    /// Ready when there is room or an error. The socket's waker is remembered, not the caller's.
    pub(super) fn poll_sendable(&self) -> Poll<()> {
        for _ in 0..ROUNDS {
            ready!(self.reactor.note(self.socket.poll_send_ready(&mut Context::from_waker(&self.waker))));
            let is_there = self.socket.try_io(Interest::WRITABLE, || ask(&self.socket, PollFlags::OUT)).is_ok();
            if self.reactor.is_gone() || is_there {
                *lock(&self.room) = None;
                return Poll::Ready(());
            }
        }
        self.poll_room()
    }

    /// Waits for room by a registration of its own: tokio takes an error, such as a refusal, for the end of the sending
    /// side and believes the socket writable for ever. Sockets that are full after an error are rare: the second
    /// descriptor lives while one waits.
    fn poll_room(&self) -> Poll<()> {
        let mut room = lock(&self.room);
        let waiting = match &mut *room {
            Some(waiting) => waiting,
            none => match self.wait_apart() {
                Ok(waiting) => none.insert(waiting),
                // The attempt to send says what there is to say.
                Err(_) => return Poll::Ready(()),
            },
        };
        ready!(self.reactor.note(waiting.as_mut().poll(&mut Context::from_waker(&self.waker))));
        *room = None;
        Poll::Ready(())
    }

    fn wait_apart(&self) -> Result<Waiting, NetError> {
        let descriptor = self.account.descriptor()?;
        let copy = rustix::io::fcntl_dupfd_cloexec(&self.socket, 0).map_err(host_error)?;
        let _runtime = self.runtime.enter();
        let socket = tokio::net::UdpSocket::from_std(copy.into()).map_err(|error| NetError::from_host(&error))?;
        Ok(Box::pin(async move {
            let _descriptor = descriptor;
            socket.writable().await
        }))
    }

    /// The connected peer, as the kernel has it.
    pub(super) fn remote(&self) -> Result<SocketAddr, NetError> {
        self.socket.peer_addr().map_err(|error| NetError::from_host(&error))
    }

    pub(super) fn local(&self) -> Result<SocketAddr, NetError> {
        self.socket.local_addr().map_err(|error| NetError::from_host(&error))
    }

    /// Changes what differs from `former`.
    pub(super) fn set_options(
        &self,
        family: Family,
        options: &UdpOptions,
        former: &UdpOptions,
    ) -> Result<(), NetError> {
        apply(&*self.socket, family, options, former)
    }
}

/// Sets what differs from `former`.
fn apply(socket: impl AsFd, family: Family, new: &UdpOptions, former: &UdpOptions) -> Result<(), NetError> {
    common(new).apply(socket.as_fd(), family, common(former)).map_err(host_error)
}

fn common(options: &UdpOptions) -> HostOptions {
    let UdpOptions { hop_limit, receive_buffer, send_buffer, .. } = *options;
    HostOptions { hop_limit, receive_buffer, send_buffer }
}

fn host_error(error: Errno) -> NetError {
    NetError::from_host(&error.into())
}
