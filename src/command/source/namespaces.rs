//! The Namespaces of a live cluster, as far as they decide: their modes, and which one is meant where none is named.

use serde_json::Value;

use super::cluster::path;
use super::live::{ClusterError, with_cluster};
use crate::cli::SourceArguments;
use crate::cluster::namespaces::{MODE_LABEL, NamespaceModes};

/// The Namespaces of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaces {
    /// Where an object goes that names no namespace.
    pub default: String,
    /// The modes that their labels choose.
    pub modes: NamespaceModes,
    /// What could not be read, one line each.
    pub notes: Vec<String>,
}

impl Default for Namespaces {
    /// Where no cluster is read: `default`, as `kubectl` has it, and no labels.
    fn default() -> Self {
        Self {
            default: "default".to_owned(),
            modes: NamespaceModes::default(),
            notes: Vec::new(),
        }
    }
}

impl Namespaces {
    /// Takes a Namespace, in place of one of that name.
    pub(in crate::command) fn put(&mut self, object: &Value) {
        if let Some(mode) = mode(object) {
            self.modes.extend([mode]);
        }
    }
}

/// Name and mode label of a Namespace that has one.
fn mode(object: &Value) -> Option<(String, String)> {
    let metadata = object.get("metadata")?;
    let name = metadata.get("name")?.as_str()?;
    let word = metadata.get("labels")?.get(MODE_LABEL)?.as_str()?;
    Some((name.to_owned(), word.to_owned()))
}

/// Reads them. Those that may not be listed choose no mode, which is a note.
pub(super) fn read(arguments: &SourceArguments) -> Result<Namespaces, ClusterError> {
    with_cluster(arguments, async |cluster| {
        let mut spaces = Namespaces {
            default: cluster.namespace().to_owned(),
            ..Namespaces::default()
        };
        let take = |object: Value| spaces.put(&object);
        match cluster
            .list(&path("v1", "namespaces"), "namespaces", take)
            .await
        {
            Err(error @ ClusterError::Forbidden { .. }) => spaces.notes.push(format!(
                "namespaces were not read, so that their modes do not count: {error}"
            )),
            read => drop(read?),
        }
        Ok(spaces)
    })
}
