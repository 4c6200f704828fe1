//! Queries to a name server that is in this pod, or in another one of the node: by the asking container's own sockets.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};

use super::Reach;
use crate::network::{Family, TcpStream, UdpSocket};

/// How long a connection may take to be accepted if the client does not say.
const CONNECT: Duration = Duration::from_secs(5);

/// Opens sockets for the DNS client.
#[derive(Clone)]
pub(super) struct Inside {
    reach: Arc<dyn Reach>,
    tasks: TokioHandle,
}

impl Inside {
    pub(super) fn new(reach: Arc<dyn Reach>) -> Self {
        Self { reach, tasks: TokioHandle::default() }
    }
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").finish_non_exhaustive()
    }
}

type Opening<S> = Pin<Box<dyn Send + Future<Output = io::Result<S>>>>;

impl RuntimeProvider for Inside {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Datagrams;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> TokioHandle {
        self.tasks.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        let reach = Arc::clone(&self.reach);
        Box::pin(async move {
            let mut socket = reach.tcp_socket(Family::of(server.ip()))?;
            let connected = tokio::time::timeout(timeout.unwrap_or(CONNECT), socket.connect(server)).await;
            connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(AsyncIoTokioAsStd(socket.stream()?))
        })
    }

    fn bind_udp(&self, local: SocketAddr, _server: SocketAddr) -> Opening<Datagrams> {
        let reach = Arc::clone(&self.reach);
        Box::pin(async move {
            let mut socket = reach.udp_socket(Family::of(local.ip()))?;
            socket.bind(local)?;
            Ok(Datagrams(socket))
        })
    }
}

/// A UDP socket of the container.
pub(super) struct Datagrams(UdpSocket);

impl DnsUdpSocket for Datagrams {
    type Time = TokioTime;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            if let Some(datagram) = self.0.try_receive()? {
                // What does not fit is cut off, as the kernel does it.
                let length = datagram.bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram.bytes[..length]);
                return Poll::Ready(Ok((length, datagram.remote)));
            }
            ready!(self.0.poll_receivable(cx));
        }
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], target: SocketAddr) -> Poll<io::Result<usize>> {
        loop {
            if self.0.try_send(Bytes::copy_from_slice(bytes), Some(target))? {
                return Poll::Ready(Ok(bytes.len()));
            }
            ready!(self.0.poll_sendable(cx));
        }
    }
}
