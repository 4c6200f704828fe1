//! TCP by the host's sockets: connections that leave the node, and everything of a pod on the host's network.
//!
//! A socket is watched by the runtime of whoever makes it, which is entered wherever tokio makes one; guests run on
//! threads of a runtime of their own. A tokio socket remembers the last task that polled it; here any number may wait: each
//! socket is polled with a waker of its own that wakes them all.

mod connect;
mod connection;
mod listener;
mod sockets;
mod visitor;

pub(super) use connect::HostConnect;
pub(crate) use connect::{dial as dial_host, dial_by};
pub(super) use connection::HostConnection;
pub(super) use listener::HostListener;
pub(super) use sockets::HostSocket;
pub(crate) use visitor::{Ends, HostVisitor, Shares};
