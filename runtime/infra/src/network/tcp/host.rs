//! TCP by the host's sockets: connections that leave the node, and everything of a pod on the host's network.
//!
//! Guests run on threads of another runtime than the one that watches the host's sockets, so that is entered wherever a
//! socket is made. A tokio socket remembers the last task that polled it; here any number may wait: each socket is polled
//! with a waker of its own that wakes them all.

mod connect;
mod connection;
mod listener;
mod sockets;

pub(super) use connect::HostConnect;
pub(crate) use connect::{dial as dial_host, dial_by};
pub(super) use connection::HostConnection;
pub(super) use listener::HostListener;
pub(super) use sockets::HostSocket;
