//! A directory as a stream of entries.

use std::pin::Pin;
use std::task::{Context, Poll};

use nacelle_infra::fs::ReadDir;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use super::outcome::Outcome;
use super::types::DirectoryEntry;

/// The most entries that are read ahead of the guest.
const MAX_ENTRIES: usize = 64;

/// Reads a directory.
pub(super) struct EntryProducer {
    pub(super) entries: ReadDir,
    pub(super) outcome: Outcome,
}

impl<D: 'static> StreamProducer<D> for EntryProducer {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, DirectoryEntry, VecBuffer<DirectoryEntry>>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let room = destination.remaining(&mut store).unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
        let mut entries = Vec::new();
        let result = loop {
            if entries.len() >= room {
                break StreamResult::Completed;
            }
            match self.entries.next() {
                Some(Ok(entry)) => entries.push(entry.into()),
                Some(Err(errno)) => {
                    self.outcome.fail(errno);
                    break StreamResult::Dropped;
                }
                None => break StreamResult::Dropped,
            }
        };
        destination.set_buffer(entries.into());
        Poll::Ready(Ok(result))
    }
}
