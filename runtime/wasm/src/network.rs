//! What a guest may reach over the network.
//!
//! The seam where a pod's own network will take the place of the host's: sockets, names and outgoing HTTP are decided
//! here and nowhere else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use http_body_util::BodyExt;
use nacelle_container::{CreateError, NetworkAccess};
use tokio::net::TcpListener;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Gives a guest's sockets and name lookups what `access` allows.
///
/// Without access, sockets can be made, but each bind, connect, send and lookup is answered with access-denied.
pub(crate) fn apply(builder: &mut WasiCtxBuilder, access: NetworkAccess) {
    let allowed = match access {
        NetworkAccess::None => false,
        NetworkAccess::Host => true,
    };
    builder
        .allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(allowed)
        .socket_addr_check(move |_, _| Box::pin(async move { allowed }));
}

/// The listener of an HTTP component.
///
/// # Errors
/// When the port is taken, or the container has no network to listen on.
pub(crate) async fn listen(access: NetworkAccess, port: u16) -> Result<TcpListener, CreateError> {
    match access {
        NetworkAccess::None => Err(CreateError::Other(
            "the component serves HTTP, and its pod has no network to serve it on: set hostNetwork: true".into(),
        )),
        NetworkAccess::Host => {
            let any =
                [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
            // The second address is for hosts without IPv6.
            TcpListener::bind(&any[..]).await.map_err(|error| {
                CreateError::Other(format!("cannot listen on port {port} for the HTTP component: {error}"))
            })
        }
    }
}

/// Decides on outgoing HTTP requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpHooks(pub(crate) NetworkAccess);

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for HttpHooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        match self.0 {
            NetworkAccess::None => Box::new(async { Err(Error::HttpRequestDenied) }),
            NetworkAccess::Host => Box::new(async move {
                let (response, io) = wasmtime_wasi_http::default_send_request(request, options).await?;
                Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as Io))
            }),
        }
    }
}
