//! Descriptors of wasi:filesystem 0.2.

use nacelle_infra::fs::{Descriptor, Errno, ReadDir};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

use super::streams::{FileInput, FileOutput, Place};
use super::{convert, types};
use crate::filesystem::device::{Sink, Source};
use crate::filesystem::errors::{FsError, StreamFailure};
use crate::filesystem::{FilesView, io_size, ops};

type Fd = Resource<Descriptor>;
type FsResult<T> = Result<T, FsError>;

impl types::HostDescriptor for FilesView<'_> {
    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let descriptor = ops::get(self.table, &fd)?;
        if ops::is_directory(descriptor) {
            return Err(Errno::ISDIR.into());
        }
        let stream: DynInputStream = match self.files.stdio.source(descriptor)? {
            Source::File => Box::new(FileInput::new(descriptor.clone(), offset)),
            Source::Stdin(Some(input)) => input.p2_stream(),
            Source::Stdin(None) => Box::new(ClosedInputStream),
        };
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        self.output(&fd, Place::At(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.output(&fd, Place::End)
    }

    fn advise(&mut self, fd: Fd, _offset: u64, length: u64, _advice: types::Advice) -> FsResult<()> {
        ops::advise(self.table, &fd, length)
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        let descriptor = ops::get(self.table, &fd)?.clone();
        ops::sync(self.files.container.syncs(), descriptor, true).await
    }

    fn get_flags(&mut self, fd: Fd) -> FsResult<types::DescriptorFlags> {
        Ok(convert::flags(ops::get(self.table, &fd)?))
    }

    fn get_type(&mut self, fd: Fd) -> FsResult<types::DescriptorType> {
        Ok(ops::get(self.table, &fd)?.kind().into())
    }

    fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        Ok(ops::file(self.table, &fd)?.set_size(size)?)
    }

    fn set_times(&mut self, fd: Fd, accessed: types::NewTimestamp, modified: types::NewTimestamp) -> FsResult<()> {
        let times = convert::times(accessed, modified)?;
        Ok(ops::get(self.table, &fd)?.set_times(times.accessed, times.modified)?)
    }

    async fn read(&mut self, fd: Fd, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let descriptor = ops::file(self.table, &fd)?;
        let length = io_size(descriptor, usize::try_from(length).unwrap_or(usize::MAX));
        let bytes = match self.files.stdio.source(descriptor)? {
            Source::File => descriptor.read_bytes_at(offset, length)?,
            Source::Stdin(None) => bytes::Bytes::new(),
            Source::Stdin(Some(input)) => match input.p2_stream().blocking_read(length).await {
                Ok(bytes) => bytes,
                Err(StreamError::Closed) => bytes::Bytes::new(),
                Err(error) => return Err(stream_error(error)),
            },
        };
        Ok((bytes.to_vec(), bytes.is_empty()))
    }

    async fn write(&mut self, fd: Fd, buffer: Vec<u8>, offset: u64) -> FsResult<u64> {
        let descriptor = ops::file(self.table, &fd)?;
        let length = io_size(descriptor, buffer.len());
        let written = match self.files.stdio.sink(descriptor)? {
            Sink::File => descriptor.write_at(offset, buffer.get(..length).unwrap_or(&buffer))?,
            Sink::Output(output) => {
                let bytes = bytes::Bytes::from(buffer).slice(..length);
                output.p2_stream().blocking_write_and_flush(bytes).await.map_err(stream_error)?;
                length
            }
        };
        u64::try_from(written).map_err(|_| Errno::OVERFLOW.into())
    }

    fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<ReadDir>> {
        let entries = ops::get(self.table, &fd)?.read_dir()?;
        Ok(self.table.push(entries)?)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        let descriptor = ops::get(self.table, &fd)?.clone();
        ops::sync(self.files.container.syncs(), descriptor, false).await
    }

    fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        Ok(ops::get(self.table, &fd)?.create_directory_at(&path)?)
    }

    fn stat(&mut self, fd: Fd) -> FsResult<types::DescriptorStat> {
        Ok(ops::get(self.table, &fd)?.stat()?.into())
    }

    fn stat_at(&mut self, fd: Fd, flags: types::PathFlags, path: String) -> FsResult<types::DescriptorStat> {
        Ok(ops::get(self.table, &fd)?.stat_at(&path, convert::follow(flags))?.into())
    }

    fn set_times_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let times = convert::times(accessed, modified)?;
        Ok(ops::get(self.table, &fd)?.set_times_at(&path, convert::follow(flags), times.accessed, times.modified)?)
    }

    fn link_at(&mut self, fd: Fd, flags: types::PathFlags, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        ops::link_at(self.table, convert::follow(flags), (&fd, &path), (&new_fd, &new_path))
    }

    fn open_at(
        &mut self,
        fd: Fd,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Fd> {
        ops::open_at(self.table, &fd, &path, convert::open(path_flags, open_flags, flags))
    }

    fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        Ok(ops::get(self.table, &fd)?.readlink_at(&path)?)
    }

    fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        Ok(ops::get(self.table, &fd)?.remove_directory_at(&path)?)
    }

    fn rename_at(&mut self, fd: Fd, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        ops::rename_at(self.table, (&fd, &path), (&new_fd, &new_path))
    }

    fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        Ok(ops::get(self.table, &fd)?.symlink_at(&target, &path)?)
    }

    fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        Ok(ops::get(self.table, &fd)?.unlink_file_at(&path)?)
    }

    fn is_same_object(&mut self, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        Ok(self.table.get(&fd)?.is_same(self.table.get(&other)?))
    }

    fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        Ok(ops::metadata_hash(&ops::get(self.table, &fd)?.stat()?).into())
    }

    fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        Ok(ops::metadata_hash(&ops::get(self.table, &fd)?.stat_at(&path, convert::follow(flags))?).into())
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.table.delete(fd)?;
        Ok(())
    }
}

impl FilesView<'_> {
    /// A stream into a file, or into the standard stream that it stands for.
    fn output(&mut self, fd: &Fd, place: Place) -> FsResult<Resource<DynOutputStream>> {
        let descriptor = ops::file(self.table, fd)?;
        let stream: DynOutputStream = match self.files.stdio.sink(descriptor)? {
            Sink::File => Box::new(FileOutput::new(descriptor.clone(), place)),
            Sink::Output(output) => output.p2_stream(),
        };
        Ok(self.table.push(stream)?)
    }
}

/// What a standard stream's failure is to whoever uses it as a file.
fn stream_error(error: StreamError) -> FsError {
    match error {
        StreamError::Closed => Errno::PIPE.into(),
        StreamError::LastOperationFailed(error) => match error.downcast_ref::<StreamFailure>() {
            Some(StreamFailure(errno)) => (*errno).into(),
            None => Errno::IO.into(),
        },
        StreamError::Trap(error) => FsError::Trap(error),
    }
}
