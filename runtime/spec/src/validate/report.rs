//! Collects what is wrong, in the words of Kubernetes' `field.Error`s.

use std::fmt::Display;

use crate::{Diagnostic, FieldPath};

/// More diagnostics of one object than this help nobody: the rest is counted.
const MAX_DIAGNOSTICS: usize = 200;
/// How much of a wrong value a message repeats, in bytes.
const MAX_QUOTED: usize = 256;

/// What is wrong with one object so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    diagnostics: Vec<Diagnostic>,
    dropped: usize,
    dropped_error: bool,
}

impl Report {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        } else {
            self.dropped += 1;
            self.dropped_error |= diagnostic.is_error();
        }
    }

    /// A field that has to be there. `detail` may be empty.
    pub(super) fn required(&mut self, path: &FieldPath, detail: &str) {
        self.push(Diagnostic::error(path.clone(), with_detail("Required value", detail)));
    }

    /// A text that is not of the form it should be.
    pub(super) fn invalid(&mut self, path: &FieldPath, value: &str, detail: impl Display) {
        self.push(Diagnostic::error(path.clone(), format!("Invalid value: {}: {detail}", quoted(value))));
    }

    /// The same for each of several problems.
    pub(super) fn invalid_all(&mut self, path: &FieldPath, value: &str, problems: Vec<String>) {
        for problem in problems {
            self.invalid(path, value, problem);
        }
    }

    /// A number that is out of range.
    pub(super) fn invalid_number(&mut self, path: &FieldPath, value: impl Into<i64>, detail: impl Display) {
        self.push(Diagnostic::error(path.clone(), format!("Invalid value: {}: {detail}", value.into())));
    }

    /// A truth value that is wrong here.
    pub(super) fn invalid_bool(&mut self, path: &FieldPath, value: bool, detail: impl Display) {
        self.push(Diagnostic::error(path.clone(), format!("Invalid value: {value}: {detail}")));
    }

    /// A value that must be unique and is not.
    pub(super) fn duplicate(&mut self, path: &FieldPath, value: &str) {
        self.push(Diagnostic::error(path.clone(), format!("Duplicate value: {}", quoted(value))));
    }

    /// A value that is none of those there are.
    pub(super) fn not_supported(&mut self, path: &FieldPath, value: &str, supported: &[&str]) {
        self.push(Diagnostic::error(path.clone(), not_supported(value, supported)));
    }

    /// The name of something that is not there.
    pub(super) fn not_found(&mut self, path: &FieldPath, value: &str) {
        self.push(Diagnostic::error(path.clone(), format!("Not found: {}", quoted(value))));
    }

    /// A field that may not be set here.
    pub(super) fn forbidden(&mut self, path: &FieldPath, detail: &str) {
        self.push(Diagnostic::error(path.clone(), with_detail("Forbidden", detail)));
    }

    /// More bytes than allowed.
    pub(super) fn too_long(&mut self, path: &FieldPath, bytes: usize) {
        self.push(Diagnostic::error(path.clone(), format!("Too long: may not be more than {bytes} bytes")));
    }

    /// Something that is allowed and probably not meant.
    pub(super) fn warning(&mut self, path: &FieldPath, message: impl Into<String>) {
        self.push(Diagnostic::warning(path.clone(), message));
    }

    /// A number within `range`, or an error that names the range.
    pub(super) fn in_range(&mut self, path: &FieldPath, value: impl Into<i64>, range: std::ops::RangeInclusive<i64>) {
        let value = value.into();
        if !range.contains(&value) {
            let detail = format!("must be between {} and {}, inclusive", range.start(), range.end());
            self.invalid_number(path, value, detail);
        }
    }

    /// A number that is not negative.
    pub(super) fn non_negative(&mut self, path: &FieldPath, value: Option<impl Into<i64>>) {
        if let Some(value) = value.map(Into::into).filter(|value| *value < 0) {
            self.invalid_number(path, value, "must be greater than or equal to 0");
        }
    }

    /// One of a few words, if it is set at all.
    pub(super) fn one_of(&mut self, path: &FieldPath, value: Option<&str>, supported: &[&str]) {
        if let Some(value) = value.filter(|value| !supported.contains(value)) {
            self.not_supported(path, value, supported);
        }
    }

    /// Whether nothing has been said yet.
    pub(super) fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if self.dropped > 0 {
            let message = format!("{} more problems are not shown", self.dropped);
            let diagnostic = if self.dropped_error { Diagnostic::error } else { Diagnostic::warning };
            self.diagnostics.push(diagnostic(FieldPath::root(), message));
        }
        self.diagnostics
    }
}

/// `Unsupported value: …: supported values: …`.
pub(super) fn not_supported(value: &str, supported: &[&str]) -> String {
    let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
    format!("Unsupported value: {}: supported values: {}", quoted(value), supported.join(", "))
}

fn with_detail(message: &str, detail: &str) -> String {
    if detail.is_empty() { message.to_owned() } else { format!("{message}: {detail}") }
}

/// The value in quotes, cut where it is very long.
fn quoted(value: &str) -> String {
    match value.char_indices().map(|(at, _)| at).find(|at| *at >= MAX_QUOTED) {
        Some(end) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::FieldPath;

    #[test]
    fn a_flood_is_counted_not_kept() {
        let mut report = Report::default();
        for _ in 0..1000 {
            report.invalid(&FieldPath::root(), &"é".repeat(100_000), "no");
        }
        let diagnostics = report.finish();
        assert_eq!(diagnostics.len(), 201);
        assert_eq!(diagnostics[200].message, "800 more problems are not shown");
        assert!(diagnostics.iter().all(|d| d.is_error() && d.message.len() < 300));
    }
}
