//! What a tree is made of: the interface between the namespace, which walks paths, and the trees, which know names.
//!
//! A tree is asked one component at a time and never follows a link: it says where the link points, and the namespace
//! goes on from there. Names given to a tree are single components of 1 to 255 bytes, never `.` or `..`, without `/`
//! and NUL. Whether a mount is read-only is the namespace's business; it does not call what changes a tree then.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::host::{HostDir, HostFile, HostLeaf, HostListing};
use super::memory::{Device, MemDir, MemFile, MemLeaf, MemListing};
use super::{DirEntry, FileKind, FsResult, SetTime, Stat};

/// How the last component is to be opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenNode {
    /// Read access.
    pub(crate) read: bool,
    /// Write access. A directory is then EISDIR.
    pub(crate) write: bool,
    /// Make a regular file if there is nothing.
    pub(crate) create: bool,
    /// With `create`: EEXIST if there is anything, a link too.
    pub(crate) exclusive: bool,
    /// Cut a regular file to nothing.
    pub(crate) truncate: bool,
    /// ENOTDIR unless it is a directory (or a link).
    pub(crate) directory: bool,
}

/// What a name stands for, opened.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A directory.
    Directory(Dir),
    /// A file or a device.
    File(File),
    /// A link with this target; nothing was opened.
    Symlink(Arc<str>),
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A directory.
    Directory(Dir),
    /// A link with this target.
    Symlink(Arc<str>),
    /// Anything else.
    Leaf(Leaf),
}

/// A directory of a tree. Lives on when it is removed: everything in it is then ENOENT.
#[derive(Clone, Debug)]
pub(crate) enum Dir {
    /// In a tree of our own.
    Memory(MemDir),
    /// On the host.
    Host(HostDir),
}

/// Neither directory nor link, located but not open.
#[derive(Clone, Debug)]
pub(crate) enum Leaf {
    /// In a tree of our own.
    Memory(MemLeaf),
    /// On the host.
    Host(HostLeaf),
}

/// An open file.
#[derive(Debug)]
pub(crate) enum File {
    /// In a tree of our own.
    Memory(MemFile),
    /// On the host.
    Host(HostFile),
}

/// The entries of a directory, without `.` and `..`, in bounded memory.
#[derive(Debug)]
pub(crate) enum Listing {
    /// In a tree of our own.
    Memory(MemListing),
    /// On the host.
    Host(HostListing),
}

macro_rules! each {
    ($type:ident, $self:expr, $it:ident => $call:expr) => {
        match $self {
            $type::Memory($it) => $call,
            $type::Host($it) => $call,
        }
    };
}

impl Dir {
    /// What `name` is. For a component on the way.
    pub(crate) fn lookup(&self, name: &str) -> FsResult<Found> {
        each!(Dir, self, dir => dir.lookup(name))
    }

    /// Opens `name`. A link is given back, whatever `how` says (EEXIST if exclusive).
    pub(crate) fn open(&self, name: &str, how: OpenNode) -> FsResult<Opened> {
        each!(Dir, self, dir => dir.open(name, how))
    }

    /// Opens a file several components down in one step, if no component is a link and it is not a directory;
    /// `None` when that is not known: the caller then walks. Never called when a mount point lies below.
    pub(crate) fn open_beneath(&self, path: &str, how: OpenNode) -> Option<File> {
        match self {
            Dir::Memory(_) => None,
            Dir::Host(dir) => dir.open_beneath(path, how).map(File::Host),
        }
    }

    /// As [`Dir::open_beneath`], for stat.
    pub(crate) fn stat_beneath(&self, path: &str) -> Option<Stat> {
        match self {
            Dir::Memory(_) => None,
            Dir::Host(dir) => dir.stat_beneath(path),
        }
    }

    /// Whether it is the host's, which can go along several names at once.
    pub(crate) fn is_on_host(&self) -> bool {
        matches!(self, Dir::Host(_))
    }

    /// Of the directory itself.
    pub(crate) fn stat(&self) -> FsResult<Stat> {
        each!(Dir, self, dir => dir.stat())
    }

    /// Of `name`, which is not followed.
    pub(crate) fn stat_name(&self, name: &str) -> FsResult<Stat> {
        each!(Dir, self, dir => dir.stat_name(name))
    }

    /// Of the directory itself.
    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        each!(Dir, self, dir => dir.set_times(accessed, modified))
    }

    /// Of `name`, which is not followed.
    pub(crate) fn set_times_name(&self, name: &str, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        each!(Dir, self, dir => dir.set_times_name(name, accessed, modified))
    }

    /// Writes the directory itself to disk.
    pub(crate) fn sync(&self) -> FsResult<()> {
        each!(Dir, self, dir => dir.sync())
    }

    /// mkdir(2).
    pub(crate) fn create_directory(&self, name: &str) -> FsResult<()> {
        each!(Dir, self, dir => dir.create_directory(name))
    }

    /// rmdir(2).
    pub(crate) fn remove_directory(&self, name: &str) -> FsResult<()> {
        each!(Dir, self, dir => dir.remove_directory(name))
    }

    /// unlink(2): EISDIR for a directory.
    pub(crate) fn unlink(&self, name: &str) -> FsResult<()> {
        each!(Dir, self, dir => dir.unlink(name))
    }

    /// symlink(2).
    pub(crate) fn symlink(&self, target: &str, name: &str) -> FsResult<()> {
        each!(Dir, self, dir => dir.symlink(target, name))
    }

    /// readlink(2): EINVAL if it is no link.
    pub(crate) fn readlink(&self, name: &str) -> FsResult<Arc<str>> {
        each!(Dir, self, dir => dir.readlink(name))
    }

    /// rename(2) within a tree; EXDEV otherwise.
    pub(crate) fn rename(&self, from: &str, to_dir: &Dir, to: &str) -> FsResult<()> {
        match (self, to_dir) {
            (Dir::Memory(dir), Dir::Memory(to_dir)) => dir.rename(from, to_dir, to),
            (Dir::Host(dir), Dir::Host(to_dir)) => dir.rename(from, to_dir, to),
            _ => Err(Errno::XDEV),
        }
    }

    /// link(2) within a tree, of what `from` is itself (a link is not followed); EXDEV otherwise.
    pub(crate) fn link(&self, from: &str, to_dir: &Dir, to: &str) -> FsResult<()> {
        match (self, to_dir) {
            (Dir::Memory(dir), Dir::Memory(to_dir)) => dir.link(from, to_dir, to),
            (Dir::Host(dir), Dir::Host(to_dir)) => dir.link(from, to_dir, to),
            _ => Err(Errno::XDEV),
        }
    }

    /// The entries, from the first.
    pub(crate) fn list(&self) -> FsResult<Listing> {
        Ok(match self {
            Dir::Memory(dir) => Listing::Memory(dir.list()),
            Dir::Host(dir) => Listing::Host(dir.list()?),
        })
    }

    /// Whether both are the same directory.
    pub(crate) fn is_same(&self, other: &Dir) -> bool {
        match (self, other) {
            (Dir::Memory(dir), Dir::Memory(other)) => dir.is_same(other),
            (Dir::Host(dir), Dir::Host(other)) => dir.is_same(other),
            _ => false,
        }
    }

    /// Whether its operations may wait for a disk.
    pub(crate) fn on_disk(&self) -> bool {
        each!(Dir, self, dir => dir.on_disk())
    }
}

impl Leaf {
    /// Opens it; `create`, `exclusive` and `directory` mean nothing here.
    pub(crate) fn open(&self, how: OpenNode) -> FsResult<File> {
        Ok(match self {
            Leaf::Memory(leaf) => File::Memory(leaf.open(how)?),
            Leaf::Host(leaf) => File::Host(leaf.open(how)?),
        })
    }

    pub(crate) fn stat(&self) -> FsResult<Stat> {
        each!(Leaf, self, leaf => leaf.stat())
    }

    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        each!(Leaf, self, leaf => leaf.set_times(accessed, modified))
    }
}

impl File {
    /// Of what was opened.
    pub(crate) fn kind(&self) -> FileKind {
        each!(File, self, file => file.kind())
    }

    pub(crate) fn stat(&self) -> FsResult<Stat> {
        each!(File, self, file => file.stat())
    }

    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        each!(File, self, file => file.set_times(accessed, modified))
    }

    /// pread(2). The namespace has checked that the descriptor may read.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> FsResult<usize> {
        each!(File, self, file => file.read_at(offset, buffer))
    }

    /// At most `max` bytes; may be fewer, and none only at the end.
    pub(crate) fn read_bytes_at(&self, offset: u64, max: usize) -> FsResult<bytes::Bytes> {
        each!(File, self, file => file.read_bytes_at(offset, max))
    }

    /// pwrite(2). The namespace has checked that the descriptor may write.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> FsResult<usize> {
        each!(File, self, file => file.write_at(offset, bytes))
    }

    /// write(2) with `O_APPEND`: where the end is is found out in the same step.
    pub(crate) fn append(&self, bytes: &[u8]) -> FsResult<usize> {
        each!(File, self, file => file.append(bytes))
    }

    /// ftruncate(2).
    pub(crate) fn set_size(&self, size: u64) -> FsResult<()> {
        each!(File, self, file => file.set_size(size))
    }

    /// fsync(2) or fdatasync(2).
    pub(crate) fn sync(&self, data_only: bool) -> FsResult<()> {
        each!(File, self, file => file.sync(data_only))
    }

    /// Whether both are the same file.
    pub(crate) fn is_same(&self, other: &File) -> bool {
        match (self, other) {
            (File::Memory(file), File::Memory(other)) => file.is_same(other),
            (File::Host(file), File::Host(other)) => file.is_same(other),
            _ => false,
        }
    }

    /// Where the image's file is that this shows unchanged.
    pub(crate) fn store_path(&self) -> Option<PathBuf> {
        match self {
            File::Memory(file) => file.store_path(),
            File::Host(_) => None,
        }
    }

    /// Which device of ours it is.
    pub(crate) fn device(&self) -> Option<Device> {
        match self {
            File::Memory(file) => file.device(),
            File::Host(_) => None,
        }
    }

    /// Whether its operations may wait for a disk.
    pub(crate) fn on_disk(&self) -> bool {
        each!(File, self, file => file.on_disk())
    }
}

impl Iterator for Listing {
    type Item = FsResult<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        each!(Listing, self, listing => listing.next())
    }
}
