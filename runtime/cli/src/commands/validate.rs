//! `nacelle validate`: all that is wrong with manifests, without running anything.

use nacelle_spec::{Diagnostic, Loaded};
use serde::Serialize;

use crate::args::{OutputFormat, ValidateArgs};
use crate::error::{ErrorKind, Errors};
use crate::options::Surroundings;
use crate::output::{count, print, print_json, printable};
use crate::source;
use crate::tracing_setup::Verbosity;

/// Runs the command.
pub(crate) fn run(args: &ValidateArgs, verbosity: Verbosity, around: &Surroundings) -> Result<u8, Errors> {
    let manifests = crate::async_runtime()?.block_on(source::read(&args.sources, around.current_dir()))?;
    let sources: Vec<_> = manifests.into_iter().map(|manifest| manifest.source).collect();
    let loaded = nacelle_spec::load(&sources);
    match args.output {
        OutputFormat::Json => print_json(&Report::of(&loaded))?,
        OutputFormat::Text => print(&text(&loaded, sources.len(), verbosity))?,
    }
    Ok(if loaded.has_errors() { ErrorKind::Invalid.exit_code() } else { 0 })
}

fn text(loaded: &Loaded, sources: usize, verbosity: Verbosity) -> String {
    let quiet = verbosity == Verbosity::Quiet;
    let mut text = String::new();
    for diagnostic in loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error() || !quiet) {
        text.push_str(&printable(&diagnostic.to_string()));
        text.push('\n');
    }
    if !quiet {
        text.push_str(&summary(loaded, sources));
        text.push('\n');
    }
    text
}

/// `2 errors and 1 warning in 3 manifests`, or what there is when there is no error.
fn summary(loaded: &Loaded, sources: usize) -> String {
    let (errors, warnings) = tally(&loaded.diagnostics);
    let place = format!("in {}", count(sources, "manifest"));
    match (errors, warnings) {
        (0, 0) => format!("{} {place}: valid", contents(loaded)),
        (0, _) => format!("{} {place}: valid, with {}", contents(loaded), count(warnings, "warning")),
        (_, 0) => format!("{} {place}", count(errors, "error")),
        _ => format!("{} and {} {place}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn contents(loaded: &Loaded) -> String {
    let parts = [
        (loaded.pods.len(), "Pod"),
        (loaded.objects.config_maps().count(), "ConfigMap"),
        (loaded.objects.secrets().count(), "Secret"),
    ];
    let policies = loaded.objects.network_policies().count();
    let mut present: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(*n, what)).collect();
    match policies {
        0 => {}
        1 => present.push("1 NetworkPolicy".to_owned()),
        more => present.push(format!("{more} NetworkPolicies")),
    }
    match loaded.objects.priority_classes().count() {
        0 => {}
        1 => present.push("1 PriorityClass".to_owned()),
        more => present.push(format!("{more} PriorityClasses")),
    }
    if present.is_empty() { "nothing".to_owned() } else { present.join(", ") }
}

fn tally(diagnostics: &[Diagnostic]) -> (usize, usize) {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    (errors, diagnostics.len() - errors)
}

/// The JSON output. Fields are only ever added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    valid: bool,
    errors: usize,
    warnings: usize,
    pods: usize,
    config_maps: usize,
    secrets: usize,
    network_policies: usize,
    priority_classes: usize,
    diagnostics: Vec<DiagnosticRecord>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DiagnosticRecord {
    severity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    path: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Report {
    fn of(loaded: &Loaded) -> Self {
        let (errors, warnings) = tally(&loaded.diagnostics);
        Self {
            valid: errors == 0,
            errors,
            warnings,
            pods: loaded.pods.len(),
            config_maps: loaded.objects.config_maps().count(),
            secrets: loaded.objects.secrets().count(),
            network_policies: loaded.objects.network_policies().count(),
            priority_classes: loaded.objects.priority_classes().count(),
            diagnostics: loaded.diagnostics.iter().map(DiagnosticRecord::of).collect(),
        }
    }
}

impl DiagnosticRecord {
    fn of(diagnostic: &Diagnostic) -> Self {
        let location = diagnostic.location.as_ref();
        Self {
            severity: diagnostic.severity.to_string(),
            source: location.map(|location| location.source.clone()),
            line: location.map(|location| location.line),
            column: location.map(|location| location.column),
            path: diagnostic.path.to_string(),
            message: diagnostic.message.clone(),
            hint: diagnostic.hint.clone(),
        }
    }
}
