//! How much a directory of the host may hold: the `sizeLimit` of an emptyDir on a disk.
//!
//! Nobody but the filesystem knows what a write adds, so there are two figures:
//!
//! ```text
//!   estimate = what the last count found + what was written since          (in the volume's account)
//!                                  │
//!   what fits ─────────────────────┤
//!   what does not: count again, if that is due ──► fits now, in part, or ENOSPC
//! ```
//!
//! The estimate is not below the truth, but for what is being written at the very moment. Bytes count in blocks, and
//! only where the file has none yet ([`Growth`]); a name counts as more than it takes. Counting is due when the last
//! count is 200 ms old, or when something was freed or guessed since. It takes at most a tenth of the time: what it
//! took is paid back tenfold, half a second in advance at most. Only a figure that is not doubtful marks the account as
//! exceeded, for which the pod is evicted.
//!
//! A file that was removed but is still open takes its room, though no count of names finds it: open files are
//! remembered for that.
//!
//! Locks: `counted`, then `open`. The account has none that is held while this is called.

use std::collections::HashSet;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::count::{Count, allocated, count, file_id};
use crate::fs::FsResult;
use crate::fs::usage::{DiskUsage, Recount};

/// The most files, directories and links of one volume: what is made beyond is ENOSPC.
pub(crate) const MAX_INODES: u64 = 1 << 20;

/// How old a count may be when nothing else makes it doubtful.
const INTERVAL: Duration = Duration::from_millis(200);
/// Counting takes at most one part in so many of the time,
const SHARE: u32 = 10;
/// so much of it in advance: whoever removes a file near the limit can write another one at once.
const ADVANCE: Duration = Duration::from_millis(500);
/// What files and directories grow by.
const BLOCK: u64 = 4096;
/// More than a name takes in its directory, however that is kept.
const NAME: u64 = 512;

/// Tells the time. A test's goes as the test says.
pub(crate) type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// What a volume on a disk holds, and may hold. Shared by all containers that mount it.
pub struct DiskQuota {
    /// The volume's directory.
    dir: OwnedFd,
    /// Bytes: an estimate from above.
    account: Arc<DiskUsage>,
    /// Files, directories and links: an estimate from above.
    inodes: AtomicU64,
    max_inodes: u64,
    /// Something was freed since the last count, or charged that may be less.
    doubtful: AtomicBool,
    counted: Mutex<Counted>,
    open: Mutex<Vec<Weak<OwnedFd>>>,
    clock: Clock,
}

/// The last count.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// When it was done.
    at: Instant,
    /// When what counting took will have been paid back.
    paid_at: Instant,
}

impl fmt::Debug for DiskQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskQuota")
            .field("account", &self.account)
            .field("inodes", &self.inodes)
            .finish_non_exhaustive()
    }
}

impl DiskQuota {
    /// A quota for the directory `dir`, whose bytes are counted in `account`, whose limit is the quota's. What the
    /// directory holds already is counted now.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn new(dir: OwnedFd, account: Arc<DiskUsage>) -> FsResult<Arc<Self>> {
        Self::with(dir, account, MAX_INODES, Box::new(Instant::now))
    }

    pub(crate) fn with(dir: OwnedFd, account: Arc<DiskUsage>, max_inodes: u64, clock: Clock) -> FsResult<Arc<Self>> {
        let at = clock();
        let found = count(dir.as_fd(), max_inodes)?;
        let counted = Mutex::new(Counted { at, paid_at: at });
        account.count(found.bytes);
        let (doubtful, open) = Default::default();
        let inodes = AtomicU64::new(found.inodes);
        let quota = Arc::new(Self { dir, account, inodes, max_inodes, doubtful, counted, open, clock });
        let counter: Weak<dyn Recount> = Arc::downgrade(&quota) as Weak<dyn Recount>;
        quota.account.add_counter(&counter);
        Ok(quota)
    }

    /// What the volume's bytes are counted in.
    pub fn account(&self) -> &Arc<DiskUsage> {
        &self.account
    }

    /// Files, directories and links that the volume holds: an estimate from above, as its bytes are.
    pub fn inodes(&self) -> u64 {
        self.inodes.load(Ordering::Acquire)
    }

    /// Counts now, unless that was done a moment ago, and returns the bytes that the volume holds.
    pub fn measure(&self) -> u64 {
        let mut counted = self.counted();
        if self.may_count(&counted) {
            self.count_again(&mut counted);
        }
        drop(counted);
        self.account.used()
    }

    /// Before `len` bytes are written to `file` at `offset`, or at its end: how many of them may be. What is not
    /// written after all is to be given back.
    pub(super) fn reserve(&self, file: BorrowedFd<'_>, offset: Option<u64>, len: u64) -> FsResult<Reserved<'_>> {
        let stat = rustix::fs::fstat(file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // A file with holes may have its blocks anywhere.
        let filled = (allocated(&stat) >= size).then(|| size.next_multiple_of(BLOCK));
        let offset = offset.unwrap_or(size);
        let wanted = Growth::of(filled, offset, len);
        let reserved = |growth: Growth, len| {
            if !growth.is_exact {
                self.doubtful.store(true, Ordering::Release);
            }
            Reserved { quota: self, growth, filled, offset, len }
        };
        match self.account.charge(wanted.bytes) {
            Ok(()) => Ok(reserved(wanted, len)),
            Err(over) => {
                // What fits, in whole blocks from where the file has none.
                let end = wanted.from.saturating_add(self.account.room() / BLOCK * BLOCK);
                let len = end.saturating_sub(offset).min(len);
                let part = Growth::of(filled, offset, len);
                if len == 0 || self.account.try_charge(part.bytes).is_err() {
                    return Err(over.into());
                }
                Ok(reserved(part, len))
            }
        }
    }

    /// Before a file, directory or link is made; `block` if it may take a block of its own.
    pub(super) fn reserve_inode(&self, block: bool) -> FsResult<()> {
        let more = |inodes: u64| (inodes < self.max_inodes).then_some(inodes + 1);
        let take = || self.inodes.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok();
        if !take() {
            self.recount();
            if !take() {
                return Err(Errno::NOSPC);
            }
        }
        if block && let Err(over) = self.account.charge(BLOCK) {
            self.forget_inode();
            return Err(over.into());
        }
        Ok(())
    }

    /// What was to be made was not.
    pub(super) fn release_inode(&self, block: bool) {
        self.forget_inode();
        if block {
            self.account.release(BLOCK);
        }
    }

    /// A name was made. It is never refused: a full volume, as a full disk, still takes an empty file.
    pub(super) fn named(&self) {
        self.doubtful.store(true, Ordering::Release);
        self.account.count(NAME);
    }

    fn forget_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::AcqRel);
    }

    /// Something was removed or cut: counting may find less.
    pub(super) fn freed(&self) {
        self.doubtful.store(true, Ordering::Release);
    }

    /// Remembers a file that is open, for as long as it is.
    pub(super) fn opened(&self, file: &Arc<OwnedFd>) {
        let mut open = self.open();
        // Those that were closed go when the list would grow: its length is at most twice that of the files that are.
        if open.len() == open.capacity() {
            open.retain(|file| file.strong_count() > 0);
        }
        open.push(Arc::downgrade(file));
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<Weak<OwnedFd>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether counting again would not take too much time.
    fn may_count(&self, last: &Counted) -> bool {
        (self.clock)() + ADVANCE >= last.paid_at
    }

    /// Whether the account may be above the truth by more than a few blocks.
    fn is_doubtful(&self, last: &Counted) -> bool {
        self.doubtful.load(Ordering::Acquire) || (self.clock)().saturating_duration_since(last.at) >= INTERVAL
    }

    fn count_again(&self, last: &mut Counted) -> bool {
        let (at, before) = ((self.clock)(), self.account.used());
        let inodes_before = self.inodes.load(Ordering::Acquire);
        self.doubtful.store(false, Ordering::Release);
        let found = count(self.dir.as_fd(), self.max_inodes.saturating_mul(2)).map(|found| self.with_removed(found));
        last.at = at;
        let cost = (self.clock)().saturating_duration_since(at);
        last.paid_at = last.paid_at.max(at) + cost.saturating_mul(SHARE);
        match found {
            Ok(found) => {
                self.account.correct(before, found.bytes);
                let correct = |inodes: u64| Some(inodes.saturating_sub(inodes_before).saturating_add(found.inodes));
                let _ = self.inodes.fetch_update(Ordering::AcqRel, Ordering::Acquire, correct);
                true
            }
            // The estimate stands; it is not below the truth.
            Err(error) => {
                tracing::debug!(%error, "cannot count what a volume holds");
                self.freed();
                false
            }
        }
    }

    /// Adds files that have no name any more but are open.
    fn with_removed(&self, mut found: Count) -> Count {
        let open = self.open().clone();
        let mut seen = HashSet::new();
        for stat in open.iter().filter_map(Weak::upgrade).filter_map(|file| rustix::fs::fstat(&file).ok()) {
            if stat.st_nlink == 0 && seen.insert(file_id(&stat)) {
                found.bytes = found.bytes.saturating_add(allocated(&stat));
                found.inodes = found.inodes.saturating_add(1);
            }
        }
        found
    }
}

impl Recount for DiskQuota {
    fn recount(&self) -> bool {
        let mut counted = self.counted();
        // Another thread may have counted while this one waited for its turn.
        !self.is_doubtful(&counted) || (self.may_count(&counted) && self.count_again(&mut counted))
    }
}

/// What a write adds to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Growth {
    /// Where the blocks that it adds begin.
    from: u64,
    /// How many bytes these blocks have.
    bytes: u64,
    /// Whether it adds just that, not less.
    is_exact: bool,
}

impl Growth {
    /// `filled` is up to where the file has all of its blocks, and beyond which it has none; `None` for one with holes.
    fn of(filled: Option<u64>, offset: u64, len: u64) -> Self {
        let end = offset.saturating_add(len);
        let start = filled.unwrap_or(0);
        if len == 0 || end <= start {
            return Self { from: start, bytes: 0, is_exact: true };
        }
        let from = (offset / BLOCK * BLOCK).max(start);
        let to = end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        Self { from, bytes: to - from, is_exact: filled.is_some() }
    }
}

/// Bytes that may be written.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    quota: &'a DiskQuota,
    growth: Growth,
    filled: Option<u64>,
    offset: u64,
    /// How many.
    pub(super) len: u64,
}

impl Reserved<'_> {
    /// So many were.
    pub(super) fn written(self, len: u64) {
        let growth = Growth::of(self.filled, self.offset, len.min(self.len));
        self.quota.account.release(self.growth.bytes.saturating_sub(growth.bytes));
    }
}

#[cfg(test)]
mod tests;
