//! Reads a log back, its rotated files included.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::format::{self, MAX_RECORD, ParseError};
use super::{LogLine, rotate};

/// What a log could not be read for.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a file is no record. The iterator goes on with the next line.
    #[error("{}:{line}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        source: ParseError,
    },
}

/// The records of a log, oldest first.
#[derive(Debug)]
pub struct LogRecords {
    files: VecDeque<OpenLog>,
}

#[derive(Debug)]
struct OpenLog {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
}

/// Opens the log at `path` with its rotated files. The records are those that exist now; what a container writes
/// while they are read may or may not be seen.
///
/// # Errors
/// [`ReadError::Io`] when the log does not exist or cannot be opened.
pub fn read(path: &Path) -> Result<LogRecords, ReadError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError::Io { path, source }
    };
    // All files are opened before any is read, so a rotation meanwhile takes none away. A rotation between listing
    // and opening is seen by listing again; a log that rotates faster than this is read without its oldest part.
    let mut files = VecDeque::new();
    for _ in 0..8 {
        let listed = rotate::rotated(path).map_err(io(path))?;
        files.clear();
        for rotated in &listed {
            match File::open(rotated) {
                Ok(file) => files.push_back(OpenLog::new(rotated, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(rotated)(error)),
            }
        }
        match File::open(path) {
            Ok(file) => files.push_back(OpenLog::new(path, file)),
            // Between a rotation's two steps there is no current file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !files.is_empty() => {}
            Err(error) => return Err(io(path)(error)),
        }
        if rotate::rotated(path).map_err(io(path))? == listed {
            break;
        }
    }
    Ok(LogRecords { files })
}

impl Iterator for LogRecords {
    type Item = Result<LogLine, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let log = self.files.front_mut()?;
            match log.next() {
                Ok(Some(record)) => return Some(record),
                Ok(None) => {
                    self.files.pop_front();
                }
                Err(source) => {
                    let path = std::mem::take(&mut log.path);
                    self.files.pop_front();
                    return Some(Err(ReadError::Io { path, source }));
                }
            }
        }
    }
}

impl OpenLog {
    fn new(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), reader: BufReader::new(file), line: 0 }
    }

    fn next(&mut self) -> io::Result<Option<Result<LogLine, ReadError>>> {
        let mut record = Vec::new();
        // No `as`: both are far below 2^63, and a log may hold anything, even no newline at all.
        let limit = u64::try_from(MAX_RECORD).unwrap_or(u64::MAX);
        self.reader.by_ref().take(limit).read_until(b'\n', &mut record)?;
        if record.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let parsed = if record.last() == Some(&b'\n') {
            record.pop();
            format::parse(&Bytes::from(record))
        } else if record.len() < MAX_RECORD {
            // The end of a file whose last record is not complete yet.
            Err(ParseError::Shape)
        } else {
            self.reader.skip_until(b'\n')?;
            Err(ParseError::TooLong)
        };
        let error = |source| ReadError::Record { path: self.path.clone(), line: self.line, source };
        Ok(Some(parsed.map_err(error)))
    }
}
