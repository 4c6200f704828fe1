//! The operations in which WASI has something to add to what a descriptor does by itself, for both versions.

use std::sync::Arc;

use nacelle_infra::fs::{Descriptor, Errno, FileKind, OpenHow, SetTime, Stat};
use tokio::sync::Semaphore;
use wasmtime::component::{Resource, ResourceTable};

use super::errors::FsError;

/// Flags of an `open-at`.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the interface, each independent of the others")]
pub(super) struct Open {
    pub(super) follow: bool,
    pub(super) create: bool,
    pub(super) directory: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) mutate_directory: bool,
    /// Any of the flags that ask for synchronised writes.
    pub(super) synchronised: bool,
}

impl Open {
    /// What to ask the namespace for.
    ///
    /// `mutate-directory` is shown by `get-flags` and decides nothing: programs of preview 1, which has no such flag,
    /// change directories through descriptors that were opened without.
    fn how(self) -> Result<OpenHow, Errno> {
        if self.synchronised {
            return Err(Errno::NOTSUP);
        }
        if self.directory && (self.create || self.exclusive || self.truncate) {
            return Err(Errno::INVAL);
        }
        Ok(OpenHow {
            create: self.create,
            directory: self.directory,
            exclusive: self.exclusive && self.create,
            truncate: self.truncate,
            follow: self.follow,
            read: self.read,
            write: self.write,
            mutate_directory: self.mutate_directory,
        })
    }
}

/// What to set a file's times to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) accessed: SetTime,
    pub(super) modified: SetTime,
}

/// A descriptor of any kind.
pub(super) fn get<'t>(table: &'t ResourceTable, fd: &Resource<Descriptor>) -> Result<&'t Descriptor, FsError> {
    table.get(fd).map_err(|error| FsError::Trap(error.into()))
}

/// A descriptor of anything but a directory.
pub(super) fn file<'t>(table: &'t ResourceTable, fd: &Resource<Descriptor>) -> Result<&'t Descriptor, FsError> {
    let descriptor = get(table, fd)?;
    if is_directory(descriptor) { Err(Errno::BADF.into()) } else { Ok(descriptor) }
}

pub(super) fn is_directory(descriptor: &Descriptor) -> bool {
    descriptor.kind() == FileKind::Directory
}

pub(super) fn open_at(
    table: &mut ResourceTable,
    fd: &Resource<Descriptor>,
    path: &str,
    open: Open,
) -> Result<Resource<Descriptor>, FsError> {
    let opened = get(table, fd)?.open_at(path, open.how()?)?;
    Ok(table.push(opened)?)
}

pub(super) fn rename_at(
    table: &ResourceTable,
    (from, from_path): (&Resource<Descriptor>, &str),
    (to, to_path): (&Resource<Descriptor>, &str),
) -> Result<(), FsError> {
    let from = get(table, from)?;
    let to = get(table, to)?;
    Ok(from.rename_at(from_path, to, to_path)?)
}

/// Makes a hard link. Following a link to its source is `EINVAL`, as in wasmtime.
pub(super) fn link_at(
    table: &ResourceTable,
    follow: bool,
    (from, from_path): (&Resource<Descriptor>, &str),
    (to, to_path): (&Resource<Descriptor>, &str),
) -> Result<(), FsError> {
    let from = get(table, from)?;
    let to = get(table, to)?;
    if follow {
        return Err(Errno::INVAL.into());
    }
    Ok(from.link_at(false, from_path, to, to_path)?)
}

/// Takes advice on how a file will be read. None is needed, but wrong uses fail as they do on Linux.
pub(super) fn advise(table: &ResourceTable, fd: &Resource<Descriptor>, length: u64) -> Result<(), FsError> {
    file(table, fd)?;
    i64::try_from(length).map_or(Err(Errno::INVAL.into()), |_| Ok(()))
}

/// Waits until a file, or its data alone, is on its disk.
///
/// Dropping the future does not take the work back: a disk cannot be hurried. The permit is held until it is done, so
/// that a guest that starts many of them has few threads waiting.
pub(super) async fn sync(syncs: Arc<Semaphore>, descriptor: Descriptor, data_only: bool) -> Result<(), FsError> {
    if !descriptor.on_disk() {
        return Ok(descriptor.sync(data_only)?);
    }
    let permit = syncs.acquire_owned().await.map_err(|error| FsError::Trap(error.into()))?;
    let work = tokio::task::spawn_blocking(move || {
        let result = descriptor.sync(data_only);
        drop(permit);
        result
    });
    Ok(work.await.map_err(|error| FsError::Trap(error.into()))??)
}

/// A number of 128 bits that tells files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetadataHash {
    /// Tells apart the files of one tree, and very likely all: preview 1 makes its inode number of this half alone.
    pub(super) lower: u64,
    pub(super) upper: u64,
}

pub(super) fn metadata_hash(stat: &Stat) -> MetadataHash {
    // For one tree, the mixing is one to one.
    let lower = mix(stat.ino ^ mix(stat.dev));
    MetadataHash { lower, upper: mix(lower ^ stat.dev) }
}

/// A bijection in which each bit of the input changes half of the output's (the finalizer of SplitMix64).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
