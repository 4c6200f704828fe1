//! The little that the network samples need of `wasi:sockets`: bind and listen, resolve and connect.
//!
//! Rust's own `std::net` does the same on toolchains whose wasi-libc knows WASI 0.2 sockets; these bindings work
//! everywhere, and show what a guest asks of its host.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

/// An open connection. The streams are fields of their own so that they are dropped before the socket they belong to.
pub struct Connection {
    /// What the peer sends.
    pub input: InputStream,
    /// What goes to the peer.
    pub output: OutputStream,
    /// The socket itself, for addresses and half-close.
    pub socket: TcpSocket,
}

/// What went wrong with an address.
#[derive(Debug)]
pub struct Error {
    /// The step that failed, as a person would say it.
    pub action: &'static str,
    /// The address it concerned.
    pub address: String,
    /// What the host answered.
    pub code: ErrorCode,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.address, self.code.name())
    }
}

impl std::error::Error for Error {}

/// Binds `address` and listens on it.
pub fn listen(address: SocketAddr) -> Result<TcpSocket, Error> {
    let failed = |action| move |code| Error { action, address: address.to_string(), code };
    let network = instance_network();
    let socket = create_tcp_socket(family(address)).map_err(failed("open a socket for"))?;
    socket.start_bind(&network, to_wasi(address)).map_err(failed("bind"))?;
    wait(&socket, TcpSocket::finish_bind).map_err(failed("bind"))?;
    socket.start_listen().map_err(failed("listen on"))?;
    wait(&socket, TcpSocket::finish_listen).map_err(failed("listen on"))?;
    Ok(socket)
}

/// Connects to `host:port`, where the host is an address or a name; a name's addresses are tried in turn.
pub fn connect(target: &str) -> Result<Connection, Error> {
    let mut last = None;
    for address in resolve(target)? {
        match connect_to(address) {
            Ok(connection) => return Ok(connection),
            Err(code) => last = Some(Error { action: "connect to", address: address.to_string(), code }),
        }
    }
    Err(last.unwrap_or(Error { action: "resolve", address: target.to_owned(), code: ErrorCode::NameUnresolvable }))
}

/// A socket address of WASI in Rust's own type.
pub fn from_wasi(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(v4) => SocketAddr::new(from_wasi_ip(IpAddress::Ipv4(v4.address)), v4.port),
        IpSocketAddress::Ipv6(v6) => SocketAddr::new(from_wasi_ip(IpAddress::Ipv6(v6.address)), v6.port),
    }
}

fn connect_to(address: SocketAddr) -> Result<Connection, ErrorCode> {
    let network = instance_network();
    let socket = create_tcp_socket(family(address))?;
    socket.start_connect(&network, to_wasi(address))?;
    let (input, output) = wait(&socket, TcpSocket::finish_connect)?;
    Ok(Connection { input, output, socket })
}

fn resolve(target: &str) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = target.parse() {
        return Ok(vec![address]);
    }
    let failed = |code| Error { action: "resolve", address: target.to_owned(), code };
    let (host, port) = target.rsplit_once(':').ok_or_else(|| failed(ErrorCode::InvalidArgument))?;
    let port = port.parse().map_err(|_| failed(ErrorCode::InvalidArgument))?;
    let addresses = lookup(host).map_err(failed)?;
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// The addresses of a host name.
pub fn lookup(name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    let answers = resolve_addresses(&instance_network(), name)?;
    let mut addresses = Vec::new();
    loop {
        match answers.resolve_next_address() {
            Ok(Some(ip)) => addresses.push(from_wasi_ip(ip)),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => answers.subscribe().block(),
            Err(code) => return Err(code),
        }
    }
}

/// Repeats a socket's `finish` call until it no longer would block.
fn wait<T>(socket: &TcpSocket, finish: impl Fn(&TcpSocket) -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
    loop {
        match finish(socket) {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            result => return result,
        }
    }
}

/// The family of an address.
pub fn family(address: SocketAddr) -> IpAddressFamily {
    match address {
        SocketAddr::V4(_) => IpAddressFamily::Ipv4,
        SocketAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

/// A socket address of Rust's in WASI's type.
pub fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: v6.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: v6.scope_id(),
            })
        }
    }
}

fn from_wasi_ip(ip: IpAddress) -> IpAddr {
    match ip {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
