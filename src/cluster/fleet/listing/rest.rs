//! Objects that decide about candidates and are no nodes, cut down to the fields that are read: what a snapshot keeps
//! of them.

use serde_json::{Map, Value, json};

use crate::cluster::workload::ObjectKind;

/// The object with only what decides; `None` for kinds that are not kept.
pub(super) fn cut_down(kind: &ObjectKind, object: &Value) -> Option<Value> {
    let fields: &[&str] = match (kind.group.as_str(), kind.kind.as_str()) {
        ("node.k8s.io", "RuntimeClass") => &["/handler", "/scheduling"],
        ("resource.k8s.io", "DeviceClass") => &["/spec/selectors", "/spec/extendedResourceName"],
        ("karpenter.sh", "NodePool") => &[
            "/spec/template/metadata/labels",
            "/spec/template/spec/requirements",
            "/spec/template/spec/taints",
        ],
        _ => return None,
    };
    let mut kept = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": {"name": object.pointer("/metadata/name")?},
    });
    for path in fields {
        if let Some(value) = object.pointer(path) {
            put(&mut kept, path.split('/').skip(1), value.clone());
        }
    }
    if kind.kind == "NodePool" {
        // Must be there, even if nothing stands in it.
        let spec = kept
            .pointer("/spec/template/spec")
            .cloned()
            .unwrap_or_else(|| json!({}));
        put(&mut kept, ["spec", "template", "spec"].into_iter(), spec);
    }
    Some(kept)
}

/// Puts a value at a path, and mappings on the way to it.
fn put<'a>(into: &mut Value, path: impl Iterator<Item = &'a str>, value: Value) {
    let mut place = into;
    for field in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Some(fields) = place.as_object_mut() else {
            return;
        };
        place = fields.entry(field).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_decides_is_kept() {
        let pool = json!({"metadata": {"name": "p", "uid": "x"}, "spec": {"limits": {"cpu": 1}, "template": {
            "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {"requirements": [], "nodeClassRef": {"name": "n"}}}}});
        assert_eq!(
            cut_down(&ObjectKind::new("karpenter.sh/v1", "NodePool"), &pool),
            Some(
                json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"},
                "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"requirements": []}}}})
            )
        );
        let bare = json!({"metadata": {"name": "p"}, "spec": {"template": {"spec": {}}}});
        let kept = cut_down(&ObjectKind::new("karpenter.sh/v1", "NodePool"), &bare).unwrap();
        assert_eq!(kept["spec"], json!({"template": {"spec": {}}}));
        assert_eq!(cut_down(&ObjectKind::new("v1", "Node"), &bare), None);
    }
}
