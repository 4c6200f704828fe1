//! How many descriptors of the process the files of guests hold.
//!
//! A process has few of them, and a guest may open as many files as it likes: each tree has a share, and all trees
//! together have one, so that the rest is left for the node itself. A tree that has used its own up is EMFILE; all of
//! them together ENFILE.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::FsResult;
use crate::descriptors::share;

/// One part in so many of the process's descriptors for one tree,
const TREE: u64 = 16;
/// and for all trees.
const ALL: u64 = 2;

/// What all trees hold. Of the process, as descriptors are.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The descriptors of one tree.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    open: AtomicUsize,
    most: usize,
    most_of_all: usize,
}

/// A descriptor that is counted. Given back by drop.
#[derive(Debug)]
pub(crate) struct Slot(Arc<OpenFiles>);

impl OpenFiles {
    /// For a tree that has none yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), most: share(TREE), most_of_all: share(ALL) })
    }

    /// Before a descriptor is opened.
    pub(crate) fn take(self: &Arc<Self>) -> FsResult<Slot> {
        take(&self.open, self.most).ok_or(Errno::MFILE)?;
        if take(&OPEN, self.most_of_all).is_none() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::NFILE);
        }
        Ok(Slot(Arc::clone(self)))
    }

    #[cfg(test)]
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

fn take(open: &AtomicUsize, most: usize) -> Option<()> {
    let more = |open: usize| (open < most).then_some(open + 1);
    open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(drop)
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
