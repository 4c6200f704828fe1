//! One attempt to reach a target at one address.

use std::net::SocketAddr;
use std::sync::Arc;

use nacelle_infra::network::Meter;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi_http::Error;

use super::pool::Connection;
use super::{Outgoing, Target};
use crate::http::error;
use crate::http::service::HttpService;

/// How a target can be reached.
pub(super) enum Way {
    /// It is a component of this node, which would see the client at this address. What goes to another pod is counted.
    Direct(Arc<HttpService>, SocketAddr, Option<Meter>),
    /// By HTTP on a connection.
    Connection(Connection),
}

/// Why there was no way at an address.
pub(super) enum Failed {
    /// Nobody answered: another address may be better.
    Connect(Error),
    /// Somebody did, and it went wrong.
    Handshake(Error),
}

impl Outgoing {
    /// The way to `target` at this address.
    pub(super) async fn connect(&self, target: &Target, to: SocketAddr) -> Result<Way, Failed> {
        let of_network = |failure| Failed::Connect(error::of_connect(&failure));
        if target.is_https() {
            let server = self.tls.server(&target.host).map_err(Failed::Handshake)?;
            let stream = self.network.connect(to).await.map_err(of_network)?;
            let stream = self.tls.connect(server, stream).await.map_err(Failed::Handshake)?;
            return self.speak(stream, target).await;
        }
        if let Some(found) = self.network.service_at(to).map_err(of_network)?
            && let Ok(service) = found.handle.downcast::<HttpService>()
        {
            return Ok(Way::Direct(service, found.local, found.meter));
        }
        let stream = self.network.connect(to).await.map_err(of_network)?;
        self.speak(stream, target).await
    }

    async fn speak<S>(&self, stream: S, target: &Target) -> Result<Way, Failed>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connection =
            Connection::open(stream, target, &self.pool, &self.spawner).await.map_err(Failed::Handshake)?;
        Ok(Way::Connection(connection))
    }
}
