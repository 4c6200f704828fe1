//! What a tree in memory may hold, and what of it is charged to whom.
//!
//! Names and inodes are memory, whatever the tree is: they are charged to the budget at what they cost here, so that a
//! million empty files are not free. Content in memory is counted in pages, as a tmpfs does, against the tree's limit
//! and the budget.
//!
//! A volume is one tree for several containers: whoever first writes a page, or makes a name or an inode, pays for it.
//! What is charged remembers its payer, who may be gone by the time it is given back.

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
    payer: Payer,
}

/// Who is charged: a container, or the tree's own budget.
pub(crate) type Payer = Arc<Budget>;

impl Account {
    /// An account whose tree is charged to `payer`, where nobody else is.
    pub(super) fn new(limits: MemLimits, payer: Payer) -> Self {
        Self { limits, bytes: AtomicU64::new(0), inodes: AtomicU64::new(0), payer }
    }

    /// Who is charged where no container is: all of it in a tree that only one container sees.
    pub(super) fn payer(&self) -> &Payer {
        &self.payer
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
    pub(super) fn take_inode(&self, payer: &Payer) -> FsResult<()> {
        take(&self.inodes, 1, self.limits.inodes)?;
        charge(payer, INODE).inspect_err(|_| give(&self.inodes, 1))
    }

    pub(super) fn give_inode(&self, payer: &Payer) {
        give(&self.inodes, 1);
        payer.release(INODE);
    }

    /// An inode that only shows what is in the image: memory, but not the guest's making.
    pub(super) fn take_shown_inode(&self) -> FsResult<()> {
        self.take_memory(INODE)
    }

    pub(super) fn give_shown_inode(&self) {
        self.give_memory(INODE);
    }

    /// Pages of content in memory.
    pub(super) fn take_pages(&self, payer: &Payer, pages: u64) -> FsResult<()> {
        self.take_pages_if(pages, |bytes| charge(payer, bytes))
    }

    /// As [`Self::take_pages`], after a refusal: it does not count as another.
    pub(super) fn retry_pages(&self, payer: &Payer, pages: u64) -> FsResult<()> {
        self.take_pages_if(pages, |bytes| payer.try_charge(bytes).map_err(|_| Errno::NOSPC))
    }

    fn take_pages_if(&self, pages: u64, charge: impl FnOnce(u64) -> FsResult<()>) -> FsResult<()> {
        let bytes = pages.checked_mul(PAGE).ok_or(Errno::NOSPC)?;
        take(&self.bytes, bytes, self.limits.bytes.unwrap_or(u64::MAX))?;
        charge(bytes).inspect_err(|_| give(&self.bytes, bytes))
    }

    pub(super) fn give_pages(&self, payer: &Payer, pages: u64) {
        give(&self.bytes, pages * PAGE);
        payer.release(pages * PAGE);
    }

    /// Memory that is nothing of the above.
    pub(super) fn take_memory(&self, bytes: u64) -> FsResult<()> {
        charge(&self.payer, bytes)
    }

    pub(super) fn give_memory(&self, bytes: u64) {
        self.payer.release(bytes);
    }
}

/// Charges for a name of `len` bytes.
pub(super) fn take_name(payer: &Payer, len: usize) -> FsResult<()> {
    charge(payer, NAME.saturating_add(len as u64))
}

/// Charges for several names of together `bytes` bytes, or for none.
pub(super) fn take_names(payer: &Payer, count: usize, bytes: usize) -> FsResult<()> {
    charge(payer, NAME.saturating_mul(count as u64).saturating_add(bytes as u64))
}

pub(super) fn give_name(payer: &Payer, len: usize) {
    payer.release(NAME.saturating_add(len as u64));
}

/// Charges, or says that there is no space.
pub(super) fn charge(payer: &Payer, bytes: u64) -> FsResult<()> {
    payer.charge(bytes).map_err(|_| Errno::NOSPC)
}

fn take(counter: &AtomicU64, count: u64, limit: u64) -> FsResult<()> {
    let add = |used: u64| used.checked_add(count).filter(|used| *used <= limit);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map(drop).map_err(|_| Errno::NOSPC)
}

fn give(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Ordering::Relaxed);
}
