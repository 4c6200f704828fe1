//! Descriptors of wasi:filesystem 0.3.

use std::iter;
use std::pin::Pin;

use nacelle_infra::fs::{Descriptor, Errno, ReadDir};
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime::component::{Access, Accessor, FutureReader, Resource, ResourceTable, StreamReader};

use super::device::{InputProducer, OutputConsumer};
use super::entries::EntryProducer;
use super::outcome::Outcome;
use super::streams::{FileConsumer, FileProducer, Place};
use super::{ErrorCode, convert, types};
use crate::filesystem::device::{Sink, Source};
use crate::filesystem::errors::FsError;
use crate::filesystem::{FilesView, HasFiles, ops};

type Fd = Resource<Descriptor>;
type FsResult<T> = Result<T, FsError>;
type Done = FutureReader<Result<(), ErrorCode>>;

/// Runs an operation on a store's resources.
fn with<T, R>(store: &Accessor<T, HasFiles>, operation: impl FnOnce(&mut ResourceTable) -> R) -> R {
    store.with(|mut access| operation(access.get().table))
}

impl<T> types::HostDescriptorWithStore<T> for HasFiles {
    fn read_via_stream(
        mut store: Access<'_, T, Self>,
        fd: Fd,
        offset: u64,
    ) -> wasmtime::Result<(StreamReader<u8>, Done)> {
        let (mut outcome, done) = Outcome::new();
        let stream = match source(&store.get(), &fd) {
            Ok(Reading::File(file)) => StreamReader::new(&mut store, FileProducer { file, position: offset, outcome })?,
            Ok(Reading::Input(input)) => StreamReader::new(&mut store, InputProducer { input, outcome })?,
            Ok(Reading::Nothing) => StreamReader::new(&mut store, iter::empty())?,
            Err(error) => {
                outcome.fail(told(error)?);
                StreamReader::new(&mut store, iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut store, done)?))
    }

    fn write_via_stream(
        store: Access<'_, T, Self>,
        fd: Fd,
        data: StreamReader<u8>,
        offset: u64,
    ) -> wasmtime::Result<Done> {
        write(store, &fd, data, Place::At(offset))
    }

    fn append_via_stream(store: Access<'_, T, Self>, fd: Fd, data: StreamReader<u8>) -> wasmtime::Result<Done> {
        write(store, &fd, data, Place::End)
    }

    async fn advise(
        store: &Accessor<T, Self>,
        fd: Fd,
        _offset: u64,
        length: u64,
        _advice: types::Advice,
    ) -> FsResult<()> {
        with(store, |table| ops::advise(table, &fd, length))
    }

    async fn sync_data(store: &Accessor<T, Self>, fd: Fd) -> FsResult<()> {
        sync(store, &fd, true).await
    }

    async fn get_flags(store: &Accessor<T, Self>, fd: Fd) -> FsResult<types::DescriptorFlags> {
        with(store, |table| Ok(convert::flags(ops::get(table, &fd)?)))
    }

    async fn get_type(store: &Accessor<T, Self>, fd: Fd) -> FsResult<types::DescriptorType> {
        with(store, |table| Ok(ops::get(table, &fd)?.kind().into()))
    }

    async fn set_size(store: &Accessor<T, Self>, fd: Fd, size: u64) -> FsResult<()> {
        with(store, |table| Ok(ops::file(table, &fd)?.set_size(size)?))
    }

    async fn set_times(
        store: &Accessor<T, Self>,
        fd: Fd,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let times = convert::times(accessed, modified)?;
        with(store, |table| Ok(ops::get(table, &fd)?.set_times(times.accessed, times.modified)?))
    }

    fn read_directory(
        mut store: Access<'_, T, Self>,
        fd: Fd,
    ) -> wasmtime::Result<(StreamReader<types::DirectoryEntry>, Done)> {
        let (mut outcome, done) = Outcome::new();
        let stream = match entries(&store.get(), &fd) {
            Ok(entries) => StreamReader::new(&mut store, EntryProducer { entries, outcome })?,
            Err(error) => {
                outcome.fail(told(error)?);
                StreamReader::new(&mut store, iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut store, done)?))
    }

    async fn sync(store: &Accessor<T, Self>, fd: Fd) -> FsResult<()> {
        sync(store, &fd, false).await
    }

    async fn create_directory_at(store: &Accessor<T, Self>, fd: Fd, path: String) -> FsResult<()> {
        with(store, |table| Ok(ops::get(table, &fd)?.create_directory_at(&path)?))
    }

    async fn stat(store: &Accessor<T, Self>, fd: Fd) -> FsResult<types::DescriptorStat> {
        with(store, |table| Ok(ops::get(table, &fd)?.stat()?.into()))
    }

    async fn stat_at(
        store: &Accessor<T, Self>,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        with(store, |table| Ok(ops::get(table, &fd)?.stat_at(&path, convert::follow(flags))?.into()))
    }

    async fn set_times_at(
        store: &Accessor<T, Self>,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let times = convert::times(accessed, modified)?;
        with(store, |table| {
            Ok(ops::get(table, &fd)?.set_times_at(&path, convert::follow(flags), times.accessed, times.modified)?)
        })
    }

    async fn link_at(
        store: &Accessor<T, Self>,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        with(store, |table| ops::link_at(table, convert::follow(flags), (&fd, &path), (&new_fd, &new_path)))
    }

    async fn open_at(
        store: &Accessor<T, Self>,
        fd: Fd,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Fd> {
        with(store, |table| ops::open_at(table, &fd, &path, convert::open(path_flags, open_flags, flags)))
    }

    async fn readlink_at(store: &Accessor<T, Self>, fd: Fd, path: String) -> FsResult<String> {
        with(store, |table| Ok(ops::get(table, &fd)?.readlink_at(&path)?))
    }

    async fn remove_directory_at(store: &Accessor<T, Self>, fd: Fd, path: String) -> FsResult<()> {
        with(store, |table| Ok(ops::get(table, &fd)?.remove_directory_at(&path)?))
    }

    async fn rename_at(store: &Accessor<T, Self>, fd: Fd, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        with(store, |table| ops::rename_at(table, (&fd, &path), (&new_fd, &new_path)))
    }

    async fn symlink_at(store: &Accessor<T, Self>, fd: Fd, target: String, path: String) -> FsResult<()> {
        with(store, |table| Ok(ops::get(table, &fd)?.symlink_at(&target, &path)?))
    }

    async fn unlink_file_at(store: &Accessor<T, Self>, fd: Fd, path: String) -> FsResult<()> {
        with(store, |table| Ok(ops::get(table, &fd)?.unlink_file_at(&path)?))
    }

    async fn is_same_object(store: &Accessor<T, Self>, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        with(store, |table| Ok(table.get(&fd)?.is_same(table.get(&other)?)))
    }

    async fn metadata_hash(store: &Accessor<T, Self>, fd: Fd) -> FsResult<types::MetadataHashValue> {
        with(store, |table| Ok(ops::metadata_hash(&ops::get(table, &fd)?.stat()?).into()))
    }

    async fn metadata_hash_at(
        store: &Accessor<T, Self>,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        with(store, |table| {
            Ok(ops::metadata_hash(&ops::get(table, &fd)?.stat_at(&path, convert::follow(flags))?).into())
        })
    }
}

fn entries(view: &FilesView<'_>, fd: &Fd) -> FsResult<ReadDir> {
    Ok(ops::get(view.table, fd)?.read_dir()?)
}

/// What a descriptor's bytes are read from.
enum Reading {
    File(Descriptor),
    Input(Pin<Box<dyn AsyncRead + Send + Sync>>),
    Nothing,
}

fn source(view: &FilesView<'_>, fd: &Fd) -> FsResult<Reading> {
    let descriptor = ops::get(view.table, fd)?;
    if ops::is_directory(descriptor) {
        return Err(Errno::ISDIR.into());
    }
    Ok(match view.files.stdio.source(descriptor)? {
        Source::File => Reading::File(descriptor.clone()),
        Source::Stdin(Some(input)) => Reading::Input(Box::into_pin(input.async_stream())),
        Source::Stdin(None) => Reading::Nothing,
    })
}

/// What a descriptor's bytes are written to.
enum Writing {
    File(Descriptor),
    Output(Pin<Box<dyn AsyncWrite + Send + Sync>>),
}

fn sink(view: &FilesView<'_>, fd: &Fd) -> FsResult<Writing> {
    let descriptor = ops::file(view.table, fd)?;
    Ok(match view.files.stdio.sink(descriptor)? {
        Sink::File => Writing::File(descriptor.clone()),
        Sink::Output(output) => Writing::Output(Box::into_pin(output.async_stream())),
    })
}

fn write<T>(
    mut store: Access<'_, T, HasFiles>,
    fd: &Fd,
    mut data: StreamReader<u8>,
    place: Place,
) -> wasmtime::Result<Done> {
    let (mut outcome, done) = Outcome::new();
    match sink(&store.get(), fd) {
        Ok(Writing::File(file)) => data.pipe(&mut store, FileConsumer { file, place, outcome })?,
        Ok(Writing::Output(output)) => data.pipe(&mut store, OutputConsumer { output, outcome })?,
        Err(error) => {
            outcome.fail(told(error)?);
            data.close(&mut store)?;
        }
    }
    FutureReader::new(&mut store, done)
}

async fn sync<T>(store: &Accessor<T, HasFiles>, fd: &Fd, data_only: bool) -> FsResult<()> {
    let (syncs, descriptor) = store.with(|mut access| {
        let view = access.get();
        FsResult::Ok((view.files.container.syncs(), ops::get(view.table, fd)?.clone()))
    })?;
    ops::sync(syncs, descriptor, data_only).await
}

/// The error number for a guest that learns of it by a future; a trap ends it now.
fn told(error: FsError) -> wasmtime::Result<Errno> {
    match error {
        FsError::Errno(errno) => Ok(errno),
        FsError::Trap(error) => Err(error),
    }
}
