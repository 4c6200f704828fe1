//! How much one image may unpack to.

use std::io::{self, Read};

use crate::digest::{Digest, Hasher};
use crate::error::UnpackError;
use crate::limits;

/// What is left for all layers of an image together.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    entries: u64,
    limits: (u64, u64),
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(limits::UNPACKED_BYTES, limits::UNPACKED_ENTRIES)
    }
}

impl Budget {
    pub(super) fn new(bytes: u64, entries: u64) -> Self {
        Self { bytes, entries, limits: (bytes, entries) }
    }

    pub(super) fn bytes_left(&self) -> u64 {
        self.bytes
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Counts one entry.
    pub(super) fn entry(&mut self, layer: &Digest) -> Result<(), UnpackError> {
        match self.entries.checked_sub(1) {
            Some(left) => {
                self.entries = left;
                Ok(())
            }
            None => Err(UnpackError::TooLarge { layer: layer.clone(), limit: self.limits.1, unit: "entries" }),
        }
    }

    pub(super) fn too_many_bytes(&self, layer: &Digest) -> UnpackError {
        UnpackError::TooLarge { layer: layer.clone(), limit: self.limits.0, unit: "bytes" }
    }
}

/// Hashes what is read and stops at a limit.
pub(super) struct Bounded<R> {
    reader: R,
    hasher: Hasher,
    read: u64,
    limit: u64,
    exhausted: bool,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(reader: R, limit: u64) -> Self {
        Self { reader, hasher: Hasher::default(), read: 0, limit, exhausted: false }
    }

    /// Whether there was more than the limit.
    pub(super) fn exhausted(&self) -> bool {
        self.exhausted
    }

    pub(super) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.read)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read = self.read.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if self.read > self.limit {
            self.exhausted = true;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the archive is larger than allowed"));
        }
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
