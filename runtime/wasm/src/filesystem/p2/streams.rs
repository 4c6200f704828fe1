//! A file as a stream of WASI 0.2.
//!
//! ```text
//!   Open ──(end of the file, or a failure)──► Closed
//! ```
//!
//! A file is always ready, so nothing here waits. A failure is told once, by the call that met it, with the error number
//! inside, for `filesystem-error-code` to find; after that the stream is closed.

use bytes::Bytes;
use nacelle_infra::fs::{Descriptor, Errno};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::filesystem::errors::StreamFailure;
use crate::filesystem::io_size;

/// Reads a file from a position on.
pub(super) enum FileInput {
    Open { file: Descriptor, position: u64 },
    Closed,
}

impl FileInput {
    pub(super) fn new(file: Descriptor, position: u64) -> Self {
        Self::Open { file, position }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for FileInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let Self::Open { file, position } = self else {
            return Err(StreamError::Closed);
        };
        if size == 0 {
            return Ok(Bytes::new());
        }
        match file.read_bytes_at(*position, io_size(file, size)) {
            Ok(bytes) if bytes.is_empty() => {
                *self = Self::Closed;
                Err(StreamError::Closed)
            }
            Ok(bytes) => {
                *position = position.saturating_add(length(bytes.len()));
                Ok(bytes)
            }
            Err(errno) => {
                *self = Self::Closed;
                Err(failed(errno))
            }
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.read(size)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileInput {
    async fn ready(&mut self) {}
}

/// Where a stream writes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// From this offset on.
    At(u64),
    /// At the end, wherever that is by then.
    End,
}

/// Writes into a file.
pub(super) enum FileOutput {
    Open { file: Descriptor, place: Place },
    Closed,
}

impl FileOutput {
    pub(super) fn new(file: Descriptor, place: Place) -> Self {
        Self::Open { file, place }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for FileOutput {
    fn check_write(&mut self) -> StreamResult<usize> {
        match self {
            Self::Open { file, .. } => Ok(io_size(file, usize::MAX)),
            Self::Closed => Err(StreamError::Closed),
        }
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let Self::Open { file, place } = self else {
            return Err(StreamError::Closed);
        };
        if bytes.len() > io_size(file, usize::MAX) {
            return Err(StreamError::trap("a write exceeds what check-write permitted"));
        }
        write_all(file, place, &bytes).map_err(|errno| {
            *self = Self::Closed;
            failed(errno)
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self {
            Self::Open { .. } => Ok(()),
            Self::Closed => Err(StreamError::Closed),
        }
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write(bytes)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileOutput {
    async fn ready(&mut self) {}
}

/// Writes all of `bytes`, or what there is room for and then fails.
fn write_all(file: &Descriptor, place: &mut Place, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = match place {
            Place::At(offset) => {
                let written = file.write_at(*offset, bytes)?;
                *offset = offset.checked_add(length(written)).ok_or(Errno::FBIG)?;
                written
            }
            Place::End => file.append(bytes)?,
        };
        // None at all would be none for ever.
        bytes = bytes.get(written..).filter(|_| written > 0).ok_or(Errno::IO)?;
    }
    Ok(())
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn failed(errno: Errno) -> StreamError {
    StreamError::LastOperationFailed(StreamFailure(errno).into())
}
