//! Listing a directory while others change it.

use std::collections::VecDeque;
use std::ops::Bound;

use super::dir::MemDir;
use crate::fs::{DirEntry, FsResult};

/// Entries that are read at once.
const BATCH: usize = 128;

/// The entries in order of their names. What is there all the time is listed once; what comes or goes meanwhile may be.
#[derive(Debug)]
pub(crate) struct MemListing {
    dir: MemDir,
    batch: VecDeque<DirEntry>,
    place: Place,
}

/// Where the next batch starts.
#[derive(Debug)]
enum Place {
    Start,
    After(String),
    End,
}

impl MemListing {
    pub(super) fn new(dir: MemDir) -> Self {
        Self { dir, batch: VecDeque::new(), place: Place::Start }
    }

    fn fill(&mut self) -> FsResult<()> {
        let start = match &self.place {
            Place::Start => Bound::Unbounded,
            Place::After(name) => Bound::Excluded(name.as_str()),
            Place::End => return Ok(()),
        };
        let entries = self.dir.entries()?;
        for (name, named) in entries.names.range::<str, _>((start, Bound::Unbounded)).take(BATCH) {
            self.batch.push_back(DirEntry { name: name.to_string(), kind: named.slot.kind(), ino: named.slot.ino() });
        }
        drop(entries);
        self.place = match self.batch.back() {
            Some(last) if self.batch.len() == BATCH => Place::After(last.name.clone()),
            _ => Place::End,
        };
        Ok(())
    }
}

impl Iterator for MemListing {
    type Item = FsResult<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.is_empty()
            && let Err(error) = self.fill()
        {
            self.place = Place::End;
            return Some(Err(error));
        }
        self.batch.pop_front().map(Ok)
    }
}
