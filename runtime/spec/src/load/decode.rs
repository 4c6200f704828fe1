//! A tree against its schema: every unknown field, duplicate and wrong type at once, and the value that remains.
//!
//! What is wrong is left out of the value, so that validation still sees the rest. Its paths are kept, so that a field
//! that was written wrongly is not also called missing.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::node::{Entry, Mark, Node, NodeValue, Scalar, ScalarKind};
use super::schema::Schema;
use super::suggest::nearest;
use crate::diagnostic::{Diagnostic, FieldPath, Segment};

/// What decoding one object gave.
pub(crate) struct Decoded {
    /// Valid for the schema.
    pub(crate) value: Value,
    /// In the order of the text.
    pub(crate) errors: Vec<(Mark, Diagnostic)>,
    /// Fields about which enough has been said.
    pub(crate) faulty: Vec<FieldPath>,
}

/// Whether values may appear in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disclosure {
    Values,
    /// For Secrets.
    TypesOnly,
}

/// Checks `node` against `schema`.
pub(crate) fn decode(node: &Node, schema: &Schema, disclosure: Disclosure) -> Decoded {
    let mut decoder = Decoder { path: Vec::new(), disclosure, errors: Vec::new(), faulty: Vec::new() };
    let value = decoder.node(node, node.mark, schema).unwrap_or_else(|| neutral(schema));
    Decoded { value, errors: decoder.errors, faulty: decoder.faulty }
}

struct Decoder {
    path: Vec<Segment>,
    disclosure: Disclosure,
    errors: Vec<(Mark, Diagnostic)>,
    faulty: Vec<FieldPath>,
}

impl Decoder {
    /// `mark` is where the field is written; `None` leaves it out.
    fn node(&mut self, node: &Node, mark: Mark, schema: &Schema) -> Option<Value> {
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

    fn object(&mut self, entries: &[Entry], fields: &[(&'static str, Schema)]) -> Value {
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
        Value::Mapping(object)
    }

    fn map(&mut self, entries: &[Entry], element: &Schema) -> Value {
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

    fn item(&mut self, index: usize, item: &Node, element: &Schema) -> Value {
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

    fn is_duplicate<'a>(&mut self, seen: &mut BTreeMap<&'a str, Mark>, entry: &'a Entry) -> bool {
        if let Some(first) = seen.get(entry.key.as_str()) {
            let message = format!("duplicate field; it is already set at line {}", first.line);
            self.error(entry.mark, message, None);
            return true;
        }
        seen.insert(&entry.key, entry.mark);
        false
    }

    fn unknown(&mut self, entry: &Entry, fields: &[(&'static str, Schema)]) {
        let (message, hint) = match nearest(&entry.key, fields.iter().map(|(name, _)| *name)) {
            Some(meant) => {
                let path = FieldPath::from(self.path.clone());
                self.faulty.push(path.parent().field(meant));
                (format!("unknown field; did you mean {meant:?}?"), None)
            }
            None => {
                let below = fields.iter().find_map(|(name, schema)| has_field(schema, &entry.key).then_some(*name));
                let hint = below.map(|parent| format!("{:?} is a field of {parent}", entry.key));
                ("unknown field".to_owned(), hint)
            }
        };
        self.error(entry.mark, message, hint);
    }

    fn mismatch(&mut self, node: &Node, mark: Mark, schema: &Schema, mismatch: Mismatch) -> Option<Value> {
        let message = match mismatch {
            Mismatch::Type => format!("expected {}, got {}", describe_schema(schema), self.describe(node)),
            Mismatch::Range => {
                format!("expected {}, got {}, which is out of range", describe_schema(schema), self.describe(node))
            }
            Mismatch::Base64 => "expected base64 text, got text that is not base64".to_owned(),
        };
        let hint = advice(node, schema, mismatch, self.disclosure);
        self.faulty.push(FieldPath::from(self.path.clone()));
        self.error(mark, message, hint);
        None
    }

    fn error(&mut self, mark: Mark, message: String, hint: Option<String>) {
        let diagnostic = Diagnostic { hint, ..Diagnostic::error(FieldPath::from(self.path.clone()), message) };
        self.errors.push((mark, diagnostic));
    }

    fn describe(&self, node: &Node) -> String {
        let (what, text) = match &node.value {
            NodeValue::List(_) => return "a list".to_owned(),
            NodeValue::Map(_) => return "an object".to_owned(),
            NodeValue::Scalar(Scalar { kind, text }) => match kind {
                ScalarKind::Null => return "null".to_owned(),
                ScalarKind::Bool(_) => ("the boolean", shorten(text)),
                ScalarKind::Integer(_) => ("the integer", shorten(text)),
                ScalarKind::Float(_) => ("the number", shorten(text)),
                ScalarKind::String => ("the string", format!("{:?}", shorten(text))),
            },
        };
        match self.disclosure {
            Disclosure::Values => format!("{what} {text}"),
            Disclosure::TypesOnly => what.replace("the", if what == "the integer" { "an" } else { "a" }),
        }
    }
}

/// Why a value does not fit its schema.
#[derive(Clone, Copy)]
enum Mismatch {
    Type,
    Range,
    Base64,
}

fn scalar_value(scalar: &Scalar, schema: &Schema) -> Result<Value, Mismatch> {
    match (schema, scalar.kind) {
        (Schema::String, ScalarKind::String) => Ok(Value::String(scalar.text.clone())),
        (Schema::Bytes, ScalarKind::String) => base64(&scalar.text),
        (Schema::Time, ScalarKind::String) => match scalar.text.parse::<jiff::Timestamp>() {
            Ok(_) => Ok(Value::String(scalar.text.clone())),
            Err(_) => Err(Mismatch::Type),
        },
        (Schema::Quantity, ScalarKind::String) => Ok(Value::String(scalar.text.clone())),
        (Schema::Quantity, ScalarKind::Integer(value)) => Ok(Value::String(value.to_string())),
        (Schema::Quantity, ScalarKind::Float(value)) if value.is_finite() => Ok(Value::String(value.to_string())),
        (Schema::Int64, kind) => i64_of(kind).map(|value| Value::Number(value.into())),
        (Schema::Int32, kind) => i32_of(kind),
        (Schema::IntOrString, ScalarKind::String) => Ok(Value::String(scalar.text.clone())),
        (Schema::IntOrString, kind) => i32_of(kind),
        (Schema::Float, ScalarKind::Integer(value)) => Ok(integer(value)),
        (Schema::Float, ScalarKind::Float(value)) => Ok(Value::Number(value.into())),
        (Schema::Bool, ScalarKind::Bool(value)) => Ok(Value::Bool(value)),
        _ => Err(Mismatch::Type),
    }
}

fn i32_of(kind: ScalarKind) -> Result<Value, Mismatch> {
    let value = i32::try_from(i64_of(kind)?).map_err(|_| Mismatch::Range)?;
    Ok(Value::Number(value.into()))
}

/// Floats with a whole value are integers: Kubernetes turns YAML into JSON first, and `1.0` into `1`.
fn i64_of(kind: ScalarKind) -> Result<i64, Mismatch> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match kind {
        ScalarKind::Integer(value) => i64::try_from(value).map_err(|_| Mismatch::Range),
        #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53, so the cast is exact")]
        ScalarKind::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => Ok(value as i64),
        _ => Err(Mismatch::Type),
    }
}

/// An integer that fits `i64` or `u64`, as scalars hold them.
fn integer(value: i128) -> Value {
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => Value::Number(value.into()),
        (_, Ok(value)) => Value::Number(value.into()),
        _ => Value::Null,
    }
}

/// As Go's decoder does it, line breaks are skipped: base64 is often written as a block of text.
fn base64(text: &str) -> Result<Value, Mismatch> {
    use k8s_openapi::ByteString;
    use serde::Deserialize;
    let joined = Value::String(text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect());
    match ByteString::deserialize(&joined) {
        Ok(_) => Ok(joined),
        Err(_) => Err(Mismatch::Base64),
    }
}

/// A value that is valid for the schema and says nothing.
fn neutral(schema: &Schema) -> Value {
    match schema {
        Schema::Object(_) | Schema::Map(_) => Value::Mapping(Mapping::new()),
        Schema::List(_) => Value::Sequence(Vec::new()),
        Schema::String | Schema::Bytes => Value::String(String::new()),
        Schema::Time => Value::String("1970-01-01T00:00:00Z".to_owned()),
        Schema::Quantity => Value::String("0".to_owned()),
        Schema::IntOrString | Schema::Int32 | Schema::Int64 => Value::Number(0.into()),
        Schema::Float => Value::Number(0.0.into()),
        Schema::Bool => Value::Bool(false),
        Schema::Any => Value::Null,
    }
}

fn has_field(schema: &Schema, name: &str) -> bool {
    match schema {
        Schema::List(element) => element.field(name).is_some(),
        _ => schema.field(name).is_some(),
    }
}

fn describe_schema(schema: &Schema) -> &'static str {
    match schema {
        Schema::Object(_) => "an object",
        Schema::List(_) => "a list",
        Schema::Map(_) => "a map",
        Schema::String => "a string",
        Schema::Bytes => "base64 text",
        Schema::Time => "a time such as \"2026-01-31T12:00:00Z\"",
        Schema::Quantity => "a quantity such as \"500m\" or \"64Mi\"",
        Schema::IntOrString => "an integer or a string",
        Schema::Int32 => "a 32-bit integer",
        Schema::Int64 => "an integer",
        Schema::Float => "a number",
        Schema::Bool => "true or false",
        Schema::Any => "a value",
    }
}

fn advice(node: &Node, schema: &Schema, mismatch: Mismatch, disclosure: Disclosure) -> Option<String> {
    let advice = match (mismatch, schema, &node.value) {
        (Mismatch::Base64, ..) => "put plain text under stringData (Secret) or data (ConfigMap)".to_owned(),
        (_, Schema::List(element), NodeValue::Map(_)) if matches!(**element, Schema::Object(_)) => {
            "start each element with \"- \"".to_owned()
        }
        (_, Schema::List(element), NodeValue::Scalar(scalar))
            if **element == Schema::String && disclosure == Disclosure::Values =>
        {
            format!("a list of one is written [{:?}]", shorten(&scalar.text))
        }
        (_, Schema::Object(_) | Schema::Map(_), NodeValue::List(_)) => "write the fields without \"- \"".to_owned(),
        (_, Schema::String, NodeValue::Scalar(scalar)) => match disclosure {
            Disclosure::Values => format!("quote it: {:?}", shorten(&scalar.text)),
            Disclosure::TypesOnly => "quote it".to_owned(),
        },
        (Mismatch::Type, _, NodeValue::Scalar(Scalar { text, kind: ScalarKind::String })) => {
            let unquoted = Scalar::plain(text.clone());
            if unquoted.kind == ScalarKind::String || scalar_value(&unquoted, schema).is_err() {
                return None;
            }
            "remove the quotes".to_owned()
        }
        _ => return None,
    };
    Some(advice)
}

fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
