//! What a tree in memory may hold, and what of it is charged to whom.
//!
//! Names and inodes are memory, whatever the tree is: they are charged to the budget at what they cost here, so that a
//! million empty files are not free. Content in memory is counted in pages, as a tmpfs does, against the tree's limit
//! and the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::budget::Budget;
use crate::fs::{Errno, FsResult, MemLimits};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// What an inode costs in memory, generously.
const INODE: u64 = 320;
/// What a name costs beyond its bytes: its place in the map of its directory.
const NAME: u64 = 96;

/// Counts of one tree. Atomic.
#[derive(Debug)]
pub(super) struct Account {
    limits: MemLimits,
    bytes: AtomicU64,
    inodes: AtomicU64,
    budget: Arc<Budget>,
}

impl Account {
    pub(super) fn new(limits: MemLimits, budget: Arc<Budget>) -> Self {
        Self { limits, bytes: AtomicU64::new(0), inodes: AtomicU64::new(0), budget }
    }

    /// Inodes that count against the limit.
    pub(super) fn inodes(&self) -> u64 {
        self.inodes.load(Ordering::Relaxed)
    }

    /// Bytes of content in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// An inode that a guest makes.
    pub(super) fn take_inode(&self) -> FsResult<()> {
        take(&self.inodes, 1, self.limits.inodes)?;
        self.take_memory(INODE).inspect_err(|_| give(&self.inodes, 1))
    }

    pub(super) fn give_inode(&self) {
        give(&self.inodes, 1);
        self.give_memory(INODE);
    }

    /// An inode that only shows what is in the image: memory, but not the guest's making.
    pub(super) fn take_shown_inode(&self) -> FsResult<()> {
        self.take_memory(INODE)
    }

    pub(super) fn give_shown_inode(&self) {
        self.give_memory(INODE);
    }

    pub(super) fn take_name(&self, len: usize) -> FsResult<()> {
        self.take_memory(NAME.saturating_add(len as u64))
    }

    /// Several names of together `bytes` bytes, or none.
    pub(super) fn take_names(&self, count: usize, bytes: usize) -> FsResult<()> {
        self.take_memory(NAME.saturating_mul(count as u64).saturating_add(bytes as u64))
    }

    pub(super) fn give_name(&self, len: usize) {
        self.give_memory(NAME.saturating_add(len as u64));
    }

    /// Pages of content in memory.
    pub(super) fn take_pages(&self, pages: u64) -> FsResult<()> {
        let bytes = pages.checked_mul(PAGE).ok_or(Errno::NOSPC)?;
        take(&self.bytes, bytes, self.limits.bytes.unwrap_or(u64::MAX))?;
        self.take_memory(bytes).inspect_err(|_| give(&self.bytes, bytes))
    }

    pub(super) fn give_pages(&self, pages: u64) {
        give(&self.bytes, pages * PAGE);
        self.give_memory(pages * PAGE);
    }

    /// Memory that is nothing of the above.
    pub(super) fn take_memory(&self, bytes: u64) -> FsResult<()> {
        self.budget.charge(bytes).map_err(|_| Errno::NOSPC)
    }

    pub(super) fn give_memory(&self, bytes: u64) {
        self.budget.release(bytes);
    }
}

fn take(counter: &AtomicU64, count: u64, limit: u64) -> FsResult<()> {
    let add = |used: u64| used.checked_add(count).filter(|used| *used <= limit);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map(drop).map_err(|_| Errno::NOSPC)
}

fn give(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Ordering::Relaxed);
}
