//! The functions of `nacelle:pod` that a guest may export, by the names that a manifest has for them.
//!
//! `["nacelle:pod/health.readiness"]` as a command names one; whether the component has it in its synchronous or its
//! asynchronous form, and in which version, is its own affair.

use wasmtime::component::{Component, ComponentExportIndex};

/// What every such name begins with.
const PACKAGE: &str = "nacelle:pod/";

/// The packages that may hold an interface, the preferred first, and the versions of it that can be called.
const FORMS: [(&str, &str); 2] = [("nacelle:pod-async/", "@0.1."), (PACKAGE, "@0.1.")];

/// All of them: interface and function.
const ALL: [(&str, &str); 5] = [
    ("health", "liveness"),
    ("health", "readiness"),
    ("health", "startup"),
    ("hooks", "post-start"),
    ("hooks", "pre-stop"),
];

/// A function that a guest may export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    interface: &'static str,
    function: &'static str,
}

/// Why a name is not one of a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExportError {
    /// There is no such function in the package.
    #[error("the package nacelle:pod has no such function: it has {}", names())]
    Unknown,
    /// The component does not export it.
    #[error("the component does not export the interface nacelle:pod/{interface}, version 0.1")]
    NotExported { interface: &'static str },
}

impl Export {
    /// What a command's first word names; `None` when it is not a name of this kind.
    pub(crate) fn parse(word: &str) -> Option<Result<Self, ExportError>> {
        let name = word.strip_prefix(PACKAGE)?;
        let known = ALL.iter().find(|(interface, function)| name.split_once('.') == Some((interface, function)));
        Some(known.map(|&(interface, function)| Self { interface, function }).ok_or(ExportError::Unknown))
    }

    /// Where `component` has it.
    pub(crate) fn find(self, component: &Component) -> Result<ComponentExportIndex, ExportError> {
        let Self { interface, function } = self;
        let ty = component.component_type();
        let names = || ty.exports(component.engine()).map(|(name, _)| name);
        let found = FORMS.iter().find_map(|(package, version)| {
            names().find(|name| {
                name.strip_prefix(package)
                    .and_then(|name| name.strip_prefix(interface))
                    .is_some_and(|rest| rest.starts_with(version))
            })
        });
        let instance = found.and_then(|name| component.get_export_index(None, name));
        let function = instance.and_then(|instance| component.get_export_index(Some(&instance), function));
        function.ok_or(ExportError::NotExported { interface })
    }
}

fn names() -> String {
    ALL.map(|(interface, function)| format!("{PACKAGE}{interface}.{function}")).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_package_are_looked_at_and_all_of_those() {
        let readiness = Export { interface: "health", function: "readiness" };
        assert_eq!(Export::parse("nacelle:pod/health.readiness"), Some(Ok(readiness)));
        assert_eq!(Export::parse("cat"), None);
        assert_eq!(Export::parse("/nacelle:pod/health.readiness"), None);
        for unknown in ["health", "health.", "health.pre-stop", "hooks.readiness", "health.readiness@0.1.0", ""] {
            assert_eq!(Export::parse(&format!("nacelle:pod/{unknown}")), Some(Err(ExportError::Unknown)), "{unknown}");
        }
        assert!(ExportError::Unknown.to_string().contains("nacelle:pod/hooks.pre-stop"));
    }
}
