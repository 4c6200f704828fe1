//! How much a directory of the host may hold: the `sizeLimit` of an emptyDir on a disk.
//!
//! Nobody but the filesystem knows what a write adds, so there are two figures:
//!
//! ```text
//!   estimate = what the last count found + what was written since          (in the volume's account)
//!                                  │
//!   a write that fits ─────────────┤
//!   one that does not: inside of what its file has allocated? ──► goes on, adds nothing
//!                      else: count again, if that is due ──► fits now, or ENOSPC
//! ```
//!
//! The estimate is never below the truth. Counting is due when the last count is 200 ms old, or when something was
//! freed or much was written since. It takes at most a tenth of the time: what it took is paid back tenfold, half a
//! second in advance at most. Only a fresh count marks the account as exceeded, for which the pod is evicted.
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
/// Bytes written since the last count that make it doubtful.
const DRIFT: u64 = 1 << 20;

/// What making a directory or a link may allocate.
const BLOCK: u64 = 4096;

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
    /// Something was removed or cut since the last count.
    freed: AtomicBool,
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
    /// The bytes it found.
    bytes: u64,
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
        let counted = Mutex::new(Counted { at, paid_at: at, bytes: found.bytes });
        account.count(found.bytes);
        let (freed, open) = Default::default();
        let inodes = AtomicU64::new(found.inodes);
        let quota = Arc::new(Self { dir, account, inodes, max_inodes, freed, counted, open, clock });
        let counter: Weak<dyn Recount> = Arc::downgrade(&quota) as Weak<dyn Recount>;
        quota.account.add_counter(&counter);
        Ok(quota)
    }

    /// What the volume's bytes are counted in.
    pub fn account(&self) -> &Arc<DiskUsage> {
        &self.account
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

    /// Before `bytes` bytes are written to `file`, of which the last one will be at `end`. What was reserved and not
    /// written is to be given back.
    pub(super) fn reserve(&self, file: BorrowedFd<'_>, end: Option<u64>, bytes: u64) -> FsResult<Reserved<'_>> {
        if self.account.try_charge(bytes).is_ok() {
            return Ok(Reserved { quota: self, bytes });
        }
        if let Some(end) = end
            && rustix::fs::fstat(file).is_ok_and(|stat| allocated(&stat) >= end)
        {
            return Ok(Reserved { quota: self, bytes: 0 });
        }
        self.account.charge(bytes)?;
        Ok(Reserved { quota: self, bytes })
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
            self.inodes.fetch_sub(1, Ordering::AcqRel);
            return Err(over.into());
        }
        Ok(())
    }

    /// What was to be made was not.
    pub(super) fn release_inode(&self, block: bool) {
        self.inodes.fetch_sub(1, Ordering::AcqRel);
        if block {
            self.account.release(BLOCK);
        }
    }

    /// Something was removed or cut: counting may find less.
    pub(super) fn freed(&self) {
        self.freed.store(true, Ordering::Release);
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

    fn age(&self, last: &Counted) -> Duration {
        (self.clock)().saturating_duration_since(last.at)
    }

    /// Whether the figure of the last count is to be doubted.
    fn is_doubtful(&self, last: &Counted) -> bool {
        let drift = self.account.limit().map_or(DRIFT, |limit| DRIFT.min(limit / 16));
        self.freed.load(Ordering::Acquire)
            || self.account.used().saturating_sub(last.bytes) > drift
            || self.age(last) >= INTERVAL
    }

    fn count_again(&self, last: &mut Counted) -> bool {
        let (at, before) = ((self.clock)(), self.account.used());
        let inodes_before = self.inodes.load(Ordering::Acquire);
        self.freed.store(false, Ordering::Release);
        let found = count(self.dir.as_fd(), self.max_inodes.saturating_mul(2)).map(|found| self.with_removed(found));
        last.at = at;
        let cost = (self.clock)().saturating_duration_since(at);
        last.paid_at = last.paid_at.max(at) + cost.saturating_mul(SHARE);
        match found {
            Ok(found) => {
                last.bytes = found.bytes;
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
        self.is_doubtful(&counted) && self.may_count(&counted) && self.count_again(&mut counted)
    }
}

/// Bytes that may be written.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    quota: &'a DiskQuota,
    bytes: u64,
}

impl Reserved<'_> {
    /// So many were.
    pub(super) fn written(self, bytes: u64) {
        self.quota.account.release(self.bytes.saturating_sub(bytes));
    }
}

#[cfg(test)]
mod tests;
