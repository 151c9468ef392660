//! An object of a review as plain JSON, without what no check looks at and what is often most of it: who manages which
//! fields, and the status.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The part of a Kubernetes object that matters.
#[derive(Debug)]
pub(super) struct Object(pub(super) Value);

/// What stands in an object's metadata.
struct Metadata(Value);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields {
            left_out: "status",
            looked_into: "metadata",
        };
        deserializer.deserialize_any(fields).map(Self)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields {
            left_out: "managedFields",
            looked_into: "",
        };
        deserializer.deserialize_any(fields).map(Self)
    }
}

/// Reads a mapping without one of its fields. What is no mapping becomes a value that is none either.
struct Fields {
    left_out: &'static str,
    /// Field that is read as [`Metadata`]; none if empty.
    looked_into: &'static str,
}

/// Stands for whatever is no mapping.
const NO_OBJECT: Value = Value::Bool(false);

impl<'de> Visitor<'de> for Fields {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if key == self.left_out {
                access.next_value::<IgnoredAny>()?;
            } else if key == self.looked_into {
                let Metadata(metadata) = access.next_value()?;
                map.insert(key, metadata);
            } else {
                map.insert(key, access.next_value()?);
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(NO_OBJECT)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(NO_OBJECT)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(NO_OBJECT)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(NO_OBJECT)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(NO_OBJECT)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(NO_OBJECT)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Value {
        let Object(value) = serde_json::from_str(text).unwrap();
        value
    }

    #[test]
    fn all_but_status_and_managed_fields_is_kept() {
        let object = json!({
            "kind": "Pod", "status": {"phase": "Running"},
            "metadata": {"name": "a", "managedFields": [{"manager": "kubectl"}], "labels": {"status": "x"}},
            "spec": {"metadata": {"managedFields": 1}, "status": [1.5, -1, null]},
        });
        let mut expected = object.clone();
        expected.as_object_mut().unwrap().remove("status");
        expected["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("managedFields");
        assert_eq!(read(&object.to_string()), expected);
    }

    #[test]
    fn what_is_no_object_is_none_and_nothing_is_nothing() {
        for text in ["true", "1", "-1", "1.5", "\"pod\"", "[1, {\"a\": []}]"] {
            assert_eq!(read(text), NO_OBJECT, "{text}");
        }
        assert_eq!(read("null"), Value::Null);
        assert_eq!(read("{\"metadata\": 1}"), json!({"metadata": false}));
    }
}
