//! Bytes under way, in the chunks they were written in.
//!
//! A chunk is handed on without a copy. A guest may write one byte at a time though, and a chunk costs more than a byte:
//! small ones behind others are collected into one, so what is held is at most a small multiple of the bytes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Chunks under this size are collected, unless they come first.
const SMALL: usize = 1024;
/// What small chunks are collected into, at most.
const COLLECTED: usize = 16 * 1024;
/// What a chunk costs beside its bytes: its handle and the allocator's and reference count's words.
pub(super) const CHUNK_OVERHEAD: usize = 96;
/// Handles that an empty queue keeps room for.
const KEPT: usize = 32;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    queue: VecDeque<Bytes>,
    /// Small chunks, behind all of `queue`.
    collected: BytesMut,
    bytes: usize,
}

impl Chunks {
    /// How many bytes there are.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What they cost, in bytes.
    #[inline]
    pub(super) fn cost(&self) -> usize {
        self.bytes + self.queue.len() * CHUNK_OVERHEAD
    }

    /// Adds at the end.
    #[inline]
    pub(super) fn push(&mut self, chunk: Bytes) {
        let length = chunk.len();
        if length < SMALL && self.bytes > 0 {
            if self.collected.len() + length > COLLECTED {
                self.close_collected();
            }
            self.collected.extend_from_slice(&chunk);
        } else {
            self.close_collected();
            self.queue.push_back(chunk);
        }
        self.bytes += length;
    }

    /// Takes from the front: at most `max` bytes, and at most one chunk.
    #[inline]
    pub(super) fn pop(&mut self, max: usize) -> Option<Bytes> {
        if self.bytes == 0 || max == 0 {
            return None;
        }
        let taken = match self.queue.front_mut() {
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => self.queue.pop_front()?,
            None if self.collected.len() > max => self.collected.split_to(max).freeze(),
            None => std::mem::take(&mut self.collected).freeze(),
        };
        self.bytes -= taken.len();
        if self.bytes == 0 && self.queue.capacity() > 2 * KEPT {
            self.queue.shrink_to(KEPT);
        }
        Some(taken)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[inline]
    fn close_collected(&mut self) {
        if !self.collected.is_empty() {
            self.queue.push_back(std::mem::take(&mut self.collected).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn single_bytes_do_not_cost_a_chunk_each() {
        let mut chunks = Chunks::default();
        for _ in 0..100_000 {
            chunks.push(Bytes::from_static(b"x"));
        }
        assert!(chunks.cost() < 101_000, "{}", chunks.cost());
        assert!(chunks.queue.len() < 10);
    }

    #[test]
    fn small_between_large_is_bounded_too() {
        let mut chunks = Chunks::default();
        let large = Bytes::from(vec![1; SMALL]);
        for _ in 0..100 {
            chunks.push(Bytes::from_static(b"x"));
            chunks.push(large.clone());
        }
        assert!(chunks.cost() < 2 * chunks.bytes());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(steps in prop::collection::vec((any::<bool>(), 0usize..3000), 1..200)) {
            let mut chunks = Chunks::default();
            let (mut written, mut read) = (Vec::new(), Vec::new());
            let mut next = 0u8;
            for (write, size) in steps {
                if write && size > 0 {
                    let chunk: Vec<u8> = (0..size).map(|_| { next = next.wrapping_add(1); next }).collect();
                    written.extend_from_slice(&chunk);
                    chunks.push(Bytes::from(chunk));
                } else if let Some(bytes) = chunks.pop(size) {
                    prop_assert!(!bytes.is_empty() && bytes.len() <= size);
                    read.extend_from_slice(&bytes);
                }
                prop_assert_eq!(chunks.bytes(), written.len() - read.len());
            }
            while let Some(bytes) = chunks.pop(usize::MAX) {
                read.extend_from_slice(&bytes);
            }
            prop_assert_eq!(chunks.bytes(), 0);
            prop_assert_eq!(written, read);
        }
    }
}
