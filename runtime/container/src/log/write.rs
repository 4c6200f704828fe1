//! Appends records to a log file and rotates it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use nacelle_infra::fs::DiskUsage;

use super::{LogConfig, LogLine, format, rotate};

/// A log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log {}: {source}", path.display())]
pub struct LogOpenError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The file that a container's log is written to. All methods block on file I/O.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    config: LogConfig,
    /// `None` after a failure; the next write tries again.
    open: Option<OpenFile>,
    record: Vec<u8>,
    /// What the log's files take on the disk is counted there.
    usage: Option<Arc<DiskUsage>>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    size: u64,
}

impl LogWriter {
    /// Opens the log at `path`, after what it may already hold. Makes missing directories (0750) and the file (0640).
    ///
    /// A full disk is no error here: the writer then tries again at each write.
    ///
    /// # Errors
    /// [`LogOpenError`] when the file can never be written, for example because a directory is in its place.
    pub fn open(path: &Path, config: LogConfig) -> Result<Self, LogOpenError> {
        let open = match OpenFile::open(path) {
            Ok(open) => Some(open),
            Err(error) if is_disk_full(&error) => None,
            Err(source) => return Err(LogOpenError { path: path.to_owned(), source }),
        };
        Ok(Self { path: path.to_owned(), config, open, record: Vec::new(), usage: None })
    }

    /// Counts in `usage` what the log's files take on the disk, what is there already included. A log is never refused
    /// for that, and its bytes stay counted when the writer goes, as its files stay.
    #[must_use]
    pub fn counted(mut self, usage: Arc<DiskUsage>) -> Self {
        let rotated = rotate::rotated(&self.path).unwrap_or_default();
        let rotated = rotated.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len()));
        usage.count(rotated.chain(self.open.as_ref().map(|open| open.size)).fold(0, u64::saturating_add));
        self.usage = Some(usage);
        self
    }

    /// The file that is being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends records; rotates first where one would make the file larger than allowed. A record is written whole
    /// or not at all, so a full disk leaves no half record behind.
    ///
    /// # Errors
    /// How many of `lines` were written, and why the next one was not. The writer stays usable.
    pub fn append(&mut self, lines: &[LogLine]) -> Result<(), (usize, io::Error)> {
        // Records are collected and written together; `written` counts those that are in the file.
        let mut written = 0;
        let mut record = std::mem::take(&mut self.record);
        let mut result = Ok(());
        let mut batch = 0;
        for (index, line) in lines.iter().enumerate() {
            let before = record.len();
            format::write(line, &mut record);
            if self.is_over(record.len()) && before > 0 {
                // The file is full with what came before this line.
                let last = record.split_off(before);
                result = self.write(&record);
                record = last;
                if result.is_err() {
                    break;
                }
                written += batch;
                batch = 0;
            }
            if batch == 0 && self.is_over(record.len()) {
                result = self.rotate(line.time);
                if result.is_err() {
                    break;
                }
            }
            batch += 1;
            if index + 1 == lines.len() {
                result = self.write(&record);
                if result.is_ok() {
                    written += batch;
                }
            }
        }
        record.clear();
        self.record = record;
        result.map_err(|error| (written, error))
    }

    /// Whether `more` bytes would make a file that holds something larger than allowed.
    fn is_over(&self, more: usize) -> bool {
        let size = self.open.as_ref().map_or(0, |open| open.size);
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        size.saturating_add(more) > self.config.max_size
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|open| open.size == 0) {
            return Ok(());
        }
        self.open = None;
        let removed = rotate::rotate(&self.path, now, self.config.max_files.saturating_sub(1))?;
        if let Some(usage) = &self.usage {
            usage.release(removed);
        }
        self.open = Some(OpenFile::open(&self.path)?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(OpenFile::open(&self.path)?),
        };
        open.write(bytes).inspect_err(|_| self.open = None)?;
        if let Some(usage) = &self.usage {
            usage.count(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

impl OpenFile {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        let mut open = Self { size: file.metadata()?.len(), file: file.try_clone()? };
        if open.size > 0 {
            // A process that was killed may have left half a record: end it, so that it spoils no other.
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                open.write(b"\n")?;
            }
        }
        Ok(open)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                Ok(())
            }
            Err(error) => {
                // Taking back what was written works on a full disk too.
                if let Err(truncate) = self.file.set_len(self.size) {
                    tracing::debug!(%truncate, "cannot take back half a log record");
                }
                Err(error)
            }
        }
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
