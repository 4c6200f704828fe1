//! The functions of `wasi:http/types` by which a guest hands over texts that the host keeps: wasmtime-wasi-http's, but
//! that the texts are charged first ([`Handles::keep`](crate::handles::Handles::keep)).

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView as _, p2, p3};

use crate::handles::{field, fields};
use crate::model::Model;
use crate::state::GuestState;

/// As wasmtime-wasi-http names them: a test fails when that changes.
const TYPES_2: &str = "wasi:http/types@0.2.12";
const TYPES_3: &str = "wasi:http/types@0.3.0";

type Store<'a> = StoreContextMut<'a, GuestState>;
type Fields = Resource<FieldMap>;
type Entries = Vec<(String, Vec<u8>)>;

/// Adds `wasi:http` to a linker: of 0.2, where the engine is concurrent also of 0.3.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>, model: Model) -> wasmtime::Result<()> {
    add_generated(linker, model)?;
    linker.allow_shadowing(true);
    let added = add_charged(linker, model);
    linker.allow_shadowing(false);
    added
}

fn add_generated(linker: &mut Linker<GuestState>, model: Model) -> wasmtime::Result<()> {
    p2::add_only_http_to_linker_async(linker)?;
    if model == Model::Concurrent {
        p3::add_to_linker(linker)?;
    }
    Ok(())
}

fn add_charged(linker: &mut Linker<GuestState>, model: Model) -> wasmtime::Result<()> {
    add_2(linker)?;
    if model == Model::Concurrent {
        add_3(linker)?;
    }
    Ok(())
}

/// What works on the guest's messages, once `more` bytes of texts have been charged to it.
fn charged<'a>(store: &'a mut Store<'_>, more: usize) -> wasmtime::Result<WasiHttpCtxView<'a>> {
    let state = store.data_mut();
    state.keep(more)?;
    Ok(state.http())
}

/// The same for a copy of these fields.
fn charged_copy<'a>(store: &'a mut Store<'_>, of: &Fields) -> wasmtime::Result<WasiHttpCtxView<'a>> {
    let copied = fields(store.data_mut().http().table.get(of)?);
    charged(store, copied)
}

fn of_entries(entries: &Entries) -> usize {
    entries.iter().map(|(name, value)| field(name.len(), value.len())).sum()
}

fn of_values(name: &str, values: &[Vec<u8>]) -> usize {
    values.iter().map(|value| field(name.len(), value.len())).sum()
}

/// What the guest is told, as `tell` finds it in an error.
fn told<T, E, F>(
    result: Result<T, E>,
    tell: impl FnOnce(E) -> wasmtime::Result<F>,
) -> wasmtime::Result<(Result<T, F>,)> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(tell(error)?),
    },))
}

/// Adds the functions to `$types`: the two versions have the same ones, by traits of the same names. `$request` is what a
/// request is called that the guest makes, of the type `$Request`.
macro_rules! add_texts {
    ($types:ident, $request:literal, $Request:ty) => {{
        $types.func_wrap("[static]fields.from-list", |mut store: Store<'_>, (entries,): (Entries,)| {
            let mut http = charged(&mut store, of_entries(&entries))?;
            let made = http.from_list(entries);
            told(made, |error| http.convert_header_error(error))
        })?;
        $types.func_wrap(
            "[method]fields.set",
            |mut store: Store<'_>, (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
                let mut http = charged(&mut store, of_values(&name, &values))?;
                let set = http.set(fields, name, values);
                told(set, |error| http.convert_header_error(error))
            },
        )?;
        $types.func_wrap(
            "[method]fields.append",
            |mut store: Store<'_>, (fields, name, value): (Fields, String, Vec<u8>)| {
                let mut http = charged(&mut store, field(name.len(), value.len()))?;
                let appended = http.append(fields, name, value);
                told(appended, |error| http.convert_header_error(error))
            },
        )?;
        $types.func_wrap("[method]fields.clone", |mut store: Store<'_>, (fields,): (Fields,)| {
            let mut http = charged_copy(&mut store, &fields)?;
            Ok((HostFields::clone(&mut http, fields)?,))
        })?;
        $types.func_wrap(
            concat!("[method]", $request, ".set-method"),
            |mut store: Store<'_>, (request, method): (Resource<$Request>, Method)| {
                let length = if let Method::Other(name) = &method { name.len() } else { 0 };
                Ok((charged(&mut store, length)?.set_method(request, method)?,))
            },
        )?;
        $types.func_wrap(
            concat!("[method]", $request, ".set-path-with-query"),
            |mut store: Store<'_>, (request, path): (Resource<$Request>, Option<String>)| {
                let length = path.as_ref().map_or(0, String::len);
                Ok((charged(&mut store, length)?.set_path_with_query(request, path)?,))
            },
        )?;
        $types.func_wrap(
            concat!("[method]", $request, ".set-authority"),
            |mut store: Store<'_>, (request, authority): (Resource<$Request>, Option<String>)| {
                let length = authority.as_ref().map_or(0, String::len);
                Ok((charged(&mut store, length)?.set_authority(request, authority)?,))
            },
        )
    }};
}

fn add_2(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use p2::bindings::http::types::{Host as _, HostFields, HostOutgoingRequest as _, Method, OutgoingRequest};

    let mut types = linker.instance(TYPES_2)?;
    add_texts!(types, "outgoing-request", OutgoingRequest)
}

fn add_3(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use p3::bindings::http::types::{Host as _, HostFields, HostRequest as _, Method};

    let mut types = linker.instance(TYPES_3)?;
    add_texts!(types, "request", p3::Request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address_space::Layout;
    use crate::engine::{Code, Metering, compile_engine};

    #[test]
    fn what_is_replaced_is_there() {
        let code = Code { layout: Layout::Ample, metering: Metering::Time, model: Model::Concurrent };
        let engine = compile_engine(code).unwrap();
        for add in [add_2, add_3] {
            let mut linker = Linker::new(&engine);
            add_generated(&mut linker, Model::Concurrent).unwrap();
            let error = add(&mut linker).unwrap_err();
            assert!(error.to_string().contains("defined twice"), "{error}");
        }
        add_to_linker(&mut Linker::new(&engine), Model::Concurrent).unwrap();
    }
}
