//! A program that is ready to be instantiated: compiled, loaded, its imports linked, its entry point found.

use std::path::Path;

use nacelle_container::CreateError;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi::{p2, p3};
use wasmtime_wasi_http::handler::ProxyPre;

use crate::adapt::list;
use crate::state::GuestState;

/// What a component is run by.
pub(crate) enum Entry {
    /// `wasi:cli/run` of WASI 0.2.
    Command2(p2::bindings::CommandPre<GuestState>),
    /// `wasi:cli/run` of WASI 0.3.
    Command3(p3::bindings::CommandPre<GuestState>),
    /// An HTTP handler of either version.
    Proxy(ProxyPre<GuestState>),
}

/// Finds a component's entry point.
type MakeEntry = fn(InstancePre<GuestState>) -> wasmtime::Result<Entry>;

/// The exports that make a component runnable, the preferred first.
///
/// A component for WASI 0.3 may export `run` of 0.2 as well, which some toolchains put there for the `main` that every
/// program has; so the newer one is meant.
const ENTRIES: [(&str, MakeEntry); 4] = [
    ("wasi:cli/run@0.3.", |pre| p3::bindings::CommandPre::new(pre).map(Entry::Command3)),
    ("wasi:cli/run@0.2.", |pre| p2::bindings::CommandPre::new(pre).map(Entry::Command2)),
    ("wasi:http/handler@0.3.", |pre| {
        wasmtime_wasi_http::p3::bindings::ServicePre::new(pre).map(|pre| Entry::Proxy(ProxyPre::P3(pre)))
    }),
    ("wasi:http/incoming-handler@0.2.", |pre| {
        wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre).map(|pre| Entry::Proxy(ProxyPre::P2(pre)))
    }),
];

/// Links a component and finds its entry point.
///
/// # Errors
/// [`CreateError::MissingImport`] for an import that the host does not offer, [`CreateError::BadProgram`] for a
/// component that exports nothing to run.
pub(crate) fn link(linker: &Linker<GuestState>, component: &Component, path: &Path) -> Result<Entry, CreateError> {
    let bad = |reason: String| CreateError::BadProgram { path: path.display().to_string(), reason };
    let exports: Vec<String> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    let entry = ENTRIES.iter().find(|(prefix, _)| exports.iter().any(|name| name.starts_with(prefix)));
    let Some((_, make)) = entry else {
        return Err(bad(format!(
            "the component is a library: it exports neither wasi:cli/run nor an HTTP handler, but {}",
            list(&exports)
        )));
    };
    let pre = linker.instantiate_pre(component).map_err(|error| missing(&error))?;
    make(pre).map_err(|error| bad(format!("its entry point is not what its name says: {error:#}")))
}

fn missing(error: &wasmtime::Error) -> CreateError {
    let reason = format!("{error:#}");
    // The linker names the import between backticks, in its first words.
    let import = reason.split('`').nth(1).unwrap_or("an unknown interface").to_owned();
    CreateError::MissingImport { import, reason }
}
