//! A file as a stream of WASI 0.3: bytes go straight between the file and the guest's memory.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use nacelle_infra::fs::{Descriptor, Errno};
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult};

use super::outcome::Outcome;
use crate::filesystem::io_size;
use crate::sched::turn::take_turn;

/// The most bytes of one read for a reader on the host's side.
const HOST_CHUNK: usize = 64 * 1024;

/// Reads a file from a position on.
pub(super) struct FileProducer {
    pub(super) file: Descriptor,
    pub(super) position: u64,
    pub(super) outcome: Outcome,
}

impl FileProducer {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let size = io_size(&self.file, buffer.len());
        let read = self.file.read_at(self.position, buffer.get_mut(..size).unwrap_or_default())?;
        self.position = advance(self.position, read)?;
        Ok(read)
    }
}

impl<D: 'static> StreamProducer<D> for FileProducer {
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
            // The guest asks whether there is something to read: a file is always ready.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        Poll::Ready(Ok(match self.read(buffer) {
            Ok(0) => StreamResult::Dropped,
            Ok(read) => {
                destination.mark_written(read);
                StreamResult::Completed
            }
            Err(errno) => {
                self.outcome.fail(errno);
                StreamResult::Dropped
            }
        }))
    }
}

/// Where a stream is written to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// From this offset on.
    At(u64),
    /// At the end, wherever that is by then.
    End,
}

/// Writes a stream into a file.
pub(super) struct FileConsumer {
    pub(super) file: Descriptor,
    pub(super) place: Place,
    pub(super) outcome: Outcome,
}

impl FileConsumer {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let bytes = bytes.get(..io_size(&self.file, bytes.len())).unwrap_or(bytes);
        match &mut self.place {
            Place::At(offset) => {
                let written = self.file.write_at(*offset, bytes)?;
                *offset = advance(*offset, written)?;
                Ok(written)
            }
            Place::End => self.file.append(bytes),
        }
    }
}

impl<D: 'static> StreamConsumer<D> for FileConsumer {
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
        // None at all would be none for ever.
        let written = self.write(bytes).and_then(|written| if written == 0 { Err(Errno::IO) } else { Ok(written) });
        Poll::Ready(Ok(match written {
            Ok(written) => {
                source.mark_read(written);
                StreamResult::Completed
            }
            Err(errno) => {
                self.outcome.fail(errno);
                StreamResult::Dropped
            }
        }))
    }
}

fn advance(position: u64, bytes: usize) -> Result<u64, Errno> {
    u64::try_from(bytes).ok().and_then(|bytes| position.checked_add(bytes)).ok_or(Errno::OVERFLOW)
}
