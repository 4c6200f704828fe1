//! `wasi:io`: wasmtime-wasi's, but for three functions that are bound by hand because streams consist of them.
//!
//! What a guest writes to a stream is copied out of its memory. The binding that is generated for `write` asks for a
//! `Vec<u8>`, which wasmtime fills byte by byte as the compiler sees fit; for 64 KiB that takes half as long again as to
//! copy them, and more than all else that a stream of the pod's network costs.
//!
//! Reading and waiting are futures in a span of their own, and reading waits, in a future of its own, until there is
//! something. Here whoever reads tries first, and nothing is around it.

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable, WasmList};
use wasmtime_wasi_io::bindings::wasi::io;
use wasmtime_wasi_io::bindings::wasi::io::poll::HostPollable as _;
use wasmtime_wasi_io::bindings::wasi::io::streams::{Host as _, StreamError};
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, StreamResult};

use crate::state::GuestState;

/// As wasmtime-wasi-io names it: a test fails when that changes.
const STREAMS: &str = "wasi:io/streams@0.2.12";
const WRITE: &str = "[method]output-stream.write";
const BLOCKING_READ: &str = "[method]input-stream.blocking-read";
const POLL: &str = "wasi:io/poll@0.2.12";
const BLOCK: &str = "[method]pollable.block";

/// Tells generated code that wasi:io works on the table alone.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Adds it to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    add_generated(linker)?;
    linker.allow_shadowing(true);
    let added = BY_HAND.iter().try_for_each(|add| add(linker));
    linker.allow_shadowing(false);
    added
}

/// Adds one function to a linker.
type Add = fn(&mut Linker<GuestState>) -> wasmtime::Result<()>;

const BY_HAND: [Add; 3] = [
    |linker| linker.instance(STREAMS)?.func_wrap(WRITE, write),
    |linker| {
        linker.instance(STREAMS)?.func_wrap_async(BLOCKING_READ, |store, args| Box::new(blocking_read(store, args)))
    },
    |linker| linker.instance(POLL)?.func_wrap_async(BLOCK, |store, args| Box::new(block(store, args))),
];

fn add_generated(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let table: fn(&mut GuestState) -> &mut ResourceTable = GuestState::table;
    io::error::add_to_linker::<_, Table>(linker, table)?;
    io::poll::add_to_linker::<_, Table>(linker, table)?;
    io::streams::add_to_linker::<_, Table>(linker, table)
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

async fn blocking_read(
    mut store: StoreContextMut<'_, GuestState>,
    (stream, length): (Resource<DynInputStream>, u64),
) -> wasmtime::Result<(Result<Vec<u8>, StreamError>,)> {
    let table = store.data_mut().table();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok((match read(table, &stream, length).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(table.convert_stream_error(error)?),
    },))
}

async fn read(table: &mut ResourceTable, stream: &Resource<DynInputStream>, length: usize) -> StreamResult<Bytes> {
    let stream = table.get_mut(stream)?;
    let found = stream.read(length)?;
    // To read nothing is to wait until there would be something.
    if found.is_empty() { stream.blocking_read(length).await } else { Ok(found) }
}

async fn block(
    mut store: StoreContextMut<'_, GuestState>,
    (pollable,): (Resource<DynPollable>,),
) -> wasmtime::Result<()> {
    store.data_mut().table().block(pollable).await
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
        for add in BY_HAND {
            let error = add(&mut linker).unwrap_err();
            assert!(error.to_string().contains("defined twice"), "{error}");
        }
        add_to_linker(&mut Linker::new(linker.engine())).unwrap();
    }
}
