//! Connections as `stream<u8>`, and a listener as a stream of connections.
//!
//! Each stream of bytes comes with a future of how it ended. Dropping either end of the stream ends that direction of
//! the connection, which is no failure.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use nacelle_infra::network::{NetError, TcpRead};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Resource, Source, StreamConsumer, StreamProducer, StreamResult};

use super::bindings::wasi::sockets::types::ErrorCode;
use crate::sched::turn::take_turn;
use crate::sockets::tcp::{Listener, Receiver, Sender, Tcp};
use crate::sockets::{MAX_CHUNK, SocketsView};

/// How a stream ended, for its future.
pub(super) type Ending = oneshot::Sender<Result<(), ErrorCode>>;

/// A half of a connection until it has ended.
struct Open<T>(Option<(T, Ending)>);

impl<T> Open<T> {
    fn end(&mut self, result: Result<(), NetError>) -> StreamResult {
        if let Some((half, ending)) = self.0.take() {
            drop(half);
            // The guest may not care how it ended.
            let _ = ending.send(result.map_err(Into::into));
        }
        StreamResult::Dropped
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

/// What wasmtime is told of a wait: that it goes on, or that the guest has given it up.
fn waiting(wait: Poll<()>, give_up: bool) -> Poll<wasmtime::Result<StreamResult>> {
    match wait {
        Poll::Ready(()) => Poll::Ready(Ok(StreamResult::Completed)),
        Poll::Pending if give_up => Poll::Ready(Ok(StreamResult::Cancelled)),
        Poll::Pending => Poll::Pending,
    }
}

/// Bytes that a connection receives.
pub(super) struct Received(Open<Receiver>);

impl Received {
    pub(super) fn new(receiver: Receiver, ending: Ending) -> Self {
        Self(Open(Some((receiver, ending))))
    }
}

impl<D: 'static> StreamProducer<D> for Received {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let Some((receiver, _)) = &self.0.0 else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        let stream = receiver.stream();
        // A host that reads says nothing about its room; a read of no bytes asks whether there are any.
        let room = destination.remaining(store).unwrap_or(MAX_CHUNK).min(MAX_CHUNK);
        if room == 0 {
            return waiting(stream.poll_readable(cx), finish);
        }
        loop {
            ready!(take_turn(cx, finish));
            match stream.try_read(room) {
                Ok(TcpRead::Bytes(bytes)) => {
                    destination.set_buffer(bytes);
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Ok(TcpRead::End) => return Poll::Ready(Ok(self.0.end(Ok(())))),
                Err(error) => return Poll::Ready(Ok(self.0.end(Err(error)))),
                Ok(TcpRead::Empty) => {
                    if stream.poll_readable(cx).is_pending() {
                        return waiting(Poll::Pending, finish);
                    }
                }
            }
        }
    }
}

/// Bytes that a guest sends.
pub(super) struct Sent(Open<Sender>);

impl Sent {
    pub(super) fn new(sender: Sender, ending: Ending) -> Self {
        Self(Open(Some((sender, ending))))
    }
}

impl<D: 'static> StreamConsumer<D> for Sent {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let Some((sender, _)) = &self.0.0 else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        let stream = sender.stream();
        let mut source = source.as_direct(store);
        // A write of no bytes asks whether there is room.
        if source.remaining().is_empty() {
            return waiting(stream.poll_writable(cx), finish);
        }
        loop {
            ready!(take_turn(cx, finish));
            let sent = stream.writable().and_then(|room| {
                let bytes = source.remaining();
                match bytes.get(..room.min(MAX_CHUNK)).unwrap_or(bytes) {
                    [] => Ok(0),
                    // Copied only as far as there is room for it.
                    bytes => stream.try_write(Bytes::copy_from_slice(bytes)),
                }
            });
            match sent {
                Ok(0) => {
                    if stream.poll_writable(cx).is_pending() {
                        return waiting(Poll::Pending, finish);
                    }
                }
                Ok(sent) => {
                    source.mark_read(sent);
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Err(error) => return Poll::Ready(Ok(self.0.end(Err(error)))),
            }
        }
    }
}

/// Connections that come in.
pub(super) struct Accepted<D: 'static> {
    pub(super) listener: Listener,
    pub(super) view: for<'a> fn(&'a mut D) -> SocketsView<'a>,
}

impl<D: 'static> StreamProducer<D> for Accepted<D> {
    type Item = Resource<Tcp>;
    type Buffer = Option<Resource<Tcp>>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return waiting(self.listener.poll_acceptable(cx), finish);
        }
        let accepted = match self.listener.poll_accept(cx) {
            Poll::Pending => return waiting(Poll::Pending, finish),
            Poll::Ready(Err(_)) if self.listener.has_ended() => return Poll::Ready(Ok(StreamResult::Dropped)),
            // The stream has no place for errors: the socket tells when it is used.
            Poll::Ready(result) => result.unwrap_or_else(|error| Tcp::failed(self.listener.family(), error)),
        };
        let socket = (self.view)(store.data_mut()).table.push(accepted)?;
        destination.set_buffer(Some(socket));
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
