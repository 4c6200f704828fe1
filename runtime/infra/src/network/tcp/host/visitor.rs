//! A client of a host port, on its way to whoever listens in the pod.
//!
//! It is the host's socket that is accepted: what a client sends comes from the kernel to the guest, and no task carries it
//! from one to the other. One that nobody has accepted is reset when it is dropped, as it is where a listener in memory ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::HostConnection;
use super::connection::Inside;
use super::sockets::apply;
use crate::network::account::Account;
use crate::network::host_port::Place;
use crate::network::owner::{Permit, SocketSlot};
use crate::network::tcp::TcpOptions;
use crate::network::traffic::Traffic;
use crate::network::{Family, NetError};

/// A client that has come, and waits to be accepted.
#[derive(Debug)]
pub(crate) struct HostVisitor {
    stream: std::net::TcpStream,
    /// Of the kernel's socket, which may be one for both families.
    family: Family,
    ends: Ends,
    shares: Shares,
    place: Place,
}

/// A visitor's addresses as the pod sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// What a visitor takes of its pod's shares. Descriptors are not among it: clients have a [`Place`] instead, so that they
/// cannot take from the pod what it needs for connections of its own.
#[derive(Debug)]
pub(crate) struct Shares {
    connection: Permit,
    traffic: Arc<Traffic>,
}

impl Shares {
    /// One connection's.
    ///
    /// # Errors
    /// [`NetError::LimitReached`].
    pub(crate) fn of(account: &Account) -> Result<Self, NetError> {
        Ok(Self { connection: account.connection()?, traffic: Arc::clone(account.traffic()) })
    }
}

impl HostVisitor {
    /// Takes a client's socket from the runtime that has accepted it. If that fails, the client is gone.
    pub(in crate::network) fn new(stream: TcpStream, place: Place, ends: Ends, shares: Shares) -> io::Result<Self> {
        let family = Family::of(stream.local_addr()?.ip());
        let stream = stream.into_std()?;
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(Self { stream, family, ends, shares, place })
    }

    /// The connection, with a listener's `options` as far as they are not the `default`; watched by `runtime`.
    pub(in crate::network::tcp) fn accept(
        self,
        slot: SocketSlot,
        runtime: Handle,
        options: &TcpOptions,
        default: &TcpOptions,
    ) -> Result<Arc<HostConnection>, NetError> {
        let Self { stream, family, ends, shares, place } = self;
        // A socket's family is decided on before it is bound.
        apply(&stream, family, &TcpOptions { v6_only: default.v6_only, ..*options }, default)?;
        let entered = runtime.enter();
        let stream = TcpStream::from_std(stream).map_err(|error| NetError::from_host(&error))?;
        drop(entered);
        let inside = Inside::to(ends.local, place);
        let (permits, around) = ((shares.connection, None), (runtime, shares.traffic));
        let connection = HostConnection::new(family, (stream, ends.remote), slot, permits, around, Some(inside))?;
        connection.linger()?;
        Ok(connection)
    }
}
