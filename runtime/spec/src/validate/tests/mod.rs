//! Each rule once, with its whole message: a table per part of the objects.

#![allow(clippy::unwrap_used, reason = "tests")]

mod containers;
mod env;
mod network_policies;
mod objects;
mod pods;
mod probes;
mod properties;
mod restart;
mod volumes;

use k8s_openapi::api::core::v1::Pod;

use crate::{CheckedPod, Diagnostic};

/// A pod whose spec is one good container and `fields`, in YAML's flow style.
fn spec(fields: &str) -> String {
    format!("{{metadata: {{name: p}}, spec: {{containers: [{{name: c, image: \"a:1\"}}], {fields}}}}}")
}

/// A pod with one container: a name, an image, and `fields`.
fn container(fields: &str) -> String {
    format!("{{metadata: {{name: p}}, spec: {{containers: [{{name: c, image: \"a:1\", {fields}}}]}}}}")
}

/// `path: message` for each diagnostic of a pod; warnings say so.
fn check(yaml: &str) -> Vec<String> {
    let pod: Pod = serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    match CheckedPod::check(pod) {
        Ok((_, warnings)) => {
            assert!(!warnings.iter().any(Diagnostic::is_error), "{yaml}");
            show(&warnings)
        }
        Err(diagnostics) => {
            assert!(diagnostics.iter().any(Diagnostic::is_error), "{yaml}");
            show(&diagnostics)
        }
    }
}

fn show(diagnostics: &[Diagnostic]) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| {
        let warning = if diagnostic.is_error() { "" } else { "warning: " };
        format!("{warning}{}: {}", diagnostic.path, diagnostic.message)
    };
    diagnostics.iter().map(line).collect()
}

/// Checks a table of fields and the diagnostics they lead to. An expected line that ends in `…` may go on.
fn rules(around: impl Fn(&str) -> String, table: &[(&str, &[&str])]) {
    for (fields, expected) in table {
        let found = check(&around(fields));
        let same = |(found, expected): (&String, &&str)| match expected.strip_suffix('…') {
            Some(start) => found.starts_with(start),
            None => found == expected,
        };
        let all = found.len() == expected.len() && found.iter().zip(expected.iter()).all(same);
        assert!(all, "{fields}\nfound    {found:#?}\nexpected {expected:#?}");
    }
}
