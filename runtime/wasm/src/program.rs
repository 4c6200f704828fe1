//! A program that is ready to be instantiated: compiled, loaded, its imports linked, its entry point found.

use std::path::Path;

use nacelle_container::CreateError;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi::{p2, p3};
use wasmtime_wasi_http::handler::ProxyPre;

use crate::adapt::list;
use crate::pod_interface;
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

/// Bytes of a page of linear memory.
const PAGE: u64 = 64 * 1024;

impl Entry {
    /// The component with its imports, whatever its entry point is.
    pub(crate) fn instance_pre(&self) -> &InstancePre<GuestState> {
        match self {
            Self::Command2(pre) => pre.instance_pre(),
            Self::Command3(pre) => pre.instance_pre(),
            Self::Proxy(ProxyPre::P2(pre)) => pre.instance_pre(),
            Self::Proxy(ProxyPre::P3(pre)) => pre.instance_pre(),
        }
    }

    pub(crate) fn component(&self) -> &Component {
        self.instance_pre().component()
    }

    /// Whether the program asks how it is to stop.
    pub(crate) fn asks_for_termination(&self) -> bool {
        let component = self.component();
        let ty = component.component_type();
        let asks = |name: &str| pod_interface::TERMINATION.iter().any(|prefix| name.starts_with(prefix));
        ty.imports(component.engine()).any(|(name, _)| asks(name))
    }

    /// Bytes of the largest linear memory that an instance starts with: what it needs at least.
    pub(crate) fn initial_memory(&self) -> u64 {
        let pages = self.component().resources_required().and_then(|resources| resources.max_initial_memory_size);
        pages.unwrap_or(0).saturating_mul(PAGE)
    }
}

/// Finds a component's entry point.
type MakeEntry = fn(InstancePre<GuestState>) -> wasmtime::Result<Entry>;

/// The exports that make a component runnable, the preferred first.
///
/// Some toolchains give every program `run` of WASI 0.2, with a stub for `main` behind it. A handler is exported by
/// nobody who does not mean it, and neither is anything of 0.3.
const ENTRIES: [(&str, MakeEntry); 4] = [
    ("wasi:http/handler@0.3.", |pre| {
        wasmtime_wasi_http::p3::bindings::ServicePre::new(pre).map(|pre| Entry::Proxy(ProxyPre::P3(pre)))
    }),
    ("wasi:http/incoming-handler@0.2.", |pre| {
        wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre).map(|pre| Entry::Proxy(ProxyPre::P2(pre)))
    }),
    ("wasi:cli/run@0.3.", |pre| p3::bindings::CommandPre::new(pre).map(Entry::Command3)),
    ("wasi:cli/run@0.2.", |pre| p2::bindings::CommandPre::new(pre).map(Entry::Command2)),
];

/// What a component with these exports is run by.
fn entry(exports: &[String]) -> Option<&'static (&'static str, MakeEntry)> {
    ENTRIES.iter().find(|(prefix, _)| exports.iter().any(|name| name.starts_with(prefix)))
}

/// Links a component and finds its entry point.
///
/// # Errors
/// [`CreateError::MissingImport`] for an import that the host does not offer, [`CreateError::BadProgram`] for a
/// component that exports nothing to run.
pub(crate) fn link(linker: &Linker<GuestState>, component: &Component, path: &Path) -> Result<Entry, CreateError> {
    let bad = |reason: String| CreateError::BadProgram { path: path.display().to_string(), reason };
    let exports: Vec<String> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    let Some((_, make)) = entry(&exports) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_preferred_to_a_command_and_the_newer_to_the_older() {
        let chosen = |exports: &[&str]| {
            let exports: Vec<String> = exports.iter().map(|&name| name.to_owned()).collect();
            entry(&exports).map(|(prefix, _)| *prefix)
        };
        assert_eq!(chosen(&["wasi:cli/run@0.2.12", "wasi:http/handler@0.3.0"]), Some("wasi:http/handler@0.3."));
        let both = ["wasi:http/incoming-handler@0.2.6", "wasi:cli/run@0.2.6"];
        assert_eq!(chosen(&both), Some("wasi:http/incoming-handler@0.2."));
        assert_eq!(chosen(&["wasi:cli/run@0.2.3", "wasi:cli/run@0.3.0"]), Some("wasi:cli/run@0.3."));
        assert_eq!(chosen(&["wasi:cli/run@0.2.3"]), Some("wasi:cli/run@0.2."));
        assert_eq!(chosen(&["my:own/interface@1.0.0"]), None);
    }
}
