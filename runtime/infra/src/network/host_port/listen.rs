//! The host's sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Closable, HostPortConfig, Socket, udp::UdpPort};
use crate::network::{AttachError, Protocol};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 1024;

/// Opens the socket and says where it is.
pub(super) fn open(config: &HostPortConfig) -> Result<(Socket, SocketAddr), AttachError> {
    let HostPortConfig { host_ip, host_port: port, protocol, .. } = *config;
    // The address that is named if it fails.
    let address = host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let open = || match protocol {
        Protocol::Tcp => {
            let listener = std::net::TcpListener::from(bind(host_ip, port, SocketType::STREAM)?);
            let address = listener.local_addr()?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok((Socket::Tcp(Arc::new(Closable::new(listener))), address))
        }
        Protocol::Udp => {
            let socket = std::net::UdpSocket::from(bind(host_ip, port, SocketType::DGRAM)?);
            let address = socket.local_addr()?;
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            Ok((Socket::Udp(Arc::new(UdpPort::new(socket))), address))
        }
    };
    open().map_err(|source: io::Error| AttachError::HostPort { address, port, protocol, source })
}

/// All addresses of the host, where it has IPv6 those of both families by one socket; or the one given.
fn bind(ip: Option<IpAddr>, port: u16, kind: SocketType) -> Result<OwnedFd, Errno> {
    match ip {
        Some(ip) => bind_to(SocketAddr::new(ip, port), V6Only(true), kind),
        None => match bind_to((Ipv6Addr::UNSPECIFIED, port).into(), V6Only(false), kind) {
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
                bind_to((Ipv4Addr::UNSPECIFIED, port).into(), V6Only(true), kind)
            }
            bound => bound,
        },
    }
}

struct V6Only(bool);

fn bind_to(address: SocketAddr, v6_only: V6Only, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, v6_only.0)?;
    }
    if kind == SocketType::STREAM {
        // A port is free although connections of its last user linger. For UDP it would mean sharing the port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
