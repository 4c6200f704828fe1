//! An open file or directory, as a guest holds it.

mod open;
mod paths;

use std::path::PathBuf;
use std::sync::Arc;

use super::memory::Device;
use super::namespace::{MountNamespace, ReadDir, Trail};
use super::node::File;
use super::{Errno, FileKind, FsResult, SetTime, Stat};

/// An open file or directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Descriptor(Arc<Open>);

#[derive(Debug)]
struct Open {
    namespace: Arc<MountNamespace>,
    object: Object,
    access: Access,
}

/// What was opened.
#[derive(Debug)]
enum Object {
    Directory(Arc<Trail>),
    File(File),
}

/// What a descriptor may be used for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
struct Access {
    read: bool,
    write: bool,
    mutate_directory: bool,
    /// The mount is: not even times may be changed.
    read_only: bool,
}

impl Descriptor {
    pub(crate) fn root(namespace: Arc<MountNamespace>) -> Self {
        let top = namespace.top().clone();
        let read_only = namespace.check_writable(&top.place).is_err();
        let access = Access { read: true, write: false, mutate_directory: !read_only, read_only };
        Self(Arc::new(Open { namespace, object: Object::Directory(top), access }))
    }

    /// Of what was opened.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        match &self.0.object {
            Object::Directory(_) => FileKind::Directory,
            Object::File(file) => file.kind(),
        }
    }

    /// Whether it was opened for reading.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.0.access.read
    }

    /// Whether it was opened for writing.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.0.access.write
    }

    /// Whether names in it may be changed, and it was asked for. It is not enforced: what is read-only is.
    #[must_use]
    pub fn mutable_directory(&self) -> bool {
        self.0.access.mutate_directory
    }

    /// Whether its operations may wait for a disk. Small ones are done in line all the same; fsync, and reads and
    /// writes over 256 KiB, belong on a blocking thread.
    #[must_use]
    pub fn on_disk(&self) -> bool {
        match &self.0.object {
            Object::Directory(trail) => trail.place.dir.on_disk(),
            Object::File(file) => file.on_disk(),
        }
    }

    /// Whether both are the same object.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0.object, &other.0.object) {
            (Object::File(file), Object::File(other)) => file.is_same(other),
            (Object::Directory(trail), Object::Directory(other)) => trail.place.dir.is_same(&other.place.dir),
            _ => false,
        }
    }

    /// fstat(2).
    ///
    /// # Errors
    /// EIO and the like, of a disk.
    pub fn stat(&self) -> FsResult<Stat> {
        match &self.0.object {
            Object::Directory(trail) => trail.place.dir.stat(),
            Object::File(file) => file.stat(),
        }
    }

    /// futimens(2).
    ///
    /// # Errors
    /// EROFS.
    pub fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        if self.0.access.read_only {
            return Err(Errno::ROFS);
        }
        match &self.0.object {
            Object::Directory(trail) => trail.place.dir.set_times(accessed, modified),
            Object::File(file) => file.set_times(accessed, modified),
        }
    }

    /// pread(2).
    ///
    /// # Errors
    /// EBADF if it is not open for reading, EISDIR, EINVAL for an offset over 2⁶³, ESPIPE for streams.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> FsResult<usize> {
        self.file_to_read()?.read_at(offset, buffer)
    }

    /// At most `max` bytes; may be fewer, and none only at the end.
    ///
    /// # Errors
    /// As [`Descriptor::read_at`].
    pub fn read_bytes_at(&self, offset: u64, max: usize) -> FsResult<bytes::Bytes> {
        self.file_to_read()?.read_bytes_at(offset, max)
    }

    /// pwrite(2).
    ///
    /// # Errors
    /// EBADF if it is not open for writing, ENOSPC, EFBIG, ESPIPE for streams.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> FsResult<usize> {
        self.file_to_write(Errno::BADF)?.write_at(offset, bytes)
    }

    /// write(2) with `O_APPEND`.
    ///
    /// # Errors
    /// As [`Descriptor::write_at`].
    pub fn append(&self, bytes: &[u8]) -> FsResult<usize> {
        self.file_to_write(Errno::BADF)?.append(bytes)
    }

    /// ftruncate(2).
    ///
    /// # Errors
    /// EINVAL if it is not open for writing, or beyond 2⁶³.
    pub fn set_size(&self, size: u64) -> FsResult<()> {
        self.file_to_write(Errno::INVAL)?.set_size(size)
    }

    /// fsync(2), or fdatasync(2).
    ///
    /// # Errors
    /// EIO and the like, of a disk.
    pub fn sync(&self, data_only: bool) -> FsResult<()> {
        match &self.0.object {
            Object::Directory(trail) => trail.place.dir.sync(),
            Object::File(file) => file.sync(data_only),
        }
    }

    /// The entries, from the first. Mount points are among them.
    ///
    /// # Errors
    /// ENOTDIR.
    pub fn read_dir(&self) -> FsResult<ReadDir> {
        ReadDir::new(self.0.namespace.clone(), self.trail()?.place.clone())
    }

    /// The file in the image store that this shows unchanged, if it does.
    #[must_use]
    pub fn store_path(&self) -> Option<PathBuf> {
        match &self.0.object {
            Object::Directory(_) => None,
            Object::File(file) => file.store_path(),
        }
    }

    /// Which device was opened, if one was.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        match &self.0.object {
            Object::Directory(_) => None,
            Object::File(file) => file.device(),
        }
    }

    /// The directory, with the way to it.
    fn trail(&self) -> FsResult<&Arc<Trail>> {
        match &self.0.object {
            Object::Directory(trail) => Ok(trail),
            Object::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn file_to_read(&self) -> FsResult<&File> {
        match &self.0.object {
            Object::Directory(_) => Err(Errno::ISDIR),
            Object::File(_) if !self.0.access.read => Err(Errno::BADF),
            Object::File(file) => Ok(file),
        }
    }

    fn file_to_write(&self, refused: Errno) -> FsResult<&File> {
        match &self.0.object {
            Object::File(file) if self.0.access.write => Ok(file),
            _ => Err(refused),
        }
    }
}
