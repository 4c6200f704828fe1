//! wasi:filesystem 0.2.

mod convert;
mod descriptor;
mod streams;

use nacelle_infra::fs::{Descriptor, ReadDir};
use wasmtime::component::{Linker, Resource};

use super::errors::{FsError, StreamFailure};
use super::{FilesView, HasFiles};
use bindings::wasi::filesystem::{preopens, types};

pub(super) use types::ErrorCode;

mod bindings {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/deps/io-0.2.12.wit",
            "../../wit/deps/clocks-0.2.12.wit",
            "../../wit/deps/filesystem-0.2.12.wit",
        ],
        world: "wasi:filesystem/imports@0.2.12",
        imports: {
            // Those that may wait: for a disk, or for whoever is at the other end of a standard stream.
            "wasi:filesystem/types.[method]descriptor.read": async | trappable,
            "wasi:filesystem/types.[method]descriptor.write": async | trappable,
            "wasi:filesystem/types.[method]descriptor.sync": async | trappable,
            "wasi:filesystem/types.[method]descriptor.sync-data": async | trappable,
            default: trappable,
        },
        trappable_error_type: {
            "wasi:filesystem/types.error-code" => crate::filesystem::errors::FsError,
        },
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:filesystem/types.descriptor": nacelle_infra::fs::Descriptor,
            "wasi:filesystem/types.directory-entry-stream": nacelle_infra::fs::ReadDir,
        },
    });
}

/// Offers wasi:filesystem 0.2.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> FilesView<'_>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasFiles>(linker, view)?;
    preopens::add_to_linker::<T, HasFiles>(linker, view)
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.preopened()
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.into_p2()
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        let failure = self.table.get(&error)?.downcast_ref::<StreamFailure>();
        Ok(failure.map(|StreamFailure(errno)| (*errno).into()))
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    fn read_directory_entry(&mut self, stream: Resource<ReadDir>) -> Result<Option<types::DirectoryEntry>, FsError> {
        let entries = self.table.get_mut(&stream).map_err(|error| FsError::Trap(error.into()))?;
        let entry = entries.next().transpose()?;
        Ok(entry.map(Into::into))
    }

    fn drop(&mut self, stream: Resource<ReadDir>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
