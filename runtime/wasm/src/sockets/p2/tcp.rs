//! `tcp`: the socket resource.

use std::future::poll_fn;
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::task::Poll;

use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use super::bindings::wasi::sockets::tcp::{Host, HostTcpSocket, ShutdownType};
use super::network::Network;
use super::stream::{Input, Output, Streams};
use super::{SocketResult, no_waiting};
use crate::sockets::tcp::Tcp;
use crate::sockets::{SocketsView, options};

/// A TCP socket, and the operation that is half done.
#[derive(Debug)]
pub struct TcpSocket {
    tcp: Tcp,
    operation: Operation,
    /// Once it is connected.
    streams: Option<Streams>,
}

/// An operation of which the first of two calls was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    None,
    Bind,
    Connect,
    Listen,
}

impl TcpSocket {
    pub(super) fn new(tcp: Tcp) -> Self {
        Self { tcp, operation: Operation::None, streams: None }
    }

    /// Refuses a second operation while one is half done.
    fn idle(&mut self) -> SocketResult<&mut Self> {
        if self.operation == Operation::None { Ok(self) } else { Err(ErrorCode::ConcurrencyConflict.into()) }
    }

    fn finish(&mut self, operation: Operation) -> SocketResult<()> {
        if self.operation != operation {
            return Err(ErrorCode::NotInProgress.into());
        }
        self.operation = Operation::None;
        Ok(())
    }

    /// The connection as streams, once.
    fn take_streams(&mut self) -> SocketResult<(DynInputStream, DynOutputStream)> {
        let streams = Streams::new(self.tcp.take_receiver()?, self.tcp.take_sender()?);
        let (input, output) = (Input::new(&streams), Output::new(&streams));
        self.streams = Some(streams);
        Ok((Box::new(input), Box::new(output)))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for TcpSocket {
    async fn ready(&mut self) {
        match self.operation {
            // The result is kept for finish-connect.
            Operation::Connect => drop(poll_fn(|cx| self.tcp.poll_connect(cx)).await),
            Operation::None => {
                if let Ok(listener) = self.tcp.listener() {
                    poll_fn(|cx| listener.poll_acceptable(cx)).await;
                }
            }
            Operation::Bind | Operation::Listen => {}
        }
    }
}

impl Host for SocketsView<'_> {}

impl HostTcpSocket for SocketsView<'_> {
    fn start_bind(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let socket = self.table.get_mut(&this)?.idle()?;
        socket.tcp.bind(local.into())?;
        socket.operation = Operation::Bind;
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        self.table.get_mut(&this)?.finish(Operation::Bind)
    }

    fn start_connect(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let socket = self.table.get_mut(&this)?.idle()?;
        socket.tcp.start_connect(SocketAddr::from(remote))?;
        socket.operation = Operation::Connect;
        Ok(())
    }

    fn finish_connect(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let socket = self.table.get_mut(&this)?;
        if socket.operation != Operation::Connect {
            return Err(ErrorCode::NotInProgress.into());
        }
        let Poll::Ready(result) = socket.tcp.poll_connect(&mut no_waiting()) else {
            return Err(ErrorCode::WouldBlock.into());
        };
        socket.operation = Operation::None;
        result?;
        let (input, output) = socket.take_streams()?;
        Ok((self.table.push_child(input, &this)?, self.table.push_child(output, &this)?))
    }

    fn start_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        let socket = self.table.get_mut(&this)?.idle()?;
        if !socket.tcp.is_bound() {
            return Err(ErrorCode::InvalidState.into());
        }
        socket.tcp.listen()?;
        socket.operation = Operation::Listen;
        Ok(())
    }

    fn finish_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        self.table.get_mut(&this)?.finish(Operation::Listen)
    }

    fn accept(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let socket = self.table.get_mut(&this)?;
        let Some(accepted) = socket.tcp.listener()?.try_accept()? else {
            return Err(ErrorCode::WouldBlock.into());
        };
        let mut accepted = TcpSocket::new(accepted);
        let (input, output) = accepted.take_streams()?;
        let accepted = self.table.push(accepted)?;
        let input = self.table.push_child(input, &accepted)?;
        let output = self.table.push_child(output, &accepted)?;
        Ok((accepted, input, output))
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.tcp.local_address()?.into())
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.tcp.remote_address()?.into())
    }

    fn is_listening(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&this)?.tcp.is_listening())
    }

    fn address_family(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.tcp.family().into())
    }

    fn set_listen_backlog_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.tcp.set_backlog(value)?)
    }

    fn keep_alive_enabled(&mut self, this: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(self.table.get(&this)?.tcp.options()?.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.tcp.set_options(|options| options.keep_alive = value)?)
    }

    fn keep_alive_idle_time(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(options::nanos(self.table.get(&this)?.tcp.options()?.keep_alive_idle))
    }

    fn set_keep_alive_idle_time(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let value = options::keep_alive_time(value)?;
        Ok(self.table.get_mut(&this)?.tcp.set_options(|options| options.keep_alive_idle = value)?)
    }

    fn keep_alive_interval(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(options::nanos(self.table.get(&this)?.tcp.options()?.keep_alive_interval))
    }

    fn set_keep_alive_interval(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let value = options::keep_alive_time(value)?;
        Ok(self.table.get_mut(&this)?.tcp.set_options(|options| options.keep_alive_interval = value)?)
    }

    fn keep_alive_count(&mut self, this: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(self.table.get(&this)?.tcp.options()?.keep_alive_count)
    }

    fn set_keep_alive_count(&mut self, this: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        let value = options::keep_alive_count(value)?;
        Ok(self.table.get_mut(&this)?.tcp.set_options(|options| options.keep_alive_count = value)?)
    }

    fn hop_limit(&mut self, this: Resource<TcpSocket>) -> SocketResult<u8> {
        Ok(self.table.get(&this)?.tcp.options()?.hop_limit)
    }

    fn set_hop_limit(&mut self, this: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        let value = options::hop_limit(value)?;
        Ok(self.table.get_mut(&this)?.tcp.set_options(|options| options.hop_limit = value)?)
    }

    fn receive_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.tcp.options()?.receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get_mut(&this)?.tcp.set_options(|options| options.receive_buffer = value)?)
    }

    fn send_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.tcp.options()?.send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get_mut(&this)?.tcp.set_options(|options| options.send_buffer = value)?)
    }

    fn subscribe(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn shutdown(&mut self, this: Resource<TcpSocket>, how: ShutdownType) -> SocketResult<()> {
        let socket = self.table.get(&this)?;
        let streams = socket.streams.as_ref().ok_or(ErrorCode::InvalidState)?;
        streams.shutdown(match how {
            ShutdownType::Receive => Shutdown::Read,
            ShutdownType::Send => Shutdown::Write,
            ShutdownType::Both => Shutdown::Both,
        });
        Ok(())
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        // Its streams are its children, and gone already: this ends the connection.
        mem::drop(self.table.delete(this)?);
        Ok(())
    }
}
