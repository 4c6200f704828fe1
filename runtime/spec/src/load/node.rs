//! The tree that both parsers build: what a source says, and where it says it.
//!
//! Aliases share their anchor's node, so a tree costs what its text costs; [`Node::weight`] is what it would cost
//! written out, which the YAML parser bounds.

use std::rc::Rc;

use crate::diagnostic::Segment;

/// A position in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
}

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) value: NodeValue,
    /// What the tree under this node costs when its aliases are written out: [`NODE_WEIGHT`] a node and a byte for
    /// each byte of text.
    pub(crate) weight: usize,
}

/// What a value without its children weighs.
pub(crate) const NODE_WEIGHT: usize = 64;

/// The JSON data model, with the text scalars were written as.
#[derive(Debug)]
pub(crate) enum NodeValue {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A value that is neither list nor map.
#[derive(Debug, PartialEq)]
pub(crate) struct Scalar {
    /// As written, without quotes and escapes.
    pub(crate) text: String,
    pub(crate) kind: ScalarKind,
}

/// What a scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ScalarKind {
    Null,
    Bool(bool),
    /// Within `i64` or `u64`.
    Integer(i128),
    Float(f64),
    /// `text` itself.
    String,
}

/// One field of a map, in the order written; duplicates are kept.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Of the key.
    pub(crate) mark: Mark,
    pub(crate) node: Rc<Node>,
}

impl Node {
    pub(crate) fn scalar(mark: Mark, scalar: Scalar) -> Self {
        let weight = NODE_WEIGHT.saturating_add(scalar.text.len());
        Self { mark, value: NodeValue::Scalar(scalar), weight }
    }

    pub(crate) fn list(mark: Mark, items: Vec<Rc<Self>>) -> Self {
        let weight = items.iter().fold(NODE_WEIGHT, |sum, item| sum.saturating_add(item.weight));
        Self { mark, value: NodeValue::List(items), weight }
    }

    pub(crate) fn map(mark: Mark, entries: Vec<Entry>) -> Self {
        let weight = entries
            .iter()
            .fold(NODE_WEIGHT, |sum, entry| sum.saturating_add(entry.key.len()).saturating_add(entry.node.weight));
        Self { mark, value: NodeValue::Map(entries), weight }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar(Scalar { kind: ScalarKind::Null, .. }))
    }

    /// The fields, when this is a map.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            NodeValue::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The first field of that name, when this is a map that has one.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The text, when this is a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(Scalar { text, kind: ScalarKind::String }) => Some(text),
            _ => None,
        }
    }

    /// Where the field at `path` is written: its key, or the element itself in a list. What is not there is where
    /// the nearest thing above it is.
    pub(crate) fn locate(&self, path: &[Segment]) -> Mark {
        let mut mark = self.mark;
        let mut node = self;
        for segment in path {
            let Some((at, below)) = node.step(segment) else { break };
            mark = at;
            node = below;
        }
        mark
    }

    /// What stands at `path`.
    pub(crate) fn find(&self, path: &[Segment]) -> Option<&Self> {
        path.iter().try_fold(self, |node, segment| node.step(segment).map(|(_, below)| below))
    }

    fn step(&self, segment: &Segment) -> Option<(Mark, &Self)> {
        match (segment, &self.value) {
            (Segment::Field(name) | Segment::Key(name), NodeValue::Map(_)) => {
                self.entry(name).map(|entry| (entry.mark, &*entry.node))
            }
            (Segment::Index(index), NodeValue::List(items)) => items.get(*index).map(|item| (item.mark, &**item)),
            _ => None,
        }
    }
}
