//! TCP: sockets, and the streams that connections are.
//!
//! [`socket`] is the state machine that a guest drives. Below it, in memory: [`listener`] (who waits to be accepted),
//! [`link`] (a connection: two [`pipe`]s of [`chunks`] and the rules between its ends). On the host's sockets:
//! [`host`]. [`stream`] is either kind of connection.

mod chunks;
mod connect;
mod host;
mod link;
mod listener;
mod options;
mod pipe;
mod socket;
mod stream;

pub(crate) use connect::{Caller, Opening, open};
pub(crate) use host::{Ends, HostVisitor, Shares, dial_by, dial_host};
pub(crate) use listener::Listener;
pub use options::TcpOptions;
pub use socket::TcpSocket;
pub use stream::{TcpRead, TcpStream};
