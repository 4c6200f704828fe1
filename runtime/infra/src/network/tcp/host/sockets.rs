//! A host socket that neither listens nor is connected, and the options of all.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::sockopt;
use tokio::net::TcpSocket;

use crate::network::account::{Account, Descriptor};
use crate::network::host_options::HostOptions;
use crate::network::tcp::TcpOptions;
use crate::network::{Family, NetError};

/// A host socket.
#[derive(Debug)]
pub(in crate::network::tcp) struct HostSocket {
    pub(super) socket: TcpSocket,
    pub(super) descriptor: Descriptor,
}

impl HostSocket {
    /// A socket with `options`, as far as they are not `default`: the kernel tunes what nobody has set.
    pub(in crate::network::tcp) fn new(
        family: Family,
        options: &TcpOptions,
        default: &TcpOptions,
        account: &Account,
    ) -> Result<Self, NetError> {
        let descriptor = account.descriptor()?;
        let socket = match family {
            Family::V4 => TcpSocket::new_v4(),
            Family::V6 => TcpSocket::new_v6(),
        };
        let socket = socket.map_err(|error| NetError::from_host(&error))?;
        Self::with(socket, descriptor, family, options, default)
    }

    /// The same of a socket that was made elsewhere, non-blocking.
    pub(in crate::network::tcp) fn from_fd(
        socket: OwnedFd,
        family: Family,
        options: &TcpOptions,
        default: &TcpOptions,
        account: &Account,
    ) -> Result<Self, NetError> {
        let descriptor = account.descriptor()?;
        Self::with(TcpSocket::from_std_stream(socket.into()), descriptor, family, options, default)
    }

    fn with(
        socket: TcpSocket,
        descriptor: Descriptor,
        family: Family,
        options: &TcpOptions,
        default: &TcpOptions,
    ) -> Result<Self, NetError> {
        if family == Family::V6 {
            sockopt::set_ipv6_v6only(&socket, options.v6_only).map_err(|error| NetError::from_host(&error.into()))?;
        }
        apply(&socket, family, options, default)?;
        Ok(Self { socket, descriptor })
    }

    pub(in crate::network::tcp) fn bind(&self, local: SocketAddr) -> Result<(), NetError> {
        // A port is free although connections of its last user linger, as WASI has it.
        let bind = || self.socket.set_reuseaddr(true).and_then(|()| self.socket.bind(local));
        bind().map_err(|error| NetError::from_host_bind(&error))
    }

    pub(in crate::network::tcp) fn local(&self) -> Result<SocketAddr, NetError> {
        self.socket.local_addr().map_err(|error| NetError::from_host(&error))
    }

    pub(in crate::network::tcp) fn set_options(
        &self,
        family: Family,
        options: &TcpOptions,
        former: &TcpOptions,
    ) -> Result<(), NetError> {
        apply(&self.socket, family, options, former)
    }
}

/// Sets what differs from `former`.
pub(super) fn apply(socket: impl AsFd, family: Family, new: &TcpOptions, former: &TcpOptions) -> Result<(), NetError> {
    let socket = socket.as_fd();
    let set = || {
        if new.keep_alive != former.keep_alive {
            sockopt::set_socket_keepalive(socket, new.keep_alive)?;
        }
        if new.keep_alive_idle != former.keep_alive_idle {
            sockopt::set_tcp_keepidle(socket, new.keep_alive_idle)?;
        }
        if new.keep_alive_interval != former.keep_alive_interval {
            sockopt::set_tcp_keepintvl(socket, new.keep_alive_interval)?;
        }
        if new.keep_alive_count != former.keep_alive_count {
            sockopt::set_tcp_keepcnt(socket, new.keep_alive_count)?;
        }
        common(new).apply(socket, family, common(former))?;
        if new.v6_only != former.v6_only && family == Family::V6 {
            sockopt::set_ipv6_v6only(socket, new.v6_only)?;
        }
        Ok(())
    };
    set().map_err(|error: rustix::io::Errno| NetError::from_host(&error.into()))
}

fn common(options: &TcpOptions) -> HostOptions {
    let TcpOptions { hop_limit, receive_buffer, send_buffer, .. } = *options;
    HostOptions { hop_limit, receive_buffer, send_buffer }
}
