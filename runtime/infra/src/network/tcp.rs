//! TCP: sockets and the streams that connections are.

mod options;
mod socket;
mod stream;

pub use options::TcpOptions;
pub use socket::TcpSocket;
pub use stream::{TcpRead, TcpStream};
