//! Turns a WASI preview 1 core module into a component.
//!
//! wit-component joins the module with wasmtime's adapter, which implements preview 1 on top of WASI 0.2. The adapter's
//! `proc_exit` calls `wasi:cli/exit.exit`, which only knows success and failure; so the module's import of it is
//! renamed to an interface of this runtime's own, [`EXIT_INTERFACE`], before the adapter gets to see it. The status
//! then arrives whole.

use wasi_preview1_component_adapter_provider as adapter;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{ImportSection, Module, RawSection};
use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};

/// The interface that an adapted module exits through.
pub(crate) const EXIT_INTERFACE: &str = "nacelle:preview1/process@1.0.0";
/// The function in [`EXIT_INTERFACE`].
pub(crate) const EXIT_FUNCTION: &str = "exit";

const EXIT_WIT: &str = "package nacelle:preview1@1.0.0;
interface process { exit: func(status: u8); }
world adapted { import process; }";

/// Part of the cache's key: changes whenever this module or the adapter would give another component.
pub(crate) const VERSION: &str = "48.0.8-1";

const PREVIEW1: &str = adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;

/// Adapts `module`.
///
/// # Errors
/// Why it cannot be adapted, in words for users.
pub(crate) fn adapt(module: &[u8]) -> Result<Vec<u8>, String> {
    let exports = exports(module).map_err(|error| format!("the module is damaged: {error}"))?;
    if !exports.functions.iter().any(|name| name == "_start") {
        return Err(match exports.functions.iter().any(|name| name == "_initialize") {
            true => {
                format!("the module is a library (a reactor), not a command: it exports {}", list(&exports.functions))
            }
            false => format!("the module has no _start function to run: it exports {}", list(&exports.functions)),
        });
    }
    if !exports.has_memory {
        return Err("the module cannot run under WASI preview 1: it exports no memory".to_owned());
    }
    let module = rename_exit(module).map_err(|error| format!("the module is damaged: {error}"))?;
    encode(module).map_err(|error| format!("the module cannot run under WASI preview 1: {error}"))
}

fn encode(mut module: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut resolve = wit_parser::Resolve::default();
    // The engine validates when it compiles.
    let encoded = resolve
        .push_str("preview1.wit", EXIT_WIT)
        .and_then(|package| resolve.select_world(&[package], Some("adapted")))
        .and_then(|world| wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8))
        .and_then(|()| ComponentEncoder::default().validate(false).module(&module))
        .and_then(|encoder| encoder.adapter(PREVIEW1, adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER))
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| format!("{error:#}"))
}

/// What a module exports.
#[derive(Default)]
struct Exports {
    functions: Vec<String>,
    has_memory: bool,
}

fn exports(module: &[u8]) -> wasmparser::Result<Exports> {
    let mut exports = Exports::default();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(section) = payload? {
            for export in section {
                let export = export?;
                match export.kind {
                    ExternalKind::Func => exports.functions.push(export.name.to_owned()),
                    ExternalKind::Memory => exports.has_memory |= export.name == "memory",
                    _ => {}
                }
            }
        }
    }
    Ok(exports)
}

/// At most ten names, for a message.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    match names.len() {
        0 => "nothing".to_owned(),
        count if count <= SHOWN => names.join(", "),
        count => {
            format!("{} and {} more", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "), count - SHOWN)
        }
    }
}

/// Copies the module with its import of `proc_exit`, if it has one, renamed.
fn rename_exit(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        if let Payload::ImportSection(section) = payload {
            let mut imports = ImportSection::new();
            for import in section.into_imports() {
                let import = import.map_err(|error| error.to_string())?;
                let ty = RoundtripReencoder.entity_type(import.ty).map_err(|error| error.to_string())?;
                let (from, name) = match (import.module, import.name) {
                    (PREVIEW1, "proc_exit") => (EXIT_INTERFACE, EXIT_FUNCTION),
                    other => other,
                };
                imports.import(from, name, ty);
            }
            module.section(&imports);
        } else if let Some((id, range)) = payload.as_section() {
            let data = bytes.get(range).ok_or("a section is cut off")?;
            module.section(&RawSection { id, data });
        }
    }
    Ok(module.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn renames_proc_exit_and_keeps_the_rest() {
        let before = module(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                (memory (export "memory") 1) (data (i32.const 0) "text")
                (func (export "_start") (call 0 (i32.const 7))))"#,
        );
        let after = rename_exit(&before).unwrap();
        let imports = Parser::new(0)
            .parse_all(&after)
            .find_map(|payload| match payload.unwrap() {
                Payload::ImportSection(section) => Some(
                    section.into_imports().map(|i| i.map(|i| format!("{} {}", i.module, i.name)).unwrap()).collect(),
                ),
                _ => None,
            })
            .unwrap_or_else(Vec::new);
        assert_eq!(imports, ["nacelle:preview1/process@1.0.0 exit", "wasi_snapshot_preview1 sched_yield"]);
        assert!(after.windows(4).any(|window| window == b"text"));
    }

    #[test]
    fn a_library_is_told_from_a_command() {
        let error = adapt(&module(r#"(module (func (export "_initialize")) (func (export "add")))"#)).unwrap_err();
        assert_eq!(error, "the module is a library (a reactor), not a command: it exports _initialize, add");
        let error = adapt(&module("(module)")).unwrap_err();
        assert_eq!(error, "the module has no _start function to run: it exports nothing");
    }

    #[test]
    fn foreign_imports_are_named() {
        let error = adapt(&module(
            r#"(module (import "env" "emscripten_exit" (func)) (memory (export "memory") 1)
                (func (export "_start")))"#,
        ))
        .unwrap_err();
        assert!(error.contains("env"), "{error}");
    }

    #[test]
    fn a_cut_off_module_is_damaged() {
        let whole = module(r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#);
        for end in 8..whole.len() {
            assert!(adapt(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}
