//! Datagrams through a host port.
//!
//! A client that sent something can be answered for a while: a *flow*. What the pod sends to anybody else does not leave
//! by the host port.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::tcp::canonical;
use super::{Closable, Target};

/// Flows of one port at a time. One more takes the place of the one that is idle for the longest.
pub(super) const FLOWS: usize = 1024;
/// How long a flow lasts after the last datagram in either direction.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// What became of a datagram from the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Handed to the kernel, or lost as datagrams are.
    Sent,
    /// It was none for a client of this port.
    NotAClient,
}

/// A UDP port of the host.
pub(super) struct UdpPort {
    socket: Closable<UdpSocket>,
    flows: Mutex<Flows>,
}

impl UdpPort {
    pub(super) fn new(socket: UdpSocket) -> Self {
        Self { socket: Closable::new(socket), flows: Mutex::default() }
    }

    pub(super) fn close(&self) {
        self.socket.close();
    }

    pub(super) fn reply(&self, client: SocketAddr, bytes: &[u8]) -> Reply {
        let Some(kernels) = self.flows().used(client, Instant::now()) else { return Reply::NotAClient };
        // A full buffer loses the datagram, as a full queue on any link does.
        if let Some(Err(error)) = self.socket.with(|socket| socket.try_send_to(bytes, kernels)) {
            tracing::debug!(%error, %client, "a datagram through a host port was lost");
        }
        Reply::Sent
    }

    fn flows(&self) -> std::sync::MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives until the socket is closed or the target is gone.
pub(super) async fn serve<T: Target>(port: Arc<UdpPort>, target: Weak<T>, container_port: u16) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let mut datagram = ReadBuf::new(&mut buffer);
        let received = poll_fn(|cx| match port.socket.with(|socket| socket.poll_recv_from(cx, &mut datagram)) {
            Some(poll) => poll.map(Some),
            None => Poll::Ready(None),
        });
        match received.await {
            None => return,
            Some(Ok(kernels)) => {
                let Some(target) = target.upgrade() else { return };
                let client = canonical(kernels);
                port.flows().seen(client, kernels, Instant::now());
                target.deliver(container_port, client, Bytes::copy_from_slice(datagram.filled()));
            }
            // What the kernel heard of a datagram that was sent earlier (ICMP).
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Some(Err(error)) => {
                tracing::warn!(%error, container_port, "cannot receive on a host port; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// The clients that can be answered.
#[derive(Debug, Default)]
pub(super) struct Flows(HashMap<SocketAddr, Flow>);

#[derive(Debug)]
struct Flow {
    /// The client's address as the kernel writes it: for a socket of both families, IPv4 in IPv6.
    kernels: SocketAddr,
    used: Instant,
}

impl Flows {
    /// A datagram came from `client`.
    pub(super) fn seen(&mut self, client: SocketAddr, kernels: SocketAddr, now: Instant) {
        if self.0.len() >= FLOWS && !self.0.contains_key(&client) {
            self.0.retain(|_, flow| flow.lives(now));
            if self.0.len() >= FLOWS
                && let Some(oldest) = self.0.iter().min_by_key(|(_, flow)| flow.used).map(|(client, _)| *client)
            {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(client, Flow { kernels, used: now });
    }

    /// A datagram goes to `client`: to where, if it is one that can be answered.
    pub(super) fn used(&mut self, client: SocketAddr, now: Instant) -> Option<SocketAddr> {
        let flow = self.0.get_mut(&client).filter(|flow| flow.lives(now))?;
        flow.used = now;
        Some(flow.kernels)
    }
}

impl Flow {
    fn lives(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE
    }
}
