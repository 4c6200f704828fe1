//! HTTP's use of the pod's network: where a component's server listens, and where its requests go.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use nacelle_container::CreateError;
use nacelle_infra::network::{ContainerNetwork, Family, NetError, TcpSocket};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The listener of an HTTP component, on all addresses of the pod.
///
/// # Errors
/// When the port is taken, or the container has no network to listen on.
pub(crate) fn listen(network: &Arc<ContainerNetwork>, port: u16) -> Result<TcpSocket, CreateError> {
    // The second is for hosts without IPv6.
    listen_at(network, Family::V6, (Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| listen_at(network, Family::V4, (Ipv4Addr::UNSPECIFIED, port).into()))
        .map_err(|error| CreateError::Other(format!("cannot listen on port {port} for the HTTP component: {error}")))
}

fn listen_at(network: &Arc<ContainerNetwork>, family: Family, address: SocketAddr) -> Result<TcpSocket, NetError> {
    let mut socket = network.tcp_socket(family)?;
    let mut options = socket.options();
    options.v6_only = false;
    socket.set_options(options)?;
    socket.bind(address)?;
    socket.listen()?;
    Ok(socket)
}

/// Decides on outgoing HTTP requests.
#[derive(Clone, Debug)]
pub(crate) struct HttpHooks;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for HttpHooks {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
