//! stub
use crate::{diagnostic::Diagnostic, load::Node};
pub(crate) fn check(_: &Node) -> Vec<Diagnostic> {
    Vec::new()
}
