//! One attempt to reach a target at one address.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime_wasi_http::Error;

use super::pool::Connection;
use super::{Outgoing, Target};
use crate::http::error;
use crate::http::service::HttpService;

/// How a target can be reached.
pub(super) enum Way {
    /// It is a component of this node, which would see the client at this address.
    Direct(Arc<HttpService>, SocketAddr),
    /// By HTTP on a connection.
    Connection(Connection),
}

impl Outgoing {
    /// The way to `target` at this address.
    pub(super) async fn connect(&self, target: &Target, to: SocketAddr) -> Result<Way, Error> {
        let of_network = |failure| error::of_connect(&failure);
        if target.is_https() {
            let server = self.tls.server(&target.host)?;
            let stream = self.network.connect(to).await.map_err(of_network)?;
            let stream = self.tls.connect(server, stream).await?;
            return Connection::open(stream, target, &self.pool).await.map(Way::Connection);
        }
        if let Some(found) = self.network.service_at(to).map_err(of_network)?
            && let Ok(service) = found.handle.downcast::<HttpService>()
        {
            return Ok(Way::Direct(service, found.local));
        }
        let stream = self.network.connect(to).await.map_err(of_network)?;
        Connection::open(stream, target, &self.pool).await.map(Way::Connection)
    }
}
