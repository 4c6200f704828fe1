//! Datagrams of clients of host ports for Linux containers: a socket of the host for each client, as every NAT has it, by
//! which the answer comes back.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Wire;
use crate::network::account::Descriptor;
use crate::network::sync::lock;
use crate::network::{NetError, PodNetwork};

/// Clients of a pod at a time. What further ones send is lost until one has been silent for [`IDLE`].
const CLIENTS: usize = 256;
/// How long a client is remembered after the last answer, or after its first datagram.
const IDLE: Duration = Duration::from_secs(30);
/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// The clients of a pod's host ports.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    clients: Mutex<HashMap<Client, Arc<Way>>>,
    tasks: Mutex<JoinSet<()>>,
}

/// A port of the pod, and who sends to it.
type Client = (u16, SocketAddr);

#[derive(Debug)]
struct Way {
    socket: UdpSocket,
    _descriptor: Descriptor,
}

impl Wire {
    /// Sends a client's datagram to the Linux container at `to`, an address of the pod. What cannot be sent is lost.
    pub(in crate::network) fn forward(self: &Arc<Self>, client: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        match self.way((to.port(), client), to) {
            // Not by tokio, which believes a new socket to be unwritable until its reactor has run.
            Ok(Some(way)) => drop(rustix::net::send(&way.socket, bytes, SendFlags::empty())),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, %client, "a datagram through a host port was lost"),
        }
    }

    fn way(self: &Arc<Self>, client: Client, to: SocketAddr) -> Result<Option<Arc<Way>>, NetError> {
        let mut clients = lock(&self.forwards.clients);
        if let Some(way) = clients.get(&client) {
            return Ok(Some(Arc::clone(way)));
        }
        let (Some(pod), true) = (self.pod.upgrade(), clients.len() < CLIENTS) else { return Ok(None) };
        let descriptor = pod.account().descriptor()?;
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let _runtime = self.runtime.enter();
        let open = || {
            let socket = std::net::UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        let socket = open().map_err(|error| NetError::from_host(&error))?;
        let way = Arc::new(Way { socket, _descriptor: descriptor });
        clients.insert(client, Arc::clone(&way));
        let mut tasks = lock(&self.forwards.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(answer(Arc::downgrade(self), Weak::clone(&self.pod), client, Arc::clone(&way)), &self.runtime);
        Ok(Some(way))
    }
}

/// Sends what the container answers back, until it has been silent for a while.
async fn answer(wire: Weak<Wire>, pod: Weak<PodNetwork>, client: Client, way: Arc<Way>) {
    let mut buffer = vec![0; DATAGRAM];
    while let Ok(received) = timeout(IDLE, way.socket.recv(&mut buffer)).await {
        match received {
            Ok(count) => {
                let Some(pod) = pod.upgrade() else { return };
                pod.answer(client.0, client.1, buffer.get(..count).unwrap_or_default());
            }
            // Nobody listens there, yet.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::debug!(%error, client = %client.1, "a way back through a host port has ended");
                break;
            }
        }
    }
    if let Some(wire) = wire.upgrade() {
        lock(&wire.forwards.clients).remove(&client);
    }
}
