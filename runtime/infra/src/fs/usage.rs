//! Bytes that a container's writable root takes on disk.

use std::sync::Arc;

/// Bytes on disk, counted exactly, with a limit if there is one. Shared by everything that counts against it.
#[derive(Debug)]
pub struct DiskUsage {}

#[expect(clippy::todo, reason = "the shape comes first")]
impl DiskUsage {
    /// A counter; at `limit` bytes writes fail with ENOSPC.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Arc<DiskUsage> {
        let _ = limit;
        todo!()
    }

    /// Bytes on disk now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        todo!()
    }

    /// Files on disk now.
    #[must_use]
    pub fn files(&self) -> u64 {
        todo!()
    }

    /// Whether a write was ever refused because of the limit.
    #[must_use]
    pub fn exceeded(&self) -> bool {
        todo!()
    }
}
