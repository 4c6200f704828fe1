//! What a pull tells its caller while it runs.

use crate::Digest;

/// Receives the events of one pull, in order for each layer; layers are interleaved. Called from the tasks that
/// transfer, so it must return at once.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: ProgressEvent);
}

/// One event of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressEvent {
    /// The manifest is known: this many layers are to come.
    Resolved {
        /// The manifest.
        manifest: Digest,
        /// How many layers it has.
        layers: usize,
    },
    /// A layer was in the store already.
    Exists {
        /// The layer.
        layer: Digest,
        /// Its bytes.
        bytes: u64,
    },
    /// A layer's transfer starts, or starts again after a failure.
    Started {
        /// The layer.
        layer: Digest,
        /// Bytes to transfer.
        total: u64,
    },
    /// Some of a layer has arrived.
    Transferred {
        /// The layer.
        layer: Digest,
        /// Bytes so far.
        bytes: u64,
    },
    /// A layer is in the store, verified.
    Done {
        /// The layer.
        layer: Digest,
    },
    /// A layer's files are being written.
    Unpacking {
        /// The layer.
        layer: Digest,
    },
}
