//! Listing a directory with what is mounted in it.

use std::sync::Arc;

use super::{MountNamespace, Place, Root};
use crate::fs::node::Listing;
use crate::fs::{DirEntry, FileKind, FsResult};

/// The entries of a directory, without `.` and `..`. It holds a bounded number of them in memory.
#[derive(Debug)]
pub struct ReadDir {
    namespace: Arc<MountNamespace>,
    place: Place,
    /// Mount points come first.
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// After the mount point of this name.
    Points(Option<Box<str>>),
    Entries(Listing),
    End,
}

impl ReadDir {
    pub(crate) fn new(namespace: Arc<MountNamespace>, place: Place) -> FsResult<Self> {
        let phase = if place.point.is_some() { Phase::Points(None) } else { Phase::Entries(place.dir.list()?) };
        Ok(Self { namespace, place, phase })
    }

    /// The mount point after that of the name `last`.
    fn next_point(&self, last: Option<&str>) -> Option<(Box<str>, FsResult<DirEntry>)> {
        let children = &self.namespace.points[self.place.point?.0].children;
        let next = last.map_or(0, |last| children.partition_point(|(name, _)| **name <= *last));
        let (name, point) = children.get(next)?;
        let stat = match self.namespace.points[point.0].mount {
            Some(mount) => match &self.namespace.mounts[mount.0].root {
                Root::Directory(dir) => dir.stat(),
                Root::Leaf(leaf) => leaf.stat(),
            },
            None => match self.place.dir.stat_name(name) {
                Ok(stat) if stat.kind == FileKind::Directory => Ok(stat),
                _ => self.namespace.shadow(*point).and_then(|shadow| shadow.stat()),
            },
        };
        let entry = stat.map(|stat| DirEntry { name: name.to_string(), kind: stat.kind, ino: stat.ino });
        Some((name.clone(), entry))
    }
}

impl Iterator for ReadDir {
    type Item = FsResult<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match &mut self.phase {
                Phase::Points(last) => {
                    let last = last.take();
                    match self.next_point(last.as_deref()) {
                        Some((name, entry)) => {
                            self.phase = Phase::Points(Some(name));
                            return Some(entry);
                        }
                        None => match self.place.dir.list() {
                            Ok(listing) => self.phase = Phase::Entries(listing),
                            Err(error) => {
                                self.phase = Phase::End;
                                return Some(Err(error));
                            }
                        },
                    }
                }
                Phase::Entries(listing) => match listing.next() {
                    Some(Ok(entry)) if self.namespace.is_pinned(&self.place, &entry.name) => {}
                    Some(entry) => return Some(entry),
                    None => self.phase = Phase::End,
                },
                Phase::End => return None,
            }
        }
    }
}
