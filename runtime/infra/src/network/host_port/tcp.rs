//! Connections through a host port.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{Closable, Target};

/// Connections of one port at a time. Further ones wait in the kernel's backlog.
pub(super) const CONNECTIONS: usize = 1024;
/// The wait after the process ran out of descriptors, doubled each time up to the second.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(10);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How many connections there may be at a time.
#[derive(Clone, Debug)]
pub(in crate::network) struct Room {
    /// Of this port.
    pub(super) port: Arc<Semaphore>,
    /// Of all ports of the node.
    pub(super) node: Arc<Semaphore>,
}

impl Room {
    /// For one port, as part of what there is for `all`.
    pub(in crate::network) fn of(all: &Arc<Semaphore>) -> Self {
        Self { port: Arc::new(Semaphore::new(CONNECTIONS)), node: Arc::clone(all) }
    }
}

/// One connection's part of that.
#[derive(Debug)]
pub(in crate::network) struct Place {
    _of_port: OwnedSemaphorePermit,
    _of_node: OwnedSemaphorePermit,
}

/// What an accept gives; none: the listener is closed.
type Accepted = Option<io::Result<(TcpStream, SocketAddr)>>;

/// Accepts until the listener is closed or the target is gone; all connections end with it, unless they shall go on.
pub(in crate::network) async fn serve<T: Target>(
    listener: Arc<Closable<TcpListener>>,
    target: Weak<T>,
    port: u16,
    room: Room,
) {
    let accept = |cx: &mut Context<'_>| match listener.with(|listener| listener.poll_accept(cx)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    };
    serve_each(accept, target, port, room).await;
}

/// Serves what `accept` gives. Where it fails because there is no room, such as for descriptors, it is asked again later.
pub(super) async fn serve_each<T: Target>(
    accept: impl FnMut(&mut Context<'_>) -> Poll<Accepted>,
    target: Weak<T>,
    port: u16,
    room: Room,
) {
    let mut connections = JoinSet::new();
    accept_all(accept, target, port, room, &mut connections).await;
    if T::CONNECTIONS_GO_ON {
        connections.detach_all();
    }
}

async fn accept_all<T: Target>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<Accepted>,
    target: Weak<T>,
    port: u16,
    room: Room,
    connections: &mut JoinSet<()>,
) {
    let mut wait = FIRST_WAIT;
    loop {
        // Neither semaphore is ever closed.
        let Ok(of_port) = Arc::clone(&room.port).acquire_owned().await else { return };
        match poll_fn(&mut accept).await {
            None => return,
            Some(Ok((client, address))) => {
                wait = FIRST_WAIT;
                // After it was accepted: a port without clients takes no room away from the others.
                let Ok(of_node) = Arc::clone(&room.node).acquire_owned().await else { return };
                let Some(target) = target.upgrade() else { return };
                let (address, place) = (canonical(address), Place { _of_port: of_port, _of_node: of_node });
                if let Err((client, place)) = target.hand_over(port, address, client, place) {
                    connections.spawn(async move {
                        let _place = place;
                        connect(client, address, target, port).await;
                    });
                }
            }
            Some(Err(error)) if is_of_one_connection(&error) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, port, "cannot accept connections on a host port; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A connection that failed before it was accepted says nothing of the next one (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::TimedOut
            | Kind::Interrupted
    )
}

/// An IPv4 client of a socket for both families is an IPv4 client.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

async fn connect<T: Target>(mut client: TcpStream, address: SocketAddr, target: Arc<T>, port: u16) {
    // The pod decides what is sent together.
    let _ = client.set_nodelay(true);
    let dialled = target.dial(port, address).await;
    // A connection does not keep the pod's network: when that goes, its streams end.
    drop(target);
    let outcome = match dialled {
        Ok(mut inside) => tokio::io::copy_bidirectional(&mut client, &mut inside).await.map(drop),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %address, port, "a connection through a host port ended");
        // A refusal is seen as such, and a broken connection is no end of the data: the client gets a reset.
        let _ = client.set_zero_linger();
    }
}
