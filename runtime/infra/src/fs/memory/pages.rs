//! A file's content in memory: the pages that were written. Holes are not there and read as zeros.
//!
//! Counts nothing: the caller charges what [`Pages::missing`] says before it writes. Each page knows who paid for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::{PAGE, Payer};

const SIZE: usize = 4096;
const _: () = assert!(SIZE as u64 == PAGE);

/// Not `Debug`: content may be secret.
#[derive(Default)]
pub(super) struct Pages {
    pages: BTreeMap<u64, Page>,
    size: u64,
}

struct Page {
    bytes: Box<[u8; SIZE]>,
    payer: Payer,
}

/// The part of a range that lies in one page.
struct Part {
    /// Number of the page.
    page: u64,
    /// Where in the page.
    start: usize,
    /// How many bytes.
    len: usize,
    /// Where in the range.
    at: usize,
}

/// The parts of `len` bytes from `offset`, in order.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = Part> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let position = offset + at as u64;
        // Less than a page, so it fits.
        let start = usize::try_from(position % PAGE).unwrap_or(0);
        let part = Part { page: position / PAGE, start, len: (SIZE - start).min(len - at), at };
        at += part.len;
        (part.len > 0).then_some(part)
    })
}

impl Pages {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many pages are there.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.pages.len() as u64
    }

    /// How many pages a write would have to make.
    pub(super) fn missing(&self, offset: u64, len: usize) -> u64 {
        if len == 0 {
            return 0;
        }
        let (first, last) = (offset / PAGE, (offset + (len as u64 - 1)) / PAGE);
        last - first + 1 - self.pages.range(first..=last).count() as u64
    }

    /// Reads up to the end of the file. Returns how many bytes.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.size.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        for part in parts(offset, len) {
            let into = &mut buffer[part.at..part.at + part.len];
            match self.pages.get(&part.page) {
                Some(page) => into.copy_from_slice(&page.bytes[part.start..part.start + part.len]),
                None => into.fill(0),
            }
        }
        len
    }

    /// Writes all of `bytes`; `offset` plus their length fits an `i64`. New pages are `payer`'s.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], payer: &Payer) {
        for part in parts(offset, bytes.len()) {
            let new = || Page { bytes: Box::new([0; SIZE]), payer: payer.clone() };
            let page = self.pages.entry(part.page).or_insert_with(new);
            page.bytes[part.start..part.start + part.len].copy_from_slice(&bytes[part.at..part.at + part.len]);
        }
        if !bytes.is_empty() {
            self.size = self.size.max(offset + bytes.len() as u64);
        }
    }

    /// Cuts or extends. Returns how many pages are gone, and whose they were.
    pub(super) fn set_size(&mut self, size: u64) -> Vec<(Payer, u64)> {
        let mut gone = Vec::new();
        if size < self.size {
            gone = by_payer(self.pages.split_off(&size.div_ceil(PAGE)));
            // What lies behind the end must read as zeros when the file grows again.
            let rest = usize::try_from(size % PAGE).unwrap_or(0);
            if rest > 0
                && let Some(page) = self.pages.get_mut(&(size / PAGE))
            {
                page.bytes[rest..].fill(0);
            }
        }
        self.size = size;
        gone
    }
}

/// How many of the pages were paid for by whom. Who wrote several in a row is named once for them.
fn by_payer(pages: BTreeMap<u64, Page>) -> Vec<(Payer, u64)> {
    let mut found: Vec<(Payer, u64)> = Vec::new();
    for page in pages.into_values() {
        match found.last_mut() {
            Some((payer, count)) if Arc::ptr_eq(payer, &page.payer) => *count += 1,
            _ => found.push((page.payer, 1)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::budget::Budget;

    fn sum(gone: &[(Payer, u64)]) -> u64 {
        gone.iter().map(|(_, pages)| pages).sum()
    }

    #[test]
    fn a_page_is_its_first_writers() {
        let (one, other) = (Budget::unlimited(), Budget::unlimited());
        let mut pages = Pages::default();
        pages.write(0, &[1; 2 * SIZE], &one);
        pages.write(0, &[2; 3 * SIZE], &other);
        let gone: Vec<_> =
            pages.set_size(0).into_iter().map(|(payer, pages)| (Arc::ptr_eq(&payer, &one), pages)).collect();
        assert_eq!(gone, [(true, 2), (false, 1)]);
    }

    #[test]
    fn a_hole_costs_nothing() {
        let mut pages = Pages::default();
        assert_eq!(pages.missing(1 << 50, 2), 1);
        pages.write(1 << 50, b"xy", &Budget::unlimited());
        assert_eq!((pages.count(), pages.size()), (1, (1 << 50) + 2));
        let mut buffer = [1; 8];
        assert_eq!(pages.read((1 << 50) - 4, &mut buffer), 6);
        assert_eq!(&buffer[..6], b"\0\0\0\0xy");
        assert_eq!(sum(&pages.set_size(1 << 50)), 1);
    }

    proptest! {
        #[test]
        fn reads_what_a_vector_would_hold(
            steps in prop::collection::vec((0_u64..20_000, 0_usize..9_000, any::<u8>(), any::<bool>()), 1..12)
        ) {
            let (mut pages, mut model) = (Pages::default(), Vec::<u8>::new());
            let payer = Budget::unlimited();
            for (offset, len, byte, cut) in steps {
                let offset_in = usize::try_from(offset).unwrap();
                if cut {
                    let before = pages.count();
                    prop_assert_eq!(before - sum(&pages.set_size(offset)), pages.count());
                    model.resize(offset_in, 0);
                } else {
                    let missing = pages.missing(offset, len);
                    let before = pages.count();
                    pages.write(offset, &vec![byte; len], &payer);
                    prop_assert_eq!(pages.count(), before + missing);
                    if len > 0 {
                        model.resize(model.len().max(offset_in + len), 0);
                        model[offset_in..offset_in + len].fill(byte);
                    }
                }
                prop_assert_eq!(pages.size(), model.len() as u64);
                let mut all = vec![1; model.len() + 10];
                let read = pages.read(0, &mut all);
                prop_assert_eq!(&all[..read], &model[..]);
            }
        }
    }
}
