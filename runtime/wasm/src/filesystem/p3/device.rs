//! A standard stream, opened as a file, as a stream of WASI 0.3.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use nacelle_infra::fs::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult};

use super::outcome::Outcome;
use crate::sched::turn::take_turn;

/// The most bytes of one read for a reader on the host's side.
const HOST_CHUNK: usize = 8 * 1024;

/// Reads standard input.
pub(super) struct InputProducer {
    pub(super) input: Pin<Box<dyn AsyncRead + Send + Sync>>,
    pub(super) outcome: Outcome,
}

impl<D: 'static> StreamProducer<D> for InputProducer {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        ready!(take_turn(cx, finish));
        let mut destination = destination.as_direct(store, HOST_CHUNK);
        let buffer = destination.remaining();
        if buffer.is_empty() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut buffer = ReadBuf::new(buffer);
        let polled = self.input.as_mut().poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        match polled {
            Poll::Ready(Ok(())) if read == 0 => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(Ok(())) => {
                destination.mark_written(read);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Err(_)) => {
                self.outcome.fail(Errno::IO);
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Writes to standard output or error.
pub(super) struct OutputConsumer {
    pub(super) output: Pin<Box<dyn AsyncWrite + Send + Sync>>,
    pub(super) outcome: Outcome,
}

impl<D: 'static> StreamConsumer<D> for OutputConsumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        ready!(take_turn(cx, finish));
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        if bytes.is_empty() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.output.as_mut().poll_write(cx, bytes) {
            Poll::Ready(Ok(written)) => {
                source.mark_read(written);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Err(_)) => {
                self.outcome.fail(Errno::PIPE);
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}
