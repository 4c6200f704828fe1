//! Collecting what is wrong with one source.

use super::node::{Mark, Node};
use crate::diagnostic::{Diagnostic, FieldPath, Location};

/// More than this many diagnostics of one source help nobody and would let a hostile one fill the memory.
const MAX_DIAGNOSTICS: usize = 1000;

/// The diagnostics of one source.
pub(crate) struct Problems<'a> {
    source: &'a str,
    found: Vec<Diagnostic>,
    errors: usize,
    omitted: usize,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self { source, found: Vec::new(), errors: 0, omitted: 0 }
    }

    /// How many errors there have been.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether what comes now is only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    pub(crate) fn location(&self, mark: Mark) -> Location {
        Location { source: self.source.to_owned(), line: mark.line, column: mark.column }
    }

    pub(crate) fn push(&mut self, mark: Mark, diagnostic: Diagnostic) {
        if diagnostic.is_error() {
            self.errors += 1;
        }
        if self.is_full() {
            self.omitted += 1;
        } else {
            let location = self.location(mark);
            self.found.push(diagnostic.at(location));
        }
    }

    /// Adds a diagnostic about the object `node`, whose own path in its document is `base`.
    pub(crate) fn push_about(&mut self, node: &Node, base: &FieldPath, mut diagnostic: Diagnostic) {
        let mark = node.locate(diagnostic.path.segments());
        diagnostic.path = base.join(&diagnostic.path);
        self.push(mark, diagnostic);
    }

    /// All of them by line and column.
    pub(crate) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        found.sort_by(|a, b| (&a.location, &a.path).cmp(&(&b.location, &b.path)));
        if self.omitted > 0 {
            let message = format!("{} more problems are not shown", self.omitted);
            let diagnostic = Diagnostic::error(FieldPath::root(), message);
            found.push(match found.last().and_then(|last| last.location.clone()) {
                Some(location) => diagnostic.at(location),
                None => diagnostic,
            });
        }
        found
    }
}
