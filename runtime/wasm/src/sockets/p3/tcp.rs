//! `types.tcp-socket`.

use std::future::poll_fn;
use std::iter;
use std::net::SocketAddr;
use std::task::Poll;

use tokio::sync::oneshot;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};

use super::bindings::wasi::sockets::types::{
    ErrorCode, Host, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress,
};
use super::stream::{Accepted, Received, Sent};
use super::{SocketError, SocketResult};
use crate::sockets::tcp::Tcp;
use crate::sockets::{Sockets, SocketsView, options};

/// How a stream ends.
type Outcome = FutureReader<Result<(), ErrorCode>>;

impl Host for SocketsView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.into_code()
    }
}

impl<T: Send + 'static> HostTcpSocketWithStore<T> for Sockets {
    async fn connect(store: &Accessor<T, Self>, this: Resource<Tcp>, remote: IpSocketAddress) -> SocketResult<()> {
        let remote = SocketAddr::from(remote);
        store
            .with(|mut access| -> SocketResult<()> { Ok(access.get().table.get_mut(&this)?.start_connect(remote)?) })?;
        poll_fn(|cx| {
            store.with(|mut access| -> Poll<SocketResult<()>> {
                let socket = access.get().table.get_mut(&this)?;
                socket.poll_connect(cx).map_err(Into::into)
            })
        })
        .await
    }

    fn listen(mut store: Access<'_, T, Self>, this: Resource<Tcp>) -> SocketResult<StreamReader<Resource<Tcp>>> {
        let view = store.getter();
        let listener = store.get().table.get_mut(&this)?.listen()?;
        StreamReader::new(&mut store, Accepted { listener, view }).map_err(SocketError::Trap)
    }

    fn send(
        mut store: Access<'_, T, Self>,
        this: Resource<Tcp>,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<Outcome> {
        match store.get().table.get_mut(&this)?.take_sender() {
            Ok(sender) => {
                let (ending, ended) = oneshot::channel();
                data.pipe(&mut store, Sent::new(sender, ending))?;
                FutureReader::new(&mut store, ended)
            }
            Err(error) => {
                data.close(&mut store)?;
                failed(&mut store, error.into())
            }
        }
    }

    fn receive(mut store: Access<'_, T, Self>, this: Resource<Tcp>) -> wasmtime::Result<(StreamReader<u8>, Outcome)> {
        match store.get().table.get_mut(&this)?.take_receiver() {
            Ok(receiver) => {
                let (ending, ended) = oneshot::channel();
                let bytes = StreamReader::new(&mut store, Received::new(receiver, ending))?;
                Ok((bytes, FutureReader::new(&mut store, ended)?))
            }
            Err(error) => {
                let nothing = StreamReader::new(&mut store, iter::empty())?;
                Ok((nothing, failed(&mut store, error.into())?))
            }
        }
    }
}

/// The outcome of a stream that there never was.
fn failed<T: Send + 'static>(store: &mut Access<'_, T, Sockets>, code: ErrorCode) -> wasmtime::Result<Outcome> {
    FutureReader::new(store, async move { wasmtime::error::Ok(Err(code)) })
}

impl HostTcpSocket for SocketsView<'_> {
    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<Tcp>> {
        let tcp = Tcp::new(self.network, family.into())?;
        Ok(self.table.push(tcp)?)
    }

    fn bind(&mut self, this: Resource<Tcp>, local: IpSocketAddress) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.bind(local.into())?)
    }

    fn get_local_address(&mut self, this: Resource<Tcp>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.local_address()?.into())
    }

    fn get_remote_address(&mut self, this: Resource<Tcp>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.remote_address()?.into())
    }

    fn get_is_listening(&mut self, this: Resource<Tcp>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&this)?.is_listening())
    }

    fn get_address_family(&mut self, this: Resource<Tcp>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.family().into())
    }

    fn set_listen_backlog_size(&mut self, this: Resource<Tcp>, value: u64) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.set_backlog(value)?)
    }

    fn get_keep_alive_enabled(&mut self, this: Resource<Tcp>) -> SocketResult<bool> {
        Ok(self.table.get(&this)?.options()?.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<Tcp>, value: bool) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.set_options(|options| options.keep_alive = value)?)
    }

    fn get_keep_alive_idle_time(&mut self, this: Resource<Tcp>) -> SocketResult<u64> {
        Ok(options::nanos(self.table.get(&this)?.options()?.keep_alive_idle))
    }

    fn set_keep_alive_idle_time(&mut self, this: Resource<Tcp>, value: u64) -> SocketResult<()> {
        let value = options::keep_alive_time(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.keep_alive_idle = value)?)
    }

    fn get_keep_alive_interval(&mut self, this: Resource<Tcp>) -> SocketResult<u64> {
        Ok(options::nanos(self.table.get(&this)?.options()?.keep_alive_interval))
    }

    fn set_keep_alive_interval(&mut self, this: Resource<Tcp>, value: u64) -> SocketResult<()> {
        let value = options::keep_alive_time(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.keep_alive_interval = value)?)
    }

    fn get_keep_alive_count(&mut self, this: Resource<Tcp>) -> SocketResult<u32> {
        Ok(self.table.get(&this)?.options()?.keep_alive_count)
    }

    fn set_keep_alive_count(&mut self, this: Resource<Tcp>, value: u32) -> SocketResult<()> {
        let value = options::keep_alive_count(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.keep_alive_count = value)?)
    }

    fn get_hop_limit(&mut self, this: Resource<Tcp>) -> SocketResult<u8> {
        Ok(self.table.get(&this)?.options()?.hop_limit)
    }

    fn set_hop_limit(&mut self, this: Resource<Tcp>, value: u8) -> SocketResult<()> {
        let value = options::hop_limit(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.hop_limit = value)?)
    }

    fn get_receive_buffer_size(&mut self, this: Resource<Tcp>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options()?.receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Tcp>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.receive_buffer = value)?)
    }

    fn get_send_buffer_size(&mut self, this: Resource<Tcp>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options()?.send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<Tcp>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get_mut(&this)?.set_options(|options| options.send_buffer = value)?)
    }

    fn drop(&mut self, this: Resource<Tcp>) -> wasmtime::Result<()> {
        // Streams that are left keep the connection, and a stream of connections its listener.
        self.table.delete(this)?;
        Ok(())
    }
}
