//! Garbage collection by how full the disk is, with the kubelet's rules: above the high mark, images that nothing uses
//! are removed, those first that were used the longest ago, until the low mark is reached.

use std::time::Duration;

use jiff::Timestamp;

use super::{Pruned, Store};
use crate::error::StoreError;
use crate::image::StoredImage;
use crate::reference::Reference;

/// How full the store's disk may get. The defaults are the kubelet's (`imageGCHighThresholdPercent`,
/// `imageGCLowThresholdPercent`, `imageMinimumGCAge`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskMarks {
    /// In percent of the disk: nothing is removed up to here.
    pub high: u8,
    /// In percent of the disk: what is removed to, once the high mark is passed.
    pub low: u8,
    /// How long an image stays after its last use at least.
    pub least_age: Duration,
}

impl Default for DiskMarks {
    fn default() -> Self {
        Self { high: 85, low: 80, least_age: Duration::from_secs(120) }
    }
}

/// What [`Store::collect`] took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The images and bytes that are gone.
    pub pruned: Pruned,
    /// Bytes that would have had to be freed; 0 below the high mark. More than were freed: the disk stays too full.
    pub wanted: u64,
}

/// A disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Disk {
    capacity: u64,
    available: u64,
}

impl DiskMarks {
    /// Bytes to free.
    fn wanted(&self, disk: Disk) -> u64 {
        // A disk that says nothing of its size is never full.
        if disk.capacity == 0 {
            return 0;
        }
        let used = disk.capacity.saturating_sub(disk.available);
        let at = |percent: u8| {
            let bytes = u128::from(disk.capacity) * u128::from(percent.min(100)) / 100;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        match used > at(self.high) {
            true => used.saturating_sub(at(self.low.min(self.high))),
            false => 0,
        }
    }
}

impl Store {
    /// Removes unused images, and whatever nothing names, if the store's disk is fuller than the high mark. Images that
    /// `keep` names stay. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn collect(&self, marks: &DiskMarks, keep: &[Reference]) -> Result<Collected, StoreError> {
        let disk = rustix::fs::statvfs(self.root());
        let disk = disk.map_err(|error| StoreError::io("measure the disk of", self.root(), error.into()))?;
        let disk = Disk {
            capacity: disk.f_blocks.saturating_mul(disk.f_frsize),
            available: disk.f_bavail.saturating_mul(disk.f_frsize),
        };
        self.collect_from(disk, marks, keep, Timestamp::now())
    }

    fn collect_from(
        &self,
        disk: Disk,
        marks: &DiskMarks,
        keep: &[Reference],
        now: Timestamp,
    ) -> Result<Collected, StoreError> {
        let mut collected = Collected { wanted: marks.wanted(disk), ..Collected::default() };
        if collected.wanted == 0 {
            return Ok(collected);
        }
        let Pruned { bytes, .. } = self.prune(false, &[])?;
        collected.pruned.bytes = bytes;
        let used = |image: &StoredImage| image.references.iter().map(|reference| self.last_used(reference)).max();
        let used: Vec<_> = self.list()?.into_iter().map(|image| (used(&image).unwrap_or_default(), image)).collect();
        for image in candidates(used, marks.least_age, keep, now) {
            if collected.pruned.bytes >= collected.wanted {
                break;
            }
            // By all of its references: it may have come into use or got another one since it was listed, and stays then.
            let removed = image.references.iter().map(|reference| self.remove(&reference.to_string()));
            for removed in removed.flatten() {
                collected.pruned.bytes = collected.pruned.bytes.saturating_add(removed.bytes);
                if !removed.deleted.is_empty() {
                    collected.pruned.images.push(image.clone());
                }
            }
        }
        Ok(collected)
    }
}

/// The images that may go, in the order in which they do. Each comes with its last use.
fn candidates(
    mut images: Vec<(Timestamp, StoredImage)>,
    least_age: Duration,
    keep: &[Reference],
    now: Timestamp,
) -> Vec<StoredImage> {
    let old_enough = |used: Timestamp| Duration::try_from(now.duration_since(used)).is_ok_and(|age| age >= least_age);
    images.retain(|(used, image)| {
        !image.in_use && old_enough(*used) && !image.references.iter().any(|reference| keep.contains(reference))
    });
    // Where two were used at the same time, the larger one first: that may save the other.
    images.sort_by_key(|(used, image)| (*used, std::cmp::Reverse(image.size)));
    images.into_iter().map(|(_, image)| image).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{add, reference, store};
    use super::*;

    const HALF: Disk = Disk { capacity: 1000, available: 500 };
    const FULL: Disk = Disk { capacity: 1000, available: 10 };

    fn later() -> Timestamp {
        Timestamp::now() + Duration::from_secs(3600)
    }

    #[test]
    fn nothing_goes_up_to_the_high_mark() {
        let marks = DiskMarks::default();
        assert_eq!(marks.wanted(HALF), 0);
        assert_eq!(marks.wanted(Disk { capacity: 1000, available: 150 }), 0);
        assert_eq!(marks.wanted(Disk { capacity: 1000, available: 149 }), 51);
        assert_eq!(marks.wanted(Disk { capacity: 0, available: 0 }), 0);
        assert_eq!(DiskMarks { high: 50, low: 90, ..marks }.wanted(FULL), 490);
        let (_dir, store) = store();
        add(&store, "a", b"a");
        assert_eq!(store.collect_from(HALF, &marks, &[], later()).unwrap(), Collected::default());
        assert_eq!(store.list().unwrap().len(), 1);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_only_until_it_suffices() {
        let (_dir, store) = store();
        for (name, age) in [("old", 3000), ("older", 4000), ("new", 2000)] {
            add(&store, name, &vec![name.as_bytes()[name.len() - 1]; 100 + name.len()]);
            let then = std::time::SystemTime::now() - Duration::from_secs(age);
            let path = store.record_path(&reference(name));
            std::fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
        }
        let disk = Disk { capacity: 1000, available: 50 };
        let collected = store.collect_from(disk, &DiskMarks::default(), &[], Timestamp::now()).unwrap();
        assert_eq!(collected.wanted, 150);
        let gone: Vec<_> = collected.pruned.images.iter().map(|image| image.references[0].to_string()).collect();
        assert_eq!(gone, ["docker.io/library/older:latest", "docker.io/library/old:latest"]);
        assert_eq!(collected.pruned.bytes, 105 + 103);
        // A use counts.
        store.touch(&reference("new"));
        let again = store.collect_from(disk, &DiskMarks::default(), &[], Timestamp::now()).unwrap();
        assert_eq!(again.pruned.images, []);
        assert!(again.wanted > again.pruned.bytes);
    }

    #[test]
    fn what_is_used_young_or_to_be_kept_stays() {
        let (_dir, store) = store();
        let used = add(&store, "used", b"1");
        add(&store, "kept", b"2");
        let _lease = store.lease(used.digests()).unwrap();
        let keep = [reference("kept")];
        let collected = store.collect_from(FULL, &DiskMarks::default(), &keep, later()).unwrap();
        assert_eq!(collected.pruned, Pruned::default());
        let now = Timestamp::now();
        let collected = store.collect_from(FULL, &DiskMarks::default(), &[], now).unwrap();
        assert_eq!(collected.pruned, Pruned::default(), "younger than the least age");
        assert_eq!(store.list().unwrap().len(), 2);
    }
}
