//! The end of a log.

use std::path::Path;

use super::read::{ReadError, read};

/// The last `lines` lines of the log at `path`, or as much of their end as `bytes` are. Blocks on file I/O.
///
/// # Errors
/// [`ReadError`] when the log cannot be opened. What of it cannot be read is left out.
pub fn tail(path: &Path, lines: usize, bytes: usize) -> Result<Vec<u8>, ReadError> {
    let mut kept = Vec::new();
    for record in read(path)?.flatten() {
        kept.extend_from_slice(&record.bytes);
        if !record.partial {
            kept.push(b'\n');
        }
        // Cut now and then, so that a long log is not copied for each of its lines.
        if kept.len() > bytes.saturating_mul(2) {
            keep_last(&mut kept, bytes);
        }
    }
    keep_last(&mut kept, bytes);
    let ends = kept.iter().enumerate().rev().filter(|(index, byte)| **byte == b'\n' && index + 1 < kept.len());
    let start = ends.map(|(index, _)| index + 1).nth(lines.saturating_sub(1)).unwrap_or(0);
    kept.drain(..start);
    Ok(kept)
}

fn keep_last(kept: &mut Vec<u8>, bytes: usize) {
    kept.drain(..kept.len().saturating_sub(bytes));
}
