//! `udp`: the socket resource and its streams of datagrams.

use std::future::poll_fn;
use std::mem;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use nacelle_infra::network::{Datagram, NetError};
use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use super::bindings::wasi::sockets::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram, OutgoingDatagram,
};
use super::network::Network;
use super::{SocketError, SocketResult, no_waiting};
use crate::sockets::shared::Shared;
use crate::sockets::udp::Udp;
use crate::sockets::{MAX_CHUNK, SocketsView, options};

/// The most datagrams that one call receives or sends.
const MAX_DATAGRAMS: usize = 16;

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    udp: Shared<Udp>,
    binding: Binding,
}

/// Whether the first of the two calls of a bind was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    Idle,
    Started,
}

impl UdpSocket {
    pub(super) fn new(udp: Udp) -> Self {
        Self { udp: Shared::new(udp), binding: Binding::Idle }
    }
}

/// Datagrams that come in. Of a connected socket only its peer's, also those that came before it was connected.
#[derive(Debug)]
pub struct Incoming {
    udp: Shared<Udp>,
    peer: Option<SocketAddr>,
    /// What a wait found, kept for the call that takes it.
    next: Option<Result<Datagram, NetError>>,
}

/// Datagrams that go out.
#[derive(Debug)]
pub struct Outgoing {
    udp: Shared<Udp>,
    /// How many may be sent, by the last `check-send`.
    permit: usize,
    room: Room,
}

/// Whether the network takes datagrams, as far as sending has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// It has refused none. Guests count on a new socket being writable at once, which a host's readiness may tell late.
    Free,
    /// It refused the last one, and has to say when there is room again.
    Full,
}

impl Incoming {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.next.is_none() {
            let received = ready!(self.udp.with(|udp| udp.poll_receive(cx)));
            let of_peer = |datagram: &Datagram| self.peer.is_none_or(|peer| peer == datagram.remote);
            if received.as_ref().map_or(true, of_peer) {
                self.next = Some(received);
            }
        }
        Poll::Ready(())
    }

    fn try_next(&mut self) -> Option<Result<Datagram, NetError>> {
        let _ = self.poll_next(&mut no_waiting());
        self.next.take()
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for UdpSocket {
    async fn ready(&mut self) {
        // Nothing that a socket does takes time; its streams have pollables of their own.
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll_next(cx)).await;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        poll_fn(|cx| self.udp.with(|udp| udp.poll_sendable(cx))).await;
    }
}

impl Host for SocketsView<'_> {}

impl HostUdpSocket for SocketsView<'_> {
    fn start_bind(
        &mut self,
        this: Resource<UdpSocket>,
        network: Resource<Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let socket = self.table.get_mut(&this)?;
        if socket.binding != Binding::Idle {
            return Err(ErrorCode::ConcurrencyConflict.into());
        }
        socket.udp.with(|udp| udp.bind(local.into()))?;
        socket.binding = Binding::Started;
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<UdpSocket>) -> SocketResult<()> {
        match mem::replace(&mut self.table.get_mut(&this)?.binding, Binding::Idle) {
            Binding::Started => Ok(()),
            Binding::Idle => Err(ErrorCode::NotInProgress.into()),
        }
    }

    fn stream(
        &mut self,
        this: Resource<UdpSocket>,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<Incoming>, Resource<Outgoing>)> {
        if self.table.iter_children(&this)?.any(|child| child.is::<Incoming>() || child.is::<Outgoing>()) {
            return Err(SocketError::trap("UDP streams not dropped yet"));
        }
        let socket = self.table.get(&this)?;
        let remote = remote.map(SocketAddr::from);
        let peer = socket.udp.with(|udp| {
            if !udp.is_bound() {
                return Err(NetError::InvalidState);
            }
            match remote {
                Some(remote) => udp.connect(remote)?,
                None if udp.remote_address().is_ok() => udp.disconnect()?,
                None => {}
            }
            Ok(udp.remote_address().ok())
        })?;
        let incoming = Incoming { udp: socket.udp.clone(), peer, next: None };
        let outgoing = Outgoing { udp: socket.udp.clone(), permit: 0, room: Room::Free };
        Ok((self.table.push_child(incoming, &this)?, self.table.push_child(outgoing, &this)?))
    }

    fn local_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.udp.with(|udp| udp.local_address())?.into())
    }

    fn remote_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.udp.with(|udp| udp.remote_address())?.into())
    }

    fn address_family(&mut self, this: Resource<UdpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.udp.with(|udp| udp.family()).into())
    }

    fn unicast_hop_limit(&mut self, this: Resource<UdpSocket>) -> SocketResult<u8> {
        Ok(self.table.get(&this)?.udp.with(|udp| udp.options()).hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<UdpSocket>, value: u8) -> SocketResult<()> {
        let value = options::hop_limit(value)?;
        Ok(self.table.get(&this)?.udp.with(|udp| udp.set_options(|options| options.hop_limit = value))?)
    }

    fn receive_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.udp.with(|udp| udp.options()).receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get(&this)?.udp.with(|udp| udp.set_options(|options| options.receive_buffer = value))?)
    }

    fn send_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.udp.with(|udp| udp.options()).send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        let value = options::buffer_size(value)?;
        Ok(self.table.get(&this)?.udp.with(|udp| udp.set_options(|options| options.send_buffer = value))?)
    }

    fn subscribe(&mut self, this: Resource<UdpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<UdpSocket>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostIncomingDatagramStream for SocketsView<'_> {
    fn receive(&mut self, this: Resource<Incoming>, max_results: u64) -> SocketResult<Vec<IncomingDatagram>> {
        let stream = self.table.get_mut(&this)?;
        let most = usize::try_from(max_results).map_or(MAX_DATAGRAMS, |most| most.min(MAX_DATAGRAMS));
        let mut datagrams = Vec::new();
        let mut bytes = 0;
        while datagrams.len() < most && bytes < MAX_CHUNK {
            match stream.try_next() {
                Some(Ok(datagram)) => {
                    bytes += 1 + datagram.bytes.len();
                    datagrams
                        .push(IncomingDatagram { data: datagram.bytes.into(), remote_address: datagram.remote.into() });
                }
                None => break,
                Some(Err(error)) if datagrams.is_empty() => return Err(error.into()),
                // Told when there is nothing else to tell.
                error @ Some(Err(_)) => {
                    stream.next = error;
                    break;
                }
            }
        }
        Ok(datagrams)
    }

    fn subscribe(&mut self, this: Resource<Incoming>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostOutgoingDatagramStream for SocketsView<'_> {
    fn check_send(&mut self, this: Resource<Outgoing>) -> SocketResult<u64> {
        let stream = self.table.get_mut(&this)?;
        let sendable =
            stream.room == Room::Free || stream.udp.with(|udp| udp.poll_sendable(&mut no_waiting())).is_ready();
        // How many the network takes only sending tells; `send` says how many it took.
        stream.permit = if sendable { MAX_DATAGRAMS } else { 0 };
        Ok(u64::try_from(stream.permit).unwrap_or(0))
    }

    fn send(&mut self, this: Resource<Outgoing>, datagrams: Vec<OutgoingDatagram>) -> SocketResult<u64> {
        let stream = self.table.get_mut(&this)?;
        if datagrams.is_empty() {
            return Ok(0);
        }
        if datagrams.len() > stream.permit {
            return Err(SocketError::trap("unpermitted: argument exceeds permitted size"));
        }
        stream.permit = 0;
        let mut sent = 0;
        for OutgoingDatagram { data, remote_address } in datagrams {
            let remote = remote_address.map(SocketAddr::from);
            match stream.udp.with(|udp| udp.try_send(data.into(), remote)) {
                Ok(true) => {
                    stream.room = Room::Free;
                    sent += 1;
                }
                Ok(false) => {
                    stream.room = Room::Full;
                    break;
                }
                // WASI: once a datagram was sent, this function does not fail.
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    fn subscribe(&mut self, this: Resource<Outgoing>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
