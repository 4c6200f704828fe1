//! Container logs: from a container's output to lines, to files in the CRI log format, and back.
//!
//! ```text
//!  Backend ──Chunk──► LogPump ─┬─ split ─► lines ─┬─ format ─► LogWriter ──► 0.log, 0.log.20260101-000000, …
//!                              │                  └──────────► live subscriber
//!                              └─ ends when the last OutputSender is dropped
//! ```
//!
//! - [`split`] cuts a stream of bytes into lines, whatever pieces it came in; no I/O.
//! - [`mod@format`] writes and parses one line of the CRI log format; no I/O.
//! - [`LogWriter`] appends to the file and rotates it; [`read`] goes through all files of one log.
//! - [`LogPump`] is the task between a container and the two.
//!
//! The format is the CRI's (`2016-10-06T00:17:09.669794202Z stdout F line`): time, stream, tag, bytes. The tag is `F`
//! for a full line and `P` for a piece of one that goes on in the next record of the same stream, or that the
//! container never finished. So the bytes of all records of a stream, with a newline after each `F`, are exactly
//! what the container wrote.

pub mod format;
mod pump;
mod read;
mod rotate;
pub mod split;
mod tail;
#[cfg(test)]
mod tests;
mod write;

pub use format::ParseError;
pub use pump::{LogPump, LogSummary};
pub use read::{LogRecords, ReadError, read};
pub use tail::tail;
pub use write::{LogOpenError, LogWriter};

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ContainerId;
use crate::output::Stream;

/// The most bytes of one record's line, as containerd and CRI-O cut them: longer lines become several records.
pub const MAX_LINE: usize = 16 * 1024;

/// One record of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was written.
    pub stream: Stream,
    /// When its last byte was written.
    pub time: Timestamp,
    /// The line goes on in the stream's next record, or the container ended within it.
    pub partial: bool,
    /// At most [`MAX_LINE`] bytes, without the newline; not necessarily UTF-8.
    pub bytes: Bytes,
}

/// A record on its way to somebody who watches the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveLine {
    /// Whose it is: one channel may serve a whole pod.
    pub container: Arc<ContainerId>,
    /// The record.
    pub line: LogLine,
}

/// How much of a container's log is kept, as kubelet's `containerLogMaxSize` and `containerLogMaxFiles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Bytes after which a file is rotated away.
    pub max_size: u64,
    /// Files kept, the one being written included; fewer than 1 counts as 1.
    pub max_files: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { max_size: 10 * 1024 * 1024, max_files: 5 }
    }
}
