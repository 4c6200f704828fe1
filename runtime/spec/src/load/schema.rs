//! Which fields an API type has, and of which types: read off its `Deserialize` implementation.
//!
//! The implementations are generated from Kubernetes' own API description and hand serde each struct's field names,
//! so a deserializer that answers every request with a neutral value and notes what was asked sees the whole type.
//! Checking a manifest against this, rather than deserializing it directly, is what finds all of its errors at once.

use serde::de::value::{Error, StrDeserializer, UnitDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Schema {
    Object(Vec<(&'static str, Schema)>),
    List(Box<Schema>),
    /// Keys are data.
    Map(Box<Schema>),
    String,
    /// Base64 text.
    Bytes,
    /// RFC 3339.
    Time,
    Quantity,
    IntOrString,
    Int32,
    Int64,
    Float,
    Bool,
    /// Whatever JSON has.
    Any,
}

impl Schema {
    /// The schema of `T`.
    pub(crate) fn of<T: DeserializeOwned>() -> Self {
        let mut schema = Self::Any;
        // Every answer the probe gives is valid for what was asked; were one not, the part that asked would stay
        // `Any`, which the tests exclude.
        let _ = T::deserialize(Probe { answer: "", schema: &mut schema });
        schema
    }

    /// The field of that name, when this is an object that has one.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.fields().iter().find(|(field, _)| *field == name).map(|(_, schema)| schema)
    }

    /// The fields, when this is an object.
    pub(crate) fn fields(&self) -> &[(&'static str, Self)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }
}

struct Probe<'a> {
    /// What a string is answered with: types check their own `apiVersion` and `kind`.
    answer: &'static str,
    schema: &'a mut Schema,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // The only type in these trees that asks so.
        *self.schema = Schema::IntOrString;
        visitor.visit_i32(0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = Schema::Bool;
        visitor.visit_bool(false)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = Schema::Int32;
        visitor.visit_i32(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = Schema::Int64;
        visitor.visit_i64(0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = Schema::Float;
        visitor.visit_f64(0.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = Schema::String;
        visitor.visit_str(self.answer)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Strings ask for `deserialize_string`; this is `ByteString`.
        *self.schema = Schema::Bytes;
        visitor.visit_str("")
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        let (schema, answer) = match name {
            "Quantity" => (Schema::Quantity, "0"),
            "Time" | "MicroTime" => (Schema::Time, "1970-01-01T00:00:00.000000Z"),
            _ => {
                *self.schema = Schema::Any;
                return visitor.visit_newtype_struct(UnitDeserializer::new());
            }
        };
        *self.schema = schema;
        visitor.visit_newtype_struct(StrDeserializer::new(answer))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut element = Schema::Any;
        let value = visitor.visit_seq(ProbeList { element: Some(&mut element) })?;
        *self.schema = Schema::List(Box::new(element));
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut fields = Vec::new();
        let value = visitor.visit_map(ProbeMap { kind: "", names: [""].iter(), fields: &mut fields })?;
        let element = fields.pop().map_or(Schema::Any, |(_, schema)| schema);
        *self.schema = Schema::Map(Box::new(element));
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut fields = Vec::new();
        let value = visitor.visit_map(ProbeMap { kind: name, names: names.iter(), fields: &mut fields })?;
        *self.schema = Schema::Object(fields);
        Ok(value)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

struct ProbeList<'a> {
    element: Option<&'a mut Schema>,
}

impl<'de> SeqAccess<'de> for ProbeList<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.element.take().map(|schema| seed.deserialize(Probe { answer: "", schema })).transpose()
    }
}

struct ProbeMap<'a> {
    kind: &'static str,
    names: std::slice::Iter<'static, &'static str>,
    fields: &'a mut Vec<(&'static str, Schema)>,
}

impl<'de> MapAccess<'de> for ProbeMap<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(name) = self.names.next() else { return Ok(None) };
        self.fields.push((name, Schema::Any));
        let name: StrDeserializer<'_, Error> = (*name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((name, schema)) = self.fields.last_mut() else {
            return Err(serde::de::Error::custom("a value without a key"));
        };
        let answer = match *name {
            "apiVersion" if self.kind == "NetworkPolicy" => "networking.k8s.io/v1",
            "apiVersion" => "v1",
            "kind" => self.kind,
            _ => "",
        };
        seed.deserialize(Probe { answer, schema })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
    use k8s_openapi::api::networking::v1::NetworkPolicy;

    use super::*;

    fn at<'a>(schema: &'a Schema, path: &str) -> Option<&'a Schema> {
        path.split('.').try_fold(schema, |schema, name| match schema {
            Schema::List(element) | Schema::Map(element) if name == "[]" => Some(element.as_ref()),
            _ => schema.field(name),
        })
    }

    #[test]
    fn every_kind_of_field_is_seen() {
        let pod = Schema::of::<Pod>();
        for (path, schema) in [
            ("apiVersion", Schema::String),
            ("kind", Schema::String),
            ("metadata.labels.[]", Schema::String),
            ("metadata.creationTimestamp", Schema::Time),
            ("metadata.managedFields.[].fieldsV1", Schema::Any),
            ("spec.hostNetwork", Schema::Bool),
            ("spec.activeDeadlineSeconds", Schema::Int64),
            ("spec.containers.[].ports.[].containerPort", Schema::Int32),
            ("spec.containers.[].resources.limits.[]", Schema::Quantity),
            ("spec.containers.[].livenessProbe.httpGet.port", Schema::IntOrString),
            ("spec.containers.[].args", Schema::List(Box::new(Schema::String))),
            ("spec.volumes.[].emptyDir.sizeLimit", Schema::Quantity),
        ] {
            assert_eq!(at(&pod, path), Some(&schema), "{path}");
        }
        let policy = Schema::of::<NetworkPolicy>();
        for (path, schema) in [
            ("metadata.labels.[]", Schema::String),
            ("spec.ingress.[].ports.[].port", Schema::IntOrString),
            ("spec.egress.[].to.[].ipBlock.except.[]", Schema::String),
            ("spec.podSelector.matchExpressions.[].values.[]", Schema::String),
        ] {
            assert_eq!(at(&policy, path), Some(&schema), "{path}");
        }
        assert_eq!(at(&Schema::of::<Secret>(), "data.[]"), Some(&Schema::Bytes));
        assert_eq!(at(&Schema::of::<ConfigMap>(), "binaryData.[]"), Some(&Schema::Bytes));
    }

    #[test]
    fn nothing_but_managed_fields_is_untyped() {
        fn untyped(schema: &Schema, path: String, found: &mut Vec<String>) {
            match schema {
                Schema::Object(fields) => {
                    for (name, schema) in fields {
                        untyped(schema, format!("{path}.{name}"), found);
                    }
                }
                Schema::List(element) | Schema::Map(element) => untyped(element, format!("{path}[]"), found),
                Schema::Any => found.push(path),
                _ => {}
            }
        }
        let mut found = Vec::new();
        untyped(&Schema::of::<Pod>(), String::new(), &mut found);
        untyped(&Schema::of::<NetworkPolicy>(), String::new(), &mut found);
        found.retain(|path| !path.ends_with(".metadata.managedFields[].fieldsV1"));
        assert_eq!(found, [""; 0]);
    }
}
