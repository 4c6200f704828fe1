//! Connections from a network namespace into a pod's memory.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::network::host_port::{Closable, Room, Target, serve_tcp};
use crate::network::{NetError, PodNetwork, TcpStream};

/// Connections that the kernel completes before they are accepted. Behind them is the backlog of the listener in memory.
const BACKLOG: i32 = 128;

/// Listening sockets of one binding. Closed when dropped. Their connections go on, as a listener's do: each ends with the
/// stream in memory that it leads to.
#[derive(Debug)]
pub(crate) struct Streams {
    listeners: Vec<Arc<Closable<TcpListener>>>,
    /// Keeps the door open.
    _door: Arc<Door>,
    tasks: JoinSet<()>,
}

/// Where connections go.
#[derive(Debug)]
struct Door {
    pod: Weak<PodNetwork>,
}

impl Streams {
    pub(super) fn serve(
        sockets: Vec<OwnedFd>,
        port: u16,
        pod: Weak<PodNetwork>,
        runtime: &Handle,
        room: &Arc<Semaphore>,
    ) -> Result<Self, NetError> {
        let mut tasks = JoinSet::new();
        let mut listeners = Vec::with_capacity(sockets.len());
        let door = Arc::new(Door { pod });
        let _runtime = runtime.enter();
        for socket in sockets {
            rustix::net::listen(&socket, BACKLOG).map_err(|error| NetError::from_host_bind(&error.into()))?;
            let listener = TcpListener::from_std(socket.into()).map_err(|error| NetError::from_host(&error))?;
            let listener = Arc::new(Closable::new(listener));
            let room = Room::of(room);
            tasks.spawn_on(serve_tcp(Arc::clone(&listener), Arc::downgrade(&door), port, room), runtime);
            listeners.push(listener);
        }
        Ok(Self { listeners, _door: door, tasks })
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // Closing wakes the tasks, and they end; the ports are free now.
        self.listeners.iter().for_each(|listener| listener.close());
        self.tasks.detach_all();
    }
}

impl Target for Door {
    const CONNECTIONS_GO_ON: bool = true;

    type Stream = TcpStream;

    async fn dial(&self, port: u16, client: SocketAddr) -> Result<TcpStream, NetError> {
        let pod = self.pod.upgrade().ok_or(NetError::ConnectionRefused)?;
        pod.enter(port, client).await
    }

    fn deliver(&self, _: u16, _: SocketAddr, _: Bytes) {}
}

impl PodNetwork {
    /// What a client in a namespace was connected to: whoever is at the loopback has come by it.
    pub(in crate::network) fn entered(&self, client: IpAddr, port: u16) -> Option<SocketAddr> {
        let client = client.to_canonical();
        let family = crate::network::Family::of(client);
        let address = if client.is_loopback() { Some(family.loopback()) } else { self.address(family) };
        address.map(|address| SocketAddr::new(address, port))
    }

    /// Whether a client in a namespace is of this pod itself.
    pub(in crate::network) fn is_own_client(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_loopback() || self.ips().contains(&client)
    }
}
