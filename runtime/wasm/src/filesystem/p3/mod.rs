//! wasi:filesystem 0.3.

mod convert;
mod descriptor;
mod device;
mod entries;
mod outcome;
mod streams;

use nacelle_infra::fs::Descriptor;
use wasmtime::component::{Linker, Resource};

use super::errors::FsError;
use super::{FilesView, HasFiles};
use bindings::wasi::filesystem::{preopens, types};

pub(super) use types::ErrorCode;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/clocks-0.3.0.wit", "../../wit/deps/filesystem-0.3.0.wit"],
        world: "wasi:filesystem/imports@0.3.0",
        imports: {
            "wasi:filesystem/types.[method]descriptor.read-via-stream": store | trappable,
            "wasi:filesystem/types.[method]descriptor.write-via-stream": store | trappable,
            "wasi:filesystem/types.[method]descriptor.append-via-stream": store | trappable,
            "wasi:filesystem/types.[method]descriptor.read-directory": store | trappable,
            default: trappable,
        },
        trappable_error_type: {
            "wasi:filesystem/types.error-code" => crate::filesystem::errors::FsError,
        },
        with: {
            "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
            "wasi:filesystem/types.descriptor": nacelle_infra::fs::Descriptor,
        },
    });
}

/// Offers wasi:filesystem 0.3.
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
        error.into_p3()
    }
}

impl types::HostDescriptor for FilesView<'_> {
    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(fd)?;
        Ok(())
    }
}
