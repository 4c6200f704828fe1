//! Bytes on disk that are counted as they are written: a container's writable root.
//!
//! Counted exactly, in pages, and without asking the filesystem. Whoever has to act when the limit is hit (an eviction)
//! waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::{Errno, FsResult};

/// Bytes on disk against a limit, if there is one. Shared by everything that counts against it. Atomic.
#[derive(Debug)]
pub struct DiskUsage {
    bytes: AtomicU64,
    files: AtomicU64,
    limit: Option<u64>,
    exceeded: watch::Sender<bool>,
}

impl DiskUsage {
    /// A counter; beyond `limit` bytes writes fail with ENOSPC.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Arc<DiskUsage> {
        let exceeded = watch::Sender::new(false);
        Arc::new(DiskUsage { bytes: AtomicU64::new(0), files: AtomicU64::new(0), limit, exceeded })
    }

    /// Bytes on disk now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files on disk now.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Becomes true, and stays so, when a write is refused because of the limit.
    #[must_use]
    pub fn exceeded(&self) -> watch::Receiver<bool> {
        self.exceeded.subscribe()
    }

    /// Counts `bytes` more, or none: ENOSPC.
    pub(crate) fn take(&self, bytes: u64) -> FsResult<()> {
        let limit = self.limit.unwrap_or(u64::MAX);
        let add = |used: u64| used.checked_add(bytes).filter(|used| *used <= limit);
        if self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
            self.exceeded.send_if_modified(|exceeded| !std::mem::replace(exceeded, true));
            return Err(Errno::NOSPC);
        }
        Ok(())
    }

    /// Counts `bytes` less.
    pub(crate) fn give(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_file(&self) {
        self.files.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_beyond_the_limit_and_says_so_for_good() {
        let usage = DiskUsage::new(Some(100));
        let exceeded = usage.exceeded();
        usage.take(100).unwrap();
        assert!(!*exceeded.borrow());
        assert_eq!(usage.take(1), Err(Errno::NOSPC));
        assert_eq!(usage.bytes(), 100);
        usage.give(100);
        usage.take(1).unwrap();
        assert!(*exceeded.borrow());
        assert!(*usage.exceeded().borrow());
    }
}
