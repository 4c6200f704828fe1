//! A directory of the host as a tree.

use std::sync::Arc;

use super::node::{Found, OpenNode, Opened};
use super::{DirEntry, FileKind, FsResult, SetTime, Stat};

/// Bytes that a directory of the host may hold.
#[derive(Debug)]
pub struct DiskQuota {}

/// A directory.
#[derive(Clone, Debug)]
pub(crate) struct HostDir {}

/// Neither directory nor link, located but not open.
#[derive(Clone, Debug)]
pub(crate) struct HostLeaf {}

/// An open file.
#[derive(Debug)]
pub(crate) struct HostFile {}

/// A directory's entries.
#[derive(Debug)]
pub(crate) struct HostListing {}

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

later!(HostDir {
    lookup(name: &str) -> FsResult<Found>;
    open(name: &str, how: OpenNode) -> FsResult<Opened>;
    open_beneath(path: &str, how: OpenNode) -> Option<HostFile>;
    stat_beneath(path: &str) -> Option<Stat>;
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
    rename(from: &str, to_dir: &HostDir, to: &str) -> FsResult<()>;
    link(from: &str, to_dir: &HostDir, to: &str) -> FsResult<()>;
    list() -> FsResult<HostListing>;
    is_same(other: &HostDir) -> bool;
    on_disk() -> bool;
});

later!(HostLeaf {
    open(how: OpenNode) -> FsResult<HostFile>;
    stat() -> FsResult<Stat>;
    set_times(accessed: SetTime, modified: SetTime) -> FsResult<()>;
});

later!(HostFile {
    kind() -> FileKind;
    stat() -> FsResult<Stat>;
    set_times(accessed: SetTime, modified: SetTime) -> FsResult<()>;
    read_at(offset: u64, buffer: &mut [u8]) -> FsResult<usize>;
    read_bytes_at(offset: u64, max: usize) -> FsResult<bytes::Bytes>;
    write_at(offset: u64, bytes: &[u8]) -> FsResult<usize>;
    append(bytes: &[u8]) -> FsResult<usize>;
    set_size(size: u64) -> FsResult<()>;
    sync(data_only: bool) -> FsResult<()>;
    is_same(other: &HostFile) -> bool;
    on_disk() -> bool;
});

impl Iterator for HostListing {
    type Item = FsResult<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
