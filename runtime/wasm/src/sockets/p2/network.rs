//! `network`, `instance-network` and the functions that create sockets.

use nacelle_infra::network::NetError;
use wasmtime::component::Resource;

use super::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily};
use super::bindings::wasi::sockets::{instance_network, network, tcp_create_socket, udp_create_socket};
use super::tcp::TcpSocket;
use super::udp::UdpSocket;
use super::{SocketError, SocketResult};
use crate::sockets::SocketsView;
use crate::sockets::tcp::Tcp;
use crate::sockets::udp::Udp;

/// The right to use the network. There is one network, the container's, so it says nothing more.
#[derive(Debug)]
pub struct Network;

impl instance_network::Host for SocketsView<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        Ok(self.table.push(Network)?)
    }
}

impl network::Host for SocketsView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.into_code()
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<NetError>().cloned().map(Into::into))
    }
}

impl network::HostNetwork for SocketsView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl tcp_create_socket::Host for SocketsView<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let tcp = Tcp::new(self.network, family.into())?;
        Ok(self.table.push(TcpSocket::new(tcp))?)
    }
}

impl udp_create_socket::Host for SocketsView<'_> {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        let udp = Udp::new(self.network, family.into())?;
        Ok(self.table.push(UdpSocket::new(udp))?)
    }
}
