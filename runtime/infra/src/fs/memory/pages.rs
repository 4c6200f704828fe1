//! A file's content in memory: the pages that were written. Holes are not there and read as zeros.
//!
//! Counts nothing: the caller charges what [`Pages::missing`] says before it writes.

use std::collections::BTreeMap;

use super::account::PAGE;

const SIZE: usize = 4096;
const _: () = assert!(SIZE as u64 == PAGE);

/// Not `Debug`: content may be secret.
#[derive(Default)]
pub(super) struct Pages {
    pages: BTreeMap<u64, Box<[u8; SIZE]>>,
    size: u64,
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
                Some(page) => into.copy_from_slice(&page[part.start..part.start + part.len]),
                None => into.fill(0),
            }
        }
        len
    }

    /// Writes all of `bytes`; `offset` plus their length fits an `i64`.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for part in parts(offset, bytes.len()) {
            let page = self.pages.entry(part.page).or_insert_with(|| Box::new([0; SIZE]));
            page[part.start..part.start + part.len].copy_from_slice(&bytes[part.at..part.at + part.len]);
        }
        if !bytes.is_empty() {
            self.size = self.size.max(offset + bytes.len() as u64);
        }
    }

    /// Cuts or extends. Returns how many pages are gone.
    pub(super) fn set_size(&mut self, size: u64) -> u64 {
        let before = self.count();
        if size < self.size {
            drop(self.pages.split_off(&size.div_ceil(PAGE)));
            // What lies behind the end must read as zeros when the file grows again.
            let rest = usize::try_from(size % PAGE).unwrap_or(0);
            if rest > 0
                && let Some(page) = self.pages.get_mut(&(size / PAGE))
            {
                page[rest..].fill(0);
            }
        }
        self.size = size;
        before - self.count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hole_costs_nothing() {
        let mut pages = Pages::default();
        assert_eq!(pages.missing(1 << 50, 2), 1);
        pages.write(1 << 50, b"xy");
        assert_eq!((pages.count(), pages.size()), (1, (1 << 50) + 2));
        let mut buffer = [1; 8];
        assert_eq!(pages.read((1 << 50) - 4, &mut buffer), 6);
        assert_eq!(&buffer[..6], b"\0\0\0\0xy");
        assert_eq!(pages.set_size(1 << 50), 1);
    }

    proptest! {
        #[test]
        fn reads_what_a_vector_would_hold(
            steps in prop::collection::vec((0_u64..20_000, 0_usize..9_000, any::<u8>(), any::<bool>()), 1..12)
        ) {
            let (mut pages, mut model) = (Pages::default(), Vec::<u8>::new());
            for (offset, len, byte, cut) in steps {
                let offset_in = usize::try_from(offset).unwrap();
                if cut {
                    let before = pages.count();
                    prop_assert_eq!(before - pages.set_size(offset), pages.count());
                    model.resize(offset_in, 0);
                } else {
                    let missing = pages.missing(offset, len);
                    let before = pages.count();
                    pages.write(offset, &vec![byte; len]);
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
