//! An open file or directory, as a guest holds it.

use std::path::PathBuf;

use super::{DirEntry, FileKind, FsResult, OpenHow, SetTime, Stat};

/// A device that the runtime knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `/dev/null`.
    Null,
    /// `/dev/zero`.
    Zero,
    /// `/dev/random`.
    Random,
    /// `/dev/urandom`.
    Urandom,
    /// `/dev/stdin`: the caller routes it, as the next two.
    Stdin,
    /// `/dev/stdout`.
    Stdout,
    /// `/dev/stderr`.
    Stderr,
}

/// An open file or directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Descriptor {}

/// The entries of a directory, without `.` and `..`. It holds a bounded number of them in memory.
#[derive(Debug)]
pub struct ReadDir {}

impl Iterator for ReadDir {
    type Item = FsResult<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

#[expect(clippy::todo, clippy::missing_errors_doc, unused_variables, reason = "the shape comes first")]
impl Descriptor {
    /// Of what was opened.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        todo!()
    }

    /// Whether it was opened for reading.
    #[must_use]
    pub fn readable(&self) -> bool {
        todo!()
    }

    /// Whether it was opened for writing.
    #[must_use]
    pub fn writable(&self) -> bool {
        todo!()
    }

    /// Whether names in it may be changed through it.
    #[must_use]
    pub fn mutable_directory(&self) -> bool {
        todo!()
    }

    /// Whether its operations may wait for a disk. Small ones are done in line all the same; fsync, and reads and
    /// writes over 256 KiB, belong on a blocking thread.
    #[must_use]
    pub fn on_disk(&self) -> bool {
        todo!()
    }

    /// Whether both are the same object.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        todo!()
    }

    /// fstat(2).
    pub fn stat(&self) -> FsResult<Stat> {
        todo!()
    }

    /// futimens(2).
    pub fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        todo!()
    }

    /// pread(2).
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> FsResult<usize> {
        todo!()
    }

    /// At most `max` bytes; may be fewer, and none only at the end.
    pub fn read_bytes_at(&self, offset: u64, max: usize) -> FsResult<bytes::Bytes> {
        todo!()
    }

    /// pwrite(2).
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> FsResult<usize> {
        todo!()
    }

    /// write(2) with `O_APPEND`.
    pub fn append(&self, bytes: &[u8]) -> FsResult<usize> {
        todo!()
    }

    /// ftruncate(2).
    pub fn set_size(&self, size: u64) -> FsResult<()> {
        todo!()
    }

    /// fsync(2), or fdatasync(2).
    pub fn sync(&self, data_only: bool) -> FsResult<()> {
        todo!()
    }

    /// openat(2).
    pub fn open_at(&self, path: &str, how: OpenHow) -> FsResult<Descriptor> {
        todo!()
    }

    /// fstatat(2).
    pub fn stat_at(&self, path: &str, follow: bool) -> FsResult<Stat> {
        todo!()
    }

    /// utimensat(2).
    pub fn set_times_at(&self, path: &str, follow: bool, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        todo!()
    }

    /// mkdirat(2).
    pub fn create_directory_at(&self, path: &str) -> FsResult<()> {
        todo!()
    }

    /// unlinkat(2) with `AT_REMOVEDIR`.
    pub fn remove_directory_at(&self, path: &str) -> FsResult<()> {
        todo!()
    }

    /// unlinkat(2).
    pub fn unlink_file_at(&self, path: &str) -> FsResult<()> {
        todo!()
    }

    /// renameat(2).
    pub fn rename_at(&self, from: &str, to_dir: &Descriptor, to: &str) -> FsResult<()> {
        todo!()
    }

    /// linkat(2).
    pub fn link_at(&self, follow: bool, from: &str, to_dir: &Descriptor, to: &str) -> FsResult<()> {
        todo!()
    }

    /// symlinkat(2).
    pub fn symlink_at(&self, target: &str, path: &str) -> FsResult<()> {
        todo!()
    }

    /// readlinkat(2).
    pub fn readlink_at(&self, path: &str) -> FsResult<String> {
        todo!()
    }

    /// The entries, from the first. Mount points are among them.
    pub fn read_dir(&self) -> FsResult<ReadDir> {
        todo!()
    }

    /// The file in the image store that this shows unchanged, if it does.
    #[must_use]
    pub fn store_path(&self) -> Option<PathBuf> {
        todo!()
    }

    /// Which device was opened, if one was.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        todo!()
    }
}
