//! Any JSON, and every place of some.

use proptest::prelude::*;
use serde_json::Value;

/// Any JSON, not deep.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every place of an object, as a JSON pointer.
pub(crate) fn places(object: &Value) -> Vec<String> {
    let mut places = Vec::new();
    let mut open = vec![(String::new(), object)];
    while let Some((place, value)) = open.pop() {
        let fields = value.as_object().into_iter().flatten();
        let fields = fields.map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value));
        let elements = value.as_array().into_iter().flatten().enumerate();
        let elements = elements.map(|(index, value)| (index.to_string(), value));
        open.extend(
            fields
                .chain(elements)
                .map(|(key, value)| (format!("{place}/{key}"), value)),
        );
        places.push(place);
    }
    places
}
