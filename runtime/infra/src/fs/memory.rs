//! A tree in memory.

use std::sync::Arc;

use super::node::{Found, OpenNode, Opened};
use super::{DirEntry, FileKind, FsResult, SetTime, Stat};

/// A directory.
#[derive(Clone, Debug)]
pub(crate) struct MemDir {}

/// Neither directory nor link, located but not open.
#[derive(Clone, Debug)]
pub(crate) struct MemLeaf {}

/// An open file.
#[derive(Debug)]
pub(crate) struct MemFile {}

/// A directory's entries.
#[derive(Debug)]
pub(crate) struct MemListing {}

macro_rules! later {
    ($type:ident { $($name:ident($($arg:ident: $what:ty),*) -> $result:ty;)* }) => {
        #[expect(clippy::todo, reason = "the shape comes first")]
        impl $type {
            $(pub(crate) fn $name(&self, $($arg: $what),*) -> $result {
                $(let _ = $arg;)*
                todo!()
            })*
        }
    };
}

later!(MemDir {
    lookup(name: &str) -> FsResult<Found>;
    open(name: &str, how: OpenNode) -> FsResult<Opened>;
    stat() -> FsResult<Stat>;
    stat_name(name: &str) -> FsResult<Stat>;
    set_times(accessed: SetTime, modified: SetTime) -> FsResult<()>;
    set_times_name(name: &str, accessed: SetTime, modified: SetTime) -> FsResult<()>;
    sync() -> FsResult<()>;
    create_directory(name: &str) -> FsResult<()>;
    remove_directory(name: &str) -> FsResult<()>;
    unlink(name: &str) -> FsResult<()>;
    symlink(target: &str, name: &str) -> FsResult<()>;
    readlink(name: &str) -> FsResult<Arc<str>>;
    rename(from: &str, to_dir: &MemDir, to: &str) -> FsResult<()>;
    link(from: &str, to_dir: &MemDir, to: &str) -> FsResult<()>;
    list() -> MemListing;
    is_same(other: &MemDir) -> bool;
    on_disk() -> bool;
});

later!(MemLeaf {
    open(how: OpenNode) -> FsResult<MemFile>;
    stat() -> FsResult<Stat>;
    set_times(accessed: SetTime, modified: SetTime) -> FsResult<()>;
});

later!(MemFile {
    kind() -> FileKind;
    stat() -> FsResult<Stat>;
    set_times(accessed: SetTime, modified: SetTime) -> FsResult<()>;
    read_at(offset: u64, buffer: &mut [u8]) -> FsResult<usize>;
    read_bytes_at(offset: u64, max: usize) -> FsResult<bytes::Bytes>;
    write_at(offset: u64, bytes: &[u8]) -> FsResult<usize>;
    append(bytes: &[u8]) -> FsResult<usize>;
    set_size(size: u64) -> FsResult<()>;
    sync(data_only: bool) -> FsResult<()>;
    is_same(other: &MemFile) -> bool;
    on_disk() -> bool;
});

impl Iterator for MemListing {
    type Item = FsResult<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
