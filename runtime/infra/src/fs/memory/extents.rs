//! Which pages of a file on disk were written: what it takes there, without asking the filesystem.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges of page numbers that neither overlap nor touch: start to end.
#[derive(Debug, Default)]
pub(super) struct Extents {
    runs: BTreeMap<u64, u64>,
    pages: u64,
}

impl Extents {
    /// Pages that were written.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Ranges, which is what they cost in memory.
    pub(super) fn runs(&self) -> u64 {
        self.runs.len() as u64
    }

    /// How many pages of `range` are new.
    pub(super) fn missing(&self, range: &Range<u64>) -> u64 {
        let covered = |(start, end): (&u64, &u64)| (*end.min(&range.end)).saturating_sub(*start.max(&range.start));
        let before = self.runs.range(..range.start).next_back().map_or(0, covered);
        let inside: u64 = self.runs.range(range.start..range.end).map(covered).sum();
        range.end.saturating_sub(range.start) - before - inside
    }

    /// Whether `range` would join what is there.
    pub(super) fn touches(&self, range: &Range<u64>) -> bool {
        self.runs.range(..=range.end).next_back().is_some_and(|(_, end)| *end >= range.start)
    }

    /// Adds `range`, which is not empty.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        self.pages += self.missing(&range);
        let Range { mut start, mut end } = range;
        if let Some((first, last)) = self.runs.range(..start).next_back()
            && *last >= start
        {
            (start, end) = (*first, end.max(*last));
        }
        // Each run is swallowed once, so this is cheap over time.
        while let Some((first, last)) = self.runs.range(start..=end).next() {
            let (first, last) = (*first, *last);
            end = end.max(last);
            self.runs.remove(&first);
        }
        self.runs.insert(start, end);
    }

    /// Forgets the pages from `page` on. Returns how many were there.
    pub(super) fn truncate(&mut self, page: u64) -> u64 {
        let mut gone: u64 = self.runs.split_off(&page).iter().map(|(start, end)| end - start).sum();
        if let Some((_, end)) = self.runs.range_mut(..page).next_back()
            && *end > page
        {
            gone += *end - page;
            *end = page;
        }
        self.pages -= gone;
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_what_a_set_would_hold(steps in prop::collection::vec((0_u64..60, 1_u64..20, any::<bool>()), 1..30)) {
            let (mut extents, mut model) = (Extents::default(), BTreeSet::new());
            for (start, len, cut) in steps {
                if cut {
                    let gone = model.split_off(&start).len() as u64;
                    prop_assert_eq!(extents.truncate(start), gone);
                } else {
                    let range = start..start + len;
                    let missing = range.clone().filter(|page| !model.contains(page)).count() as u64;
                    prop_assert_eq!(extents.missing(&range), missing);
                    let (touches, runs) = (extents.touches(&range), extents.runs());
                    extents.insert(range.clone());
                    prop_assert_eq!(!touches, extents.runs() > runs);
                    model.extend(range);
                }
                prop_assert_eq!(extents.pages(), model.len() as u64);
                let runs = model.iter().filter(|page| !page.checked_sub(1).is_some_and(|p| model.contains(&p))).count();
                prop_assert_eq!(extents.runs(), runs as u64);
            }
        }
    }
}
