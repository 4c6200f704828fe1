//! What a program asks of the engine: calls that return, or WASI 0.3's concurrency.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use crate::format::Format;

/// How an engine runs guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// A call runs until it returns: all of WASI 0.2, and core modules.
    Sequential,
    /// Calls, streams and futures side by side: all of WASI 0.3.
    Concurrent,
}

impl Model {
    /// Both, the more frequent first.
    pub(crate) const ALL: [Self; 2] = [Self::Sequential, Self::Concurrent];

    /// What the program with these bytes needs. Of one that is damaged it does not matter: compiling it tells.
    pub(crate) fn of(program: &[u8]) -> Self {
        match Format::detect(program) {
            // What it is adapted to is a command of 0.2.
            Ok(Format::Module) => Self::Sequential,
            Ok(Format::Component) if !is_sequential(program) => Self::Concurrent,
            Ok(Format::Component) | Err(_) => Self::Sequential,
        }
    }
}

fn is_sequential(component: &[u8]) -> bool {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        let fine = match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => {
                depth += 1;
                true
            }
            Ok(Payload::End(_)) => {
                depth = depth.saturating_sub(1);
                true
            }
            Ok(Payload::ComponentImportSection(imports)) if depth == 0 => {
                imports.into_iter().all(|import| import.is_ok_and(|import| !is_concurrent(import.name.name)))
            }
            Ok(Payload::ComponentExportSection(exports)) if depth == 0 => {
                exports.into_iter().all(|export| export.is_ok_and(|export| !is_concurrent(export.name.name)))
            }
            Ok(_) => true,
            Err(_) => false,
        };
        if !fine {
            return false;
        }
    }
    // Concurrency has no name where it stays inside.
    let features = WasmFeatures::all() & !WasmFeatures::CM_ASYNC;
    Validator::new_with_features(features).validate_all(component).is_ok()
}

fn is_concurrent(name: &str) -> bool {
    (name.starts_with("wasi:") && name.contains("@0.3.")) || name.starts_with("nacelle:pod-async/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> Model {
        Model::of(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn only_what_names_or_uses_concurrency_gets_it() {
        assert_eq!(model("(module)"), Model::Sequential);
        assert_eq!(model("(component)"), Model::Sequential);
        let importing = |name: &str| model(&format!(r#"(component (import "{name}" (instance)))"#));
        assert_eq!(importing("wasi:cli/environment@0.2.6"), Model::Sequential);
        assert_eq!(importing("wasi:clocks/monotonic-clock@0.3.0"), Model::Concurrent);
        assert_eq!(importing("nacelle:pod/info@0.1.0"), Model::Sequential);
        assert_eq!(importing("nacelle:pod-async/termination@0.1.0"), Model::Concurrent);
        let exporting = |name: &str| model(&format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#));
        assert_eq!(exporting("wasi:cli/run@0.2.0"), Model::Sequential);
        assert_eq!(exporting("wasi:cli/run@0.3.0"), Model::Concurrent);
        assert_eq!(exporting("wasi:http/incoming-handler@0.2.0"), Model::Sequential);
        assert_eq!(exporting("wasi:http/handler@0.3.0"), Model::Concurrent);
        // What is inside has its own names.
        assert_eq!(model(r#"(component (component (import "wasi:cli/run@0.3.0" (instance))))"#), Model::Sequential);
        assert_eq!(model("(component (core func (canon task.cancel)))"), Model::Concurrent);
    }

    #[test]
    fn damaged_programs_are_no_problem_here() {
        let component = wat::parse_str(r#"(component (import "a" (instance)))"#).unwrap();
        for length in 0..component.len() {
            let _ = Model::of(&component[..length]);
        }
    }
}
