//! Cuts a container's output into lines.
//!
//! The result depends on the bytes of each stream alone, never on how they were chunked.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use super::{LogLine, MAX_LINE};
use crate::output::{Chunk, Stream};

/// Cuts both streams of one container. Holds at most [`MAX_LINE`] bytes of an unfinished line per stream.
#[derive(Debug, Default)]
pub struct LineSplitter {
    stdout: Unfinished,
    stderr: Unfinished,
}

/// The line that a stream has begun and not ended.
#[derive(Debug, Default)]
struct Unfinished {
    bytes: BytesMut,
    time: Option<Timestamp>,
}

impl LineSplitter {
    /// Takes the next chunk; appends the records that it completes to `lines`.
    pub fn push(&mut self, chunk: &Chunk, lines: &mut Vec<LogLine>) {
        let unfinished = match chunk.stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        unfinished.push(chunk, lines);
    }

    /// The container ended: what it left unfinished becomes a partial record.
    pub fn finish(&mut self, lines: &mut Vec<LogLine>) {
        for (stream, unfinished) in [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)] {
            let bytes = unfinished.bytes.split().freeze();
            if let (Some(time), false) = (unfinished.time.take(), bytes.is_empty()) {
                lines.push(LogLine { stream, time, partial: true, bytes });
            }
        }
    }
}

impl Unfinished {
    fn push(&mut self, chunk: &Chunk, lines: &mut Vec<LogLine>) {
        self.time = Some(chunk.time);
        let mut rest = chunk.bytes.clone();
        let mut emit = |partial, bytes| {
            lines.push(LogLine { stream: chunk.stream, time: chunk.time, partial, bytes });
        };
        while !rest.is_empty() {
            let room = MAX_LINE - self.bytes.len();
            // One byte beyond the room: a line of exactly MAX_LINE bytes is full if a newline follows.
            let window = rest.get(..room + 1).unwrap_or(&rest);
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                let tail = rest.split_to(end);
                let _newline = rest.split_to(1);
                emit(false, self.complete(tail));
            } else if rest.len() > room {
                let tail = rest.split_to(room);
                emit(true, self.complete(tail));
            } else {
                self.bytes.extend_from_slice(&rest);
                return;
            }
        }
    }

    /// What was held and `tail`, without a copy when nothing was held.
    fn complete(&mut self, tail: Bytes) -> Bytes {
        if self.bytes.is_empty() {
            return tail;
        }
        self.bytes.extend_from_slice(&tail);
        self.bytes.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(stream: Stream, bytes: &[u8]) -> Chunk {
        Chunk { stream, time: Timestamp::UNIX_EPOCH, bytes: Bytes::copy_from_slice(bytes) }
    }

    /// The records of a stream that arrives in pieces of the given sizes, in turn.
    fn split(bytes: &[u8], sizes: &[usize]) -> Vec<(bool, Vec<u8>)> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            splitter.push(&chunk(Stream::Stdout, piece), &mut lines);
            rest = after;
        }
        splitter.finish(&mut lines);
        lines.into_iter().map(|line| (line.partial, line.bytes.to_vec())).collect()
    }

    #[test]
    fn ends_lines_at_newlines_and_flushes_the_last_one_as_partial() {
        assert_eq!(
            split(b"a\n\nbc\nd", &[3]),
            [(false, b"a".to_vec()), (false, vec![]), (false, b"bc".to_vec()), (true, b"d".to_vec())]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_full_record() {
        let mut bytes = vec![b'x'; MAX_LINE];
        bytes.push(b'\n');
        assert_eq!(split(&bytes, &[MAX_LINE]), [(false, vec![b'x'; MAX_LINE])]);
        bytes.insert(0, b'x');
        assert_eq!(split(&bytes, &[MAX_LINE]), [(true, vec![b'x'; MAX_LINE]), (false, b"x".to_vec())]);
    }

    #[test]
    fn streams_do_not_mix() {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        splitter.push(&chunk(Stream::Stdout, b"out"), &mut lines);
        splitter.push(&chunk(Stream::Stderr, b"err\n"), &mut lines);
        splitter.push(&chunk(Stream::Stdout, b"put\n"), &mut lines);
        let seen: Vec<_> = lines.iter().map(|line| (line.stream, &line.bytes[..])).collect();
        assert_eq!(seen, [(Stream::Stderr, &b"err"[..]), (Stream::Stdout, &b"output"[..])]);
    }

    /// Text with many newlines and, sometimes, lines around the limit.
    fn output() -> impl Strategy<Value = Vec<u8>> {
        let short = prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..60);
        let long = (MAX_LINE - 2..MAX_LINE + 3).prop_map(|len| vec![b'x'; len]);
        prop::collection::vec(prop_oneof![4 => short, 1 => long], 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(bytes in output(), sizes in prop::collection::vec(1usize..20_000, 1..8)) {
            prop_assert_eq!(split(&bytes, &sizes), split(&bytes, &[usize::MAX]));
        }

        #[test]
        fn records_are_the_bytes_again(bytes in output(), sizes in prop::collection::vec(1usize..20_000, 1..8)) {
            let records = split(&bytes, &sizes);
            prop_assert!(records.iter().all(|(_, line)| line.len() <= MAX_LINE && !line.contains(&b'\n')));
            let mut joined = Vec::new();
            for (partial, line) in records {
                joined.extend_from_slice(&line);
                if !partial {
                    joined.push(b'\n');
                }
            }
            prop_assert_eq!(joined, bytes);
        }
    }
}
