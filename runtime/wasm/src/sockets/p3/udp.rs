//! `types.udp-socket`.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use bytes::Bytes;
use wasmtime::component::{Accessor, Resource};

use super::SocketResult;
use super::bindings::wasi::sockets::types::{HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress};
use crate::sockets::udp::Udp;
use crate::sockets::{Sockets, SocketsView, options};

impl<T: Send> HostUdpSocketWithStore<T> for Sockets {
    async fn send(
        store: &Accessor<T, Self>,
        this: Resource<Udp>,
        data: Vec<u8>,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<()> {
        let (data, remote) = (Bytes::from(data), remote.map(SocketAddr::from));
        poll_fn(|cx| {
            store.with(|mut access| -> Poll<SocketResult<()>> {
                let socket = access.get().table.get(&this)?;
                socket.poll_send(&data, remote, cx).map_err(Into::into)
            })
        })
        .await
    }

    async fn receive(store: &Accessor<T, Self>, this: Resource<Udp>) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let datagram = poll_fn(|cx| {
            store.with(|mut access| -> Poll<SocketResult<_>> {
                let socket = access.get().table.get(&this)?;
                socket.poll_receive(cx).map_err(Into::into)
            })
        })
        .await?;
        Ok((datagram.bytes.into(), datagram.remote.into()))
    }
}

impl HostUdpSocket for SocketsView<'_> {
    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<Udp>> {
        let udp = Udp::new(self.network, family.into())?;
        Ok(self.table.push(udp)?)
    }

    fn bind(&mut self, this: Resource<Udp>, local: IpSocketAddress) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.bind(local.into())?)
    }

    fn connect(&mut self, this: Resource<Udp>, remote: IpSocketAddress) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.connect(remote.into())?)
    }

    fn disconnect(&mut self, this: Resource<Udp>) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.disconnect()?)
    }

    fn get_local_address(&mut self, this: Resource<Udp>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.local_address()?.into())
    }

    fn get_remote_address(&mut self, this: Resource<Udp>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.remote_address()?.into())
    }

    fn get_address_family(&mut self, this: Resource<Udp>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.family().into())
    }

    fn get_unicast_hop_limit(&mut self, this: Resource<Udp>) -> SocketResult<u8> {
        Ok(self.table.get(&this)?.options().hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<Udp>, value: u8) -> SocketResult<()> {
        let value = options::hop_limit(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.hop_limit = value)?)
    }

    fn get_receive_buffer_size(&mut self, this: Resource<Udp>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options().receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Udp>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.receive_buffer = value)?)
    }

    fn get_send_buffer_size(&mut self, this: Resource<Udp>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options().send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<Udp>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.send_buffer = value)?)
    }

    fn drop(&mut self, this: Resource<Udp>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
