//! Everything in a live cluster that makes Pods, from the top: what its controlling owner stands for is left out, and so
//! is what has ended. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::cluster::path;
use super::live::{Cluster, ClusterError, with_cluster};
use crate::cli::SourceArguments;
use crate::cluster::workload::{Kinds, ObjectKind};

/// What makes Pods in a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workloads {
    /// The objects, each with `apiVersion` and `kind`, without `status` and field managers; sorted by kind, namespace
    /// and name.
    pub objects: Vec<Value>,
    /// What could not be read, one line each.
    pub notes: Vec<String>,
}

/// Reads the workloads of the cluster that the arguments name: every kind of the table that the cluster serves.
///
/// # Errors
/// See [`ClusterError`]. A kind that may not be listed is none, but a note.
pub(super) fn read(arguments: &SourceArguments, kinds: &Kinds) -> Result<Workloads, ClusterError> {
    with_cluster(arguments, async |cluster| {
        let mut collected = Collected::default();
        let mut notes = Vec::new();
        for (kind, plural) in served(cluster, kinds).await? {
            let api_version = kind.api_version();
            let resource = match kind.group.as_str() {
                "" => plural.clone(),
                group => format!("{plural}.{group}"),
            };
            let take = |object| collected.take(&kind, object);
            match cluster
                .list(&path(&api_version, &plural), &resource, take)
                .await
            {
                Err(error @ ClusterError::Forbidden { .. }) => {
                    notes.push(format!("{resource} were not read: {error}"));
                }
                read => drop(read?),
            }
        }
        Ok(Workloads {
            objects: collected.top(),
            notes,
        })
    })
}

/// The kinds of the table that the cluster serves, each in one version, with their plural. Pods come last: most are
/// left out because of their owners, which must be known by then.
async fn served(
    cluster: &Cluster,
    kinds: &Kinds,
) -> Result<Vec<(ObjectKind, String)>, ClusterError> {
    let mut wanted: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for entry in kinds.entries() {
        for version in &entry.versions {
            let names = wanted
                .entry((entry.group.clone(), version.clone()))
                .or_default();
            names.extend(entry.kinds.iter().cloned());
        }
    }
    let mut found: BTreeMap<(String, String), (ObjectKind, String)> = BTreeMap::new();
    for ((group, version), names) in wanted {
        let about = |kind: &str| ObjectKind {
            group: group.clone(),
            version: version.clone(),
            kind: kind.to_owned(),
        };
        let resources = cluster.resources(&about("").api_version()).await?;
        for resource in resources.unwrap_or_default() {
            if names.contains(&resource.kind) {
                let kind = about(&resource.kind);
                found
                    .entry((group.clone(), resource.kind))
                    .or_insert((kind, resource.plural));
            }
        }
    }
    let (pods, others): (Vec<_>, Vec<_>) = found
        .into_values()
        .partition(|(kind, _)| kind.group.is_empty() && kind.kind == "Pod");
    Ok(others.into_iter().chain(pods).collect())
}

/// Objects that have been listed, and who they belong to.
#[derive(Default)]
struct Collected {
    /// Identities of all objects, those that are left out included.
    listed: BTreeSet<String>,
    kept: Vec<(Option<String>, Value)>,
}

impl Collected {
    fn take(&mut self, kind: &ObjectKind, mut object: Value) {
        let owner = controller(&object);
        if let Some(identity) = object.pointer("/metadata/uid").and_then(Value::as_str) {
            self.listed.insert(identity.to_owned());
        }
        let is_owned = owner
            .as_ref()
            .is_some_and(|owner| self.listed.contains(owner));
        if is_owned || has_ended(kind, &object) {
            return;
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
            fields.insert("apiVersion".to_owned(), kind.api_version().into());
            fields.insert("kind".to_owned(), kind.kind.clone().into());
        }
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        self.kept.push((owner, object));
    }

    /// The objects whose owner is not among them, in a stable order.
    fn top(self) -> Vec<Value> {
        let Self { listed, kept } = self;
        let is_top =
            |owner: &Option<String>| owner.as_ref().is_none_or(|owner| !listed.contains(owner));
        let kept = kept.into_iter().filter(|(owner, _)| is_top(owner));
        let mut objects: Vec<Value> = kept.map(|(_, object)| object).collect();
        objects.sort_by_cached_key(|object| {
            let text = |path: &str| {
                let found = object.pointer(path).and_then(Value::as_str);
                found.unwrap_or_default().to_owned()
            };
            (
                text("/kind"),
                text("/metadata/namespace"),
                text("/metadata/name"),
            )
        });
        objects
    }
}

/// Who made an object and would make it again.
fn controller(object: &Value) -> Option<String> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let controller = owners
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    Some(controller.get("uid")?.as_str()?.to_owned())
}

/// Whether a Pod or Job has run to its end, so that it runs nowhere any more.
fn has_ended(kind: &ObjectKind, object: &Value) -> bool {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => {
            let phase = object.pointer("/status/phase").and_then(Value::as_str);
            matches!(phase, Some("Succeeded" | "Failed"))
        }
        ("batch", "Job") => {
            let conditions = object
                .pointer("/status/conditions")
                .and_then(Value::as_array);
            conditions.into_iter().flatten().any(|condition| {
                let text = |key| condition.get(key).and_then(Value::as_str);
                matches!(text("type"), Some("Complete" | "Failed"))
                    && text("status") == Some("True")
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(objects: &[(&str, &str, Value)]) -> Vec<String> {
        let mut collected = Collected::default();
        for (version, kind, object) in objects {
            collected.take(&ObjectKind::new(version, kind), object.clone());
        }
        let name = |object: &Value| {
            format!("{}/{}", object["kind"], object["metadata"]["name"]).replace('"', "")
        };
        collected.top().iter().map(name).collect()
    }

    fn owned(name: &str, by: &str) -> Value {
        json!({"metadata": {"name": name, "uid": name,
            "ownerReferences": [{"uid": "other"}, {"uid": by, "controller": true}]}})
    }

    #[test]
    fn what_a_listed_owner_stands_for_is_left_out_whatever_the_order() {
        let deployment = json!({"metadata": {"name": "d", "uid": "d"}});
        let found = taken(&[
            ("apps/v1", "ReplicaSet", owned("rs", "d")),
            ("apps/v1", "Deployment", deployment),
            ("v1", "Pod", owned("p", "rs")),
            ("v1", "Pod", owned("orphan", "something-else")),
        ]);
        assert_eq!(found, ["Deployment/d", "Pod/orphan"]);
    }

    #[test]
    fn what_has_ended_is_left_out_and_so_is_what_it_made() {
        let job = json!({"metadata": {"name": "j", "uid": "j"},
            "status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        let running = json!({"metadata": {"name": "k", "uid": "k"},
            "status": {"conditions": [{"type": "Failed", "status": "False"}]}});
        let pod = json!({"metadata": {"name": "p"}, "status": {"phase": "Failed"}});
        let found = taken(&[
            ("batch/v1", "Job", job),
            ("batch/v1", "Job", running),
            ("v1", "Pod", pod),
            ("v1", "Pod", owned("of-j", "j")),
        ]);
        assert_eq!(found, ["Job/k"]);
    }

    #[test]
    fn objects_say_what_they_are_and_carry_no_status() {
        let mut collected = Collected::default();
        let pod =
            json!({"metadata": {"name": "p", "managedFields": []}, "status": {"phase": "Running"}});
        collected.take(&ObjectKind::new("v1", "Pod"), pod);
        assert_eq!(
            collected.top(),
            [json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})]
        );
    }
}
