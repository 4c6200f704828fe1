//! A tree against its schema: every unknown field, duplicate and wrong type at once, and the value that remains.
//!
//! What is wrong is left out of the value, so that validation still sees the rest. Its paths are kept, so that a field
//! that was written wrongly is not also called missing.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::convert::{Mismatch, integer, neutral, scalar_value};
use super::mismatch::{Disclosure, advice, describe, describe_schema};
use super::node::{Entry, Mark, Node, NodeValue, ScalarKind};
use super::problem::Problems;
use super::schema::Schema;
use super::suggest::nearest;
use crate::diagnostic::{Diagnostic, FieldPath, Segment};

/// What decoding one object gave.
pub(crate) struct Decoded {
    /// Valid for the schema.
    pub(crate) value: Value,
    /// Fields about which enough has been said.
    pub(crate) faulty: Vec<FieldPath>,
}

/// Checks `node`, which stands at `base` in its document, against `schema`.
pub(crate) fn decode<'a>(
    node: &Node,
    schema: &'a Schema,
    disclosure: Disclosure,
    base: &'a FieldPath,
    problems: &'a mut Problems<'_>,
) -> Decoded {
    let mut decoder = Decoder { base, path: Vec::new(), above: Vec::new(), disclosure, problems, faulty: Vec::new() };
    let value = decoder.node(node, node.mark, schema).unwrap_or_else(|| neutral(schema));
    Decoded { value, faulty: decoder.faulty }
}

type Fields<'a> = &'a [(&'static str, Schema)];

struct Decoder<'a, 'b> {
    base: &'a FieldPath,
    path: Vec<Segment>,
    /// The objects around the present one: the lengths of their paths, and their fields.
    above: Vec<(usize, Fields<'a>)>,
    disclosure: Disclosure,
    problems: &'a mut Problems<'b>,
    faulty: Vec<FieldPath>,
}

impl<'a> Decoder<'a, '_> {
    /// `mark` is where the field is written; `None` leaves it out.
    fn node(&mut self, node: &Node, mark: Mark, schema: &'a Schema) -> Option<Value> {
        match (schema, &node.value) {
            (Schema::Object(fields), NodeValue::Map(entries)) => Some(self.object(entries, fields)),
            (Schema::Map(element), NodeValue::Map(entries)) => Some(self.map(entries, element)),
            (Schema::List(element), NodeValue::List(items)) => Some(Value::Sequence(
                items.iter().enumerate().map(|(index, item)| self.item(index, item, element)).collect(),
            )),
            (Schema::Any, _) => Some(self.any(node)),
            (_, NodeValue::Scalar(scalar)) => match scalar_value(scalar, schema) {
                Ok(value) => Some(value),
                Err(mismatch) => self.mismatch(node, mark, schema, mismatch),
            },
            _ => self.mismatch(node, mark, schema, Mismatch::Type),
        }
    }

    fn object(&mut self, entries: &[Entry], fields: Fields<'a>) -> Value {
        self.above.push((self.path.len(), fields));
        let mut object = Mapping::new();
        let mut seen = BTreeMap::new();
        for entry in entries {
            self.path.push(Segment::Field(entry.key.clone()));
            match fields.iter().find(|(name, _)| *name == entry.key) {
                None => self.unknown(entry, fields),
                Some(_) if self.is_duplicate(&mut seen, entry) => {}
                Some(_) if entry.node.is_null() => {}
                Some((_, schema)) => {
                    if let Some(value) = self.node(&entry.node, entry.mark, schema) {
                        object.insert(Value::String(entry.key.clone()), value);
                    }
                }
            }
            self.path.pop();
        }
        self.above.pop();
        Value::Mapping(object)
    }

    fn map(&mut self, entries: &[Entry], element: &'a Schema) -> Value {
        let mut map = Mapping::new();
        let mut seen = BTreeMap::new();
        for entry in entries {
            self.path.push(Segment::Key(entry.key.clone()));
            if !self.is_duplicate(&mut seen, entry) {
                let value = if entry.node.is_null() {
                    Some(neutral(element))
                } else {
                    self.node(&entry.node, entry.mark, element)
                };
                if let Some(value) = value {
                    map.insert(Value::String(entry.key.clone()), value);
                }
            }
            self.path.pop();
        }
        Value::Mapping(map)
    }

    fn item(&mut self, index: usize, item: &Node, element: &'a Schema) -> Value {
        if item.is_null() {
            // As in Go: a null in a list is the zero value.
            return neutral(element);
        }
        self.path.push(Segment::Index(index));
        let value = self.node(item, item.mark, element);
        self.path.pop();
        value.unwrap_or_else(|| neutral(element))
    }

    fn any(&mut self, node: &Node) -> Value {
        match &node.value {
            NodeValue::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => Value::Null,
                ScalarKind::Bool(value) => Value::Bool(value),
                ScalarKind::Integer(value) => integer(value),
                ScalarKind::Float(value) => Value::Number(value.into()),
                ScalarKind::String => Value::String(scalar.text.clone()),
            },
            NodeValue::List(items) => Value::Sequence(
                items.iter().enumerate().map(|(index, item)| self.item(index, item, &Schema::Any)).collect(),
            ),
            NodeValue::Map(entries) => self.map(entries, &Schema::Any),
        }
    }

    fn is_duplicate<'e>(&mut self, seen: &mut BTreeMap<&'e str, Mark>, entry: &'e Entry) -> bool {
        if let Some(first) = seen.get(entry.key.as_str()) {
            let message = format!("duplicate field; it is already set at line {}", first.line);
            self.error(entry.mark, message, None);
            return true;
        }
        seen.insert(&entry.key, entry.mark);
        false
    }

    fn unknown(&mut self, entry: &Entry, fields: Fields<'a>) {
        // Looking for names costs; nobody would see them.
        if self.problems.is_full() {
            return self.error(entry.mark, "unknown field".to_owned(), None);
        }
        let (message, hint) = match nearest(&entry.key, fields.iter().map(|(name, _)| *name)) {
            Some(meant) => {
                self.faulty.push(self.here().parent().field(meant));
                (format!("unknown field; did you mean {meant:?}?"), None)
            }
            None => ("unknown field".to_owned(), self.elsewhere(&entry.key, fields)),
        };
        self.error(entry.mark, message, hint);
    }

    /// Advice for a field that is known one level down, or in an object around this one: most often the indentation is
    /// wrong.
    fn elsewhere(&self, name: &str, fields: Fields<'a>) -> Option<String> {
        if let Some((parent, _)) = fields.iter().find(|(_, schema)| has_field(schema, name)) {
            return Some(format!("{name:?} is a field of {parent}"));
        }
        let known = |fields: Fields<'a>| fields.iter().any(|(field, _)| *field == name);
        let (length, _) = self.above.iter().rev().find(|(_, fields)| known(fields))?;
        let above = FieldPath::from(self.path.get(..*length)?.to_vec());
        let above = if above.is_root() { "the object itself".to_owned() } else { above.to_string() };
        Some(format!("{name:?} is a field of {above}: check the indentation"))
    }

    fn mismatch(&mut self, node: &Node, mark: Mark, schema: &Schema, mismatch: Mismatch) -> Option<Value> {
        let message = match mismatch {
            Mismatch::Type => format!("expected {}, got {}", describe_schema(schema), describe(node, self.disclosure)),
            Mismatch::Range => {
                format!(
                    "expected {}, got {}, which is out of range",
                    describe_schema(schema),
                    describe(node, self.disclosure)
                )
            }
            Mismatch::Base64 => "expected base64 text, got text that is not base64".to_owned(),
        };
        let hint = advice(node, schema, mismatch, self.disclosure);
        if !self.problems.is_full() {
            self.faulty.push(self.here());
        }
        self.error(mark, message, hint);
        None
    }

    fn error(&mut self, mark: Mark, message: String, hint: Option<String>) {
        let path = self.base.join(&self.here());
        self.problems.push(mark, Diagnostic { hint, ..Diagnostic::error(path, message) });
    }

    fn here(&self) -> FieldPath {
        FieldPath::from(self.path.clone())
    }
}

fn has_field(schema: &Schema, name: &str) -> bool {
    match schema {
        Schema::List(element) => element.field(name).is_some(),
        _ => schema.field(name).is_some(),
    }
}
