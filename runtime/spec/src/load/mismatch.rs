//! Words for a value that is not of its field's type.

use super::convert::{Mismatch, scalar_value};
use super::node::{Node, NodeValue, Scalar, ScalarKind};
use super::schema::Schema;

/// Whether values may appear in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disclosure {
    Values,
    /// For Secrets.
    TypesOnly,
}

/// What a value is, in a message.
pub(crate) fn describe(node: &Node, disclosure: Disclosure) -> String {
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
    match disclosure {
        Disclosure::Values => format!("{what} {text}"),
        Disclosure::TypesOnly => what.replace("the", if what == "the integer" { "an" } else { "a" }),
    }
}

/// What a type expects, in a message.
pub(crate) fn describe_schema(schema: &Schema) -> &'static str {
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

/// What most often helps.
pub(crate) fn advice(node: &Node, schema: &Schema, mismatch: Mismatch, disclosure: Disclosure) -> Option<String> {
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

/// Enough of a text to recognise it by.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
