//! Scalars to values of the API's types.

use serde_yaml::{Mapping, Value};

use super::node::{Scalar, ScalarKind};
use super::schema::Schema;

/// Why a value does not fit its schema.
#[derive(Clone, Copy)]
pub(crate) enum Mismatch {
    Type,
    Range,
    Base64,
}

/// The value of a scalar for a type of the API.
pub(crate) fn scalar_value(scalar: &Scalar, schema: &Schema) -> Result<Value, Mismatch> {
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
pub(crate) fn integer(value: i128) -> Value {
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
pub(crate) fn neutral(schema: &Schema) -> Value {
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
