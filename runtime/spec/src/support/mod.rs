//! Which fields of a Pod this runtime honours, and what is said about the others.
//!
//! One table covers every field that Kubernetes' Pod has; a test proves that it does, and writes
//! `docs/pod-support.md` from it. It is applied to what a manifest says, before defaults are filled in: nobody is
//! warned about a value that he did not write.

mod document;
mod table;
#[cfg(test)]
mod tests;

pub use document::markdown;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::annotations;
use crate::diagnostic::{Diagnostic, FieldPath, Segment};
use crate::load::suggest::nearest;
use crate::load::{Node, NodeValue, Scalar, ScalarKind};

/// What happens to a field. The texts end up in messages and in the documentation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Support {
    /// Does what Kubernetes says it does; with a note where there is something to add.
    Honoured(&'static str),
    /// Accepted, without effect here, because.
    Warned(&'static str),
    /// Would change what the pod does, and cannot be honoured, because.
    Rejected(&'static str),
    /// As [`Self::Rejected`], until it is built; with what to use in its place, where there is something.
    Unbuilt(&'static str),
    /// Accepted with these values only.
    Only(&'static [&'static str], &'static Support),
}

/// One field, or with a trailing `.**` one field and all below it.
struct Row {
    /// `[]` stands for the elements of a list and the values of a map, `[key]` for one of a map's, `[start*]` for those
    /// whose keys start so.
    path: &'static str,
    support: Support,
}

/// Rows that belong together.
struct Section {
    title: &'static str,
    /// Where the rows' paths start; all rows hold under each.
    bases: &'static [&'static str],
    rows: &'static [Row],
}

static TREE: LazyLock<Level> = LazyLock::new(|| {
    let mut tree = Level::default();
    for section in table::SECTIONS {
        for base in section.bases {
            for row in section.rows {
                tree.insert(&join(base, row.path), &row.support);
            }
        }
    }
    tree
});

/// What is to be said about the fields that the Pod `node` sets.
pub(crate) fn check(node: &Node) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    walk(&TREE, node, &mut Vec::new(), &mut found);
    own_annotations(node, &mut found);
    found
}

fn join(base: &str, path: &str) -> String {
    if base.is_empty() { path.to_owned() } else { format!("{base}.{path}") }
}

/// The table as a tree: what a path leads to.
#[derive(Default)]
struct Level {
    support: Option<&'static Support>,
    /// Whether it also covers what is below.
    deep: bool,
    fields: BTreeMap<String, Level>,
    /// Named values of a map.
    keys: BTreeMap<String, Level>,
    /// Values of a map by the start of their names.
    starts: BTreeMap<String, Level>,
    /// Elements of a list, the other values of a map.
    element: Option<Box<Level>>,
}

impl Level {
    fn insert(&mut self, path: &str, support: &'static Support) {
        let (path, deep) = match path.strip_suffix(".**") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let mut level = self;
        // A key may have dots of its own.
        let mut in_key = false;
        let ends_part = |c: char| {
            in_key = (in_key || c == '[') && c != ']';
            c == '.' && !in_key
        };
        for part in path.split(ends_part) {
            let mut subscripts = part.split('[');
            level = level.fields.entry(subscripts.next().unwrap_or_default().to_owned()).or_default();
            for subscript in subscripts {
                level = match subscript.trim_end_matches(']') {
                    "" => level.element.get_or_insert_default(),
                    key => match key.strip_suffix('*') {
                        Some(start) => level.starts.entry(start.to_owned()).or_default(),
                        None => level.keys.entry(key.to_owned()).or_default(),
                    },
                };
            }
        }
        level.support = Some(support);
        level.deep = deep;
    }

    /// What a map's value of that name leads to.
    fn value(&self, key: &str) -> Option<&Self> {
        let by_start = || self.starts.iter().find(|(start, _)| key.starts_with(start.as_str())).map(|(_, level)| level);
        self.keys.get(key).or_else(by_start).or(self.element.as_deref())
    }
}

fn walk(level: &Level, node: &Node, path: &mut Vec<Segment>, found: &mut Vec<Diagnostic>) {
    if node.is_null() {
        return;
    }
    if let Some(support) = level.support {
        found.extend(verdict(support, node, path));
        if level.deep {
            return;
        }
    }
    match &node.value {
        NodeValue::Scalar(_) => {}
        NodeValue::List(items) => {
            let Some(element) = &level.element else { return };
            for (index, item) in items.iter().enumerate() {
                path.push(Segment::Index(index));
                walk(element, item, path, found);
                path.pop();
            }
        }
        NodeValue::Map(entries) => {
            for entry in entries {
                let (below, segment) = match level.fields.get(&entry.key) {
                    Some(field) => (Some(field), Segment::Field(entry.key.clone())),
                    None => (level.value(&entry.key), Segment::Key(entry.key.clone())),
                };
                // Unknown fields are another's to report.
                let Some(below) = below else { continue };
                path.push(segment);
                walk(below, &entry.node, path, found);
                path.pop();
            }
        }
    }
}

fn verdict(support: &Support, node: &Node, path: &[Segment]) -> Option<Diagnostic> {
    let path = || FieldPath::from(path.to_vec());
    match support {
        Support::Honoured(_) => None,
        Support::Warned(_) if is_empty(node) => None,
        Support::Warned(why) => Some(Diagnostic::warning(path(), format!("has no effect here: {why}"))),
        Support::Rejected(_) | Support::Unbuilt(_) if is_unset(node) => None,
        Support::Rejected(why) => Some(Diagnostic::error(path(), format!("not supported: {why}"))),
        Support::Unbuilt("") => Some(Diagnostic::error(path(), "not supported yet")),
        Support::Unbuilt(instead) => Some(Diagnostic::error(path(), "not supported yet").hint(*instead)),
        Support::Only(values, otherwise) => {
            let value = canonical(node);
            if value.as_deref().is_some_and(|value| values.contains(&value)) {
                return None;
            }
            let mut diagnostic = verdict(otherwise, node, path().segments())?;
            if diagnostic.is_error() {
                let value = value.unwrap_or_default();
                diagnostic.message = format!("the value {value:?} is {}", diagnostic.message);
            }
            Some(diagnostic)
        }
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        NodeValue::Map(entries) => entries.is_empty(),
        NodeValue::List(items) => items.is_empty(),
        NodeValue::Scalar(scalar) => scalar.text.is_empty(),
    }
}

/// Whether Kubernetes takes a value as if it were absent. Not an empty map: `nfs: {}` is a choice.
fn is_unset(node: &Node) -> bool {
    !matches!(node.value, NodeValue::Map(_)) && is_empty(node)
}

/// A scalar as the table writes it.
fn canonical(node: &Node) -> Option<String> {
    match &node.value {
        NodeValue::Scalar(Scalar { kind: ScalarKind::Bool(value), .. }) => Some(value.to_string()),
        NodeValue::Scalar(Scalar { text, .. }) => Some(text.clone()),
        _ => None,
    }
}

fn own_annotations(node: &Node, found: &mut Vec<Diagnostic>) {
    let annotations = node.entry("metadata").and_then(|metadata| metadata.node.entry("annotations"));
    for entry in annotations.map(|annotations| annotations.node.entries()).unwrap_or_default() {
        let Some(name) = entry.key.strip_prefix(annotations::PREFIX) else { continue };
        let mut known = annotations::ALL.iter().map(|annotation| annotation.name);
        if known.clone().any(|known| known == name) {
            continue;
        }
        let path = FieldPath::root().field("metadata").field("annotations").key(&entry.key);
        let message = match nearest(name, known.by_ref()) {
            Some(meant) => format!("unknown annotation; did you mean \"{}{meant}\"?", annotations::PREFIX),
            None => format!("has no effect here: no annotation of that name under {} is known", annotations::PREFIX),
        };
        found.push(Diagnostic::warning(path, message));
    }
}
