//! `wasi:io`: wasmtime-wasi's, but for one function.
//!
//! What a guest writes to a stream is copied out of its memory. The binding that is generated for `write` asks for a
//! `Vec<u8>`, which wasmtime fills byte by byte as the compiler sees fit; for 64 KiB that takes half as long again as to
//! copy them, and more than all else that a stream of the pod's network costs. So that function is bound by hand.

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable, WasmList};
use wasmtime_wasi_io::bindings::wasi::io;
use wasmtime_wasi_io::bindings::wasi::io::streams::{Host as _, StreamError};
use wasmtime_wasi_io::streams::{DynOutputStream, StreamResult};

use crate::state::GuestState;

/// As wasmtime-wasi-io names it: a test fails when that changes.
const STREAMS: &str = "wasi:io/streams@0.2.12";
const WRITE: &str = "[method]output-stream.write";

/// Tells generated code that wasi:io works on the table alone.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Adds it to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_generated(linker)?;
    linker.allow_shadowing(true);
    let added = add_write(linker);
    linker.allow_shadowing(false);
    added
}

fn add_generated(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let table: fn(&mut GuestState) -> &mut ResourceTable = GuestState::table;
    io::error::add_to_linker::<_, Table>(linker, table)?;
    io::poll::add_to_linker::<_, Table>(linker, table)?;
    io::streams::add_to_linker::<_, Table>(linker, table)
}

fn add_write(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.instance(STREAMS)?.func_wrap(WRITE, write)
}

fn write(
    mut store: StoreContextMut<'_, GuestState>,
    (stream, bytes): (Resource<DynOutputStream>, WasmList<u8>),
) -> wasmtime::Result<(Result<(), StreamError>,)> {
    let bytes = Bytes::copy_from_slice(bytes.as_le_slice(&store));
    let table = store.data_mut().table();
    let write = || -> StreamResult<()> { table.get_mut(&stream)?.write(bytes) };
    Ok((match write() {
        Ok(()) => Ok(()),
        Err(error) => Err(table.convert_stream_error(error)?),
    },))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address_space::Layout;
    use crate::engine::{Code, Metering, compile_engine};
    use crate::model::Model;

    #[test]
    fn what_is_replaced_is_there() {
        let code = Code { layout: Layout::Ample, metering: Metering::Time, model: Model::Sequential };
        let mut linker = Linker::new(&compile_engine(code).unwrap());
        add_generated(&mut linker).unwrap();
        let error = add_write(&mut linker).unwrap_err();
        assert!(error.to_string().contains("defined twice"), "{error}");
        add_to_linker(&mut Linker::new(linker.engine())).unwrap();
    }
}
