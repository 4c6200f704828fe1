//! Datagrams between a network namespace and a pod's memory.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::task::Poll;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::network::decide::{Use, decide};
use crate::network::host_port::Closable;
use crate::network::udp::{Delivery, Mailbox};
use crate::network::{DialSource, Family, NetError, PodNetwork, Protocol};

/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// Sockets of one binding. Closed when dropped.
#[derive(Debug)]
pub(crate) struct Datagrams {
    sockets: Vec<Arc<WireSocket>>,
    tasks: JoinSet<()>,
}

/// A socket and where it is bound.
#[derive(Debug)]
struct WireSocket {
    local: SocketAddr,
    socket: Closable<UdpSocket>,
}

impl Datagrams {
    pub(super) fn serve(
        sockets: Vec<OwnedFd>,
        pod: Weak<PodNetwork>,
        mailbox: &Arc<Mailbox>,
        runtime: &Handle,
    ) -> Result<Self, NetError> {
        let mut serving = Self { sockets: Vec::with_capacity(sockets.len()), tasks: JoinSet::new() };
        let _runtime = runtime.enter();
        for socket in sockets {
            let socket = std::net::UdpSocket::from(socket);
            let local = socket.local_addr().map_err(|error| NetError::from_host(&error))?;
            let socket = UdpSocket::from_std(socket).map_err(|error| NetError::from_host(&error))?;
            let socket = Arc::new(WireSocket { local, socket: Closable::new(socket) });
            let receive = receive(Arc::clone(&socket), Weak::clone(&pod), Arc::downgrade(mailbox));
            serving.tasks.spawn_on(receive, runtime);
            serving.sockets.push(socket);
        }
        Ok(serving)
    }

    /// Sends by the socket of the family; `false` if there is none. What finds no room is lost, as datagrams are.
    pub(in crate::network) fn send(&self, bytes: &[u8], to: SocketAddr) -> Result<bool, NetError> {
        let family = Family::of(to.ip());
        let same = |socket: &&Arc<WireSocket>| family == Family::of(socket.local.ip());
        let Some(socket) = self.sockets.iter().find(same).or(self.sockets.first()) else { return Ok(false) };
        // A socket of both families takes IPv4 in IPv6.
        let to = Family::of(socket.local.ip()).present(to);
        match socket.socket.with(|socket| rustix::net::sendto(socket, bytes, SendFlags::empty(), &to)) {
            // A refusal is what came back for a datagram of before.
            Some(Ok(_) | Err(Errno::AGAIN | Errno::CONNREFUSED)) => Ok(true),
            Some(Err(error)) => Err(NetError::from_host(&error.into())),
            None => Ok(false),
        }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        // The tasks are told to end, but do so later: the ports are free now.
        self.sockets.iter().for_each(|socket| socket.socket.close());
    }
}

/// Receives until the binding or the pod is gone.
async fn receive(socket: Arc<WireSocket>, pod: Weak<PodNetwork>, mailbox: Weak<Mailbox>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let mut datagram = ReadBuf::new(&mut buffer);
        let received = poll_fn(|cx| match socket.socket.with(|socket| socket.poll_recv_from(cx, &mut datagram)) {
            Some(poll) => poll.map(Some),
            None => Poll::Ready(None),
        });
        match received.await {
            None => return,
            Some(Ok(from)) => {
                let (Some(pod), Some(mailbox)) = (pod.upgrade(), mailbox.upgrade()) else { return };
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                pod.deliver_from_wire(&mailbox, from, socket.local, datagram.filled());
            }
            // What came back for a datagram that was sent (ICMP).
            Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot receive datagrams of a pod any more");
                return;
            }
        }
    }
}

impl PodNetwork {
    fn deliver_from_wire(&self, mailbox: &Mailbox, from: SocketAddr, local: SocketAddr, bytes: &[u8]) {
        let Some(to) = self.entered(from.ip(), local.port()) else { return };
        // A socket that is bound to one address got it there.
        let bound: IpAddr = local.ip().to_canonical();
        let to = if bound.is_unspecified() { to } else { SocketAddr::new(bound, to.port()) };
        let own = self.is_own_client(from.ip());
        if !own && decide(self, Use::Enter(Protocol::Udp, DialSource::Client(from), to)).is_err() {
            return;
        }
        if !own {
            self.account().traffic().received(bytes.len());
        }
        if mailbox.deliver(from, to.ip(), Bytes::copy_from_slice(bytes)) == Delivery::Lost && !own {
            self.account().traffic().receive_dropped();
        }
    }
}
