//! WASI's filesystem, versions 0.2 and 0.3, over the container's mount namespace.
//!
//! ```text
//!   guest ──► p2 (0.2) ──┐
//!                        ├──► ops ──► nacelle_infra::fs::Descriptor
//!   guest ──► p3 (0.3) ──┘             (mounts, links, permissions, limits)
//! ```
//!
//! Both versions share the resource type, the rules of [`ops`] and the table of error codes; what differs is how bytes
//! and entries flow. All that a file is (where a path leads, what may be done there, how large it may become) is decided
//! below, in `infra`; here is only what WASI adds: its flags, its names of errors, its streams.
//!
//! Operations are done in line: a file in memory takes less than a microsecond, and a small one in the page cache not
//! much more, while a blocking thread costs 30. Only what waits for a disk by design (sync) goes to one. Reads and
//! writes on a disk are cut to a size that is quick, as WASI allows them to be.
//!
//! Must not depend on anything that knows sockets or HTTP.

mod convert;
mod device;
mod errors;
mod ops;
pub(crate) mod p2;
pub(crate) mod p3;
mod preopens;
mod times;

use std::sync::Arc;

use nacelle_infra::fs::Descriptor;
use wasmtime::component::{HasData, Resource, ResourceTable};

pub(crate) use device::Stdio;
pub(crate) use preopens::ContainerFiles;

/// The most bytes of one read or write of a file in memory.
const MAX_IO: usize = 1024 * 1024;
/// The most bytes of one read or write of a file on a disk, where a guest's thread waits for it.
const MAX_DISK_IO: usize = 256 * 1024;

/// What one instance sees of its container's files.
pub(crate) struct Files {
    container: Arc<ContainerFiles>,
    stdio: Stdio,
}

impl Files {
    pub(crate) fn new(container: Arc<ContainerFiles>, stdio: Stdio) -> Self {
        Self { container, stdio }
    }
}

/// A store's [`Files`] and its table of resources.
pub(crate) struct FilesView<'a> {
    pub(crate) files: &'a Files,
    pub(crate) table: &'a mut ResourceTable,
}

/// Names [`FilesView`] to the bindings.
pub(crate) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

impl FilesView<'_> {
    /// The directories that a guest begins with, each with its name.
    fn preopened(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let directories = self.files.container.preopens();
        directories.map(|(directory, name)| Ok((self.table.push(directory.clone())?, name.to_owned()))).collect()
    }
}

/// How many of `asked` bytes one read or write of `file` takes.
fn io_size(file: &Descriptor, asked: usize) -> usize {
    asked.min(if file.on_disk() { MAX_DISK_IO } else { MAX_IO })
}
