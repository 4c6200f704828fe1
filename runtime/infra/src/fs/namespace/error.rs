//! Why a namespace cannot be made.

use crate::fs::Errno;

/// A namespace cannot be as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// A mount point that cannot be one.
    #[error("cannot mount at {path:?}: {reason}")]
    BadPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part of a volume that cannot be found.
    #[error("cannot mount subPath {sub_path:?} at {path:?}: {source}")]
    SubPath {
        /// Where it was to be mounted.
        path: String,
        /// What was to be mounted.
        sub_path: String,
        /// Why not.
        source: Errno,
    },
    /// A place that cannot be made or reached.
    #[error("cannot make {path:?} in the container: {source}")]
    Point {
        /// The path.
        path: String,
        /// Why not.
        source: Errno,
    },
}
