//! Every kind of object that makes Pods, with the container that asks for GPUs at every place where one may stand.

use gpu_capgate::cluster::workload::{Kind, Kinds, Made, PathPattern, Shape, Template};
use serde_json::{Value, json};

use super::{assert_admitted, assert_denied, reviewed};
use crate::webhook::{RESOURCE, WITH_SM_60, WITHOUT_SM_60, creation};

/// A place in a kind of objects where a container may stand.
struct Place<'a> {
    entry: &'a Kind,
    template: &'a Template,
    container: &'a PathPattern,
}

impl Place<'_> {
    /// An object of a kind with one container, there.
    fn object(&self, version: &str, kind: &str, image: &str) -> Value {
        let mut container = json!({"name": "train", "image": image});
        container[&self.template.containers.resources] = json!({"limits": {RESOURCE: "1"}});
        let mut spec = json!({});
        put(&mut spec, &self.container.to_string(), container);
        let mut api_version = version.to_owned();
        if !self.entry.group.is_empty() {
            api_version = format!("{}/{version}", self.entry.group);
        }
        let mut object =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "try"}});
        let template = match self.template.shape {
            Shape::Template => json!({"metadata": {}, "spec": spec}),
            Shape::Spec => spec,
        };
        put(&mut object, &self.template.path.to_string(), template);
        object
    }
}

/// Puts a value at a path, into the third element of each list and a field of any name of each mapping on the way.
fn put(object: &mut Value, path: &str, value: Value) {
    let Some((step, rest)) = path
        .split_once('.')
        .or((!path.is_empty()).then_some((path, "")))
    else {
        *object = value;
        return;
    };
    let next = match (step, step.strip_suffix("[]")) {
        ("*", _) => &mut object["Any-Name.of.it"],
        (_, Some(list)) => {
            object[list] = json!([{}, {}, {}]);
            &mut object[list][2]
        }
        (field, None) => &mut object[field],
    };
    if next.is_null() {
        *next = json!({});
    }
    put(next, rest, value);
}

fn places(kinds: &Kinds) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for entry in kinds.entries() {
        for template in &entry.template {
            let containers = &template.containers;
            for container in containers.main.iter().chain(&containers.init) {
                places.push(Place {
                    entry,
                    template,
                    container,
                });
            }
        }
    }
    places
}

#[test]
fn no_kind_and_no_place_in_it_gets_an_image_past_that_no_node_can_run() {
    let kinds = Kinds::bundled().unwrap();
    let places = places(&kinds);
    assert!(places.len() > 60, "{}", places.len());
    for place in places {
        let entry = place.entry;
        for (kind, version) in entry
            .kinds
            .iter()
            .flat_map(|kind| entry.versions.iter().map(move |version| (kind, version)))
        {
            let object = place.object(version, kind, WITHOUT_SM_60);
            let response = reviewed(&creation(&object));
            match entry.made {
                Made::Itself | Made::FromTemplate | Made::PerNode => {
                    assert_denied(&response, &object);
                }
                // The controller adds what is not in the object: the check of its Pods refuses.
                Made::Completed => {
                    let warning = response["warnings"][0].as_str().unwrap_or_default();
                    assert!(warning.ends_with("[GPU-ARCH]"), "{response}\n{object}");
                }
            }
            assert_admitted(&place.object(version, kind, WITH_SM_60));
        }
    }
}
