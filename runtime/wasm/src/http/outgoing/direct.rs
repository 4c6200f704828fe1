//! A request to a component of this node, handed over in memory: no socket, no bytes of HTTP.
//!
//! Everything else is as over a connection: the form of both messages ([`wire`]), the service's limits and its access
//! log, back-pressure by bodies that are streams of at most a few pieces, and a client that goes away in the middle.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http::connection::Handler;
use crate::http::service::{self, HttpService};
use crate::http::wire;
use crate::sched::Spawner;

/// Has `service` answer a request of the client at this address.
pub(super) async fn send(
    service: &HttpService,
    request: Request<WasiBody>,
    client: SocketAddr,
    first_byte: Duration,
    spawner: &Spawner,
) -> Result<Response<WasiBody>, Error> {
    let asked = wire::Asked::new(&request);
    let answer = async {
        match wire::request(request, spawner) {
            Ok(request) => service.respond(request, client).await,
            Err(status) => service::plain(status),
        }
    };
    let response = tokio::time::timeout(first_byte, answer).await.map_err(|_| Error::ConnectionReadTimeout)?;
    Ok(wire::response(response, &asked))
}
