//! A fleet as a document that can be kept and passed on: what is known of each class of nodes, and what placing Pods on
//! them needs.
//!
//! Pure. A fleet that is read from a snapshot gives the same candidates as the one that it was taken of, save for Pods
//! that name a node, or a label that only one node can have (unless names are kept). Annotations, addresses, images and
//! conditions are not in it.

mod group;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fleet;
use super::roster::Roster;
use group::NodeGroup;

/// API group of the document.
pub(super) const GROUP: &str = "gpu-capgate.io";
/// Kind of the document.
pub(super) const KIND: &str = "FleetSnapshot";
/// Version of its shape.
const API_VERSION: &str = "gpu-capgate.io/v1";
/// Most nodes of one snapshot.
const MAX_NODES: usize = 200_000;
/// How a node is called whose name was not kept, before its number.
const UNNAMED: &str = "unnamed-";

/// Whether the document tells which node is which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Names, and all labels.
    Kept,
    /// No names, and no label that is a node's own.
    LeftOut,
}

/// A snapshot that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableSnapshot {
    /// Of another version.
    #[error(
        "its apiVersion is {0:?}, and this program reads {API_VERSION}: take the snapshot with this version"
    )]
    Version(String),
    /// Of another shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// Absurdly many nodes.
    #[error("it has more than {MAX_NODES} nodes")]
    TooMany,
    /// Names that do not fit their group.
    #[error("a group of {count} nodes has {names} names: give all or none")]
    Names {
        /// How many nodes there are.
        count: u32,
        /// How many names.
        names: usize,
    },
    /// A word that is none.
    #[error("{what} {word:?} is not known")]
    Word {
        /// What it should be.
        what: &'static str,
        /// The word.
        word: String,
    },
}

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    api_version: String,
    kind: String,
    nodes: Vec<NodeGroup>,
}

impl Snapshot {
    /// A snapshot of the nodes of a fleet. Its pools and the cluster's classes are objects of their own.
    #[must_use]
    pub fn of(fleet: &Fleet, names: Names) -> Self {
        let rows = fleet.index.rows();
        let mut nodes = Vec::new();
        for cell in &fleet.cells {
            let of_cell = NodeGroup::of(fleet, cell);
            let mut by_labels: BTreeMap<BTreeMap<String, String>, Vec<String>> = BTreeMap::new();
            for position in cell.start..cell.end {
                let name = fleet.names.get(position as usize).map_or("", AsRef::as_ref);
                let row = rows.get(position as usize).map_or(&[][..], Vec::as_slice);
                let labels = fleet.labels(row);
                let labels =
                    labels.filter(|(key, value)| names == Names::Kept || !is_own(key, value, name));
                let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
                by_labels
                    .entry(labels.collect())
                    .or_default()
                    .push(name.to_owned());
            }
            nodes.extend(by_labels.into_iter().map(|(labels, of_group)| {
                let mut group = of_cell.clone();
                group.count = u32::try_from(of_group.len()).unwrap_or(u32::MAX);
                group.labels = labels;
                group.names = match names {
                    Names::Kept => of_group,
                    Names::LeftOut => Vec::new(),
                };
                group
            }));
        }
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            nodes,
        }
    }

    /// Reads the document.
    pub(super) fn read(document: Value) -> Result<Self, UnreadableSnapshot> {
        let version = document.get("apiVersion").and_then(Value::as_str);
        if version != Some(API_VERSION) {
            let version = version.unwrap_or_default().to_owned();
            return Err(UnreadableSnapshot::Version(version));
        }
        let snapshot: Self = serde_json::from_value(document)?;
        let count = snapshot.nodes.iter().map(|group| group.count as usize);
        if count.fold(0, usize::saturating_add) > MAX_NODES {
            return Err(UnreadableSnapshot::TooMany);
        }
        Ok(snapshot)
    }

    /// Puts the nodes into a roster, and tells the names that were kept.
    pub(super) fn put(self, roster: &mut Roster<'_>) -> Result<Vec<String>, UnreadableSnapshot> {
        let mut kept = Vec::new();
        for group in self.nodes {
            let traits = group.traits()?;
            for number in 0..group.count as usize {
                let name = match group.names.get(number) {
                    Some(name) => {
                        kept.push(name.clone());
                        name.clone()
                    }
                    None => format!("{UNNAMED}{:04}", roster.nodes() + 1),
                };
                let devices = group.devices.map(|devices| (devices.gpus, devices.migs));
                roster.put_restored(&name, &group.labels, traits.clone(), devices);
            }
        }
        Ok(kept)
    }
}

/// Whether a label is a node's own: its name, or an identity by which its cloud or its maker knows it.
fn is_own(key: &str, value: &str, name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "hostname",
        "nodename",
        "node-name",
        "displayname",
        "internal_addr",
        "internal-ip",
        "external-ip",
        "instance-id",
        "provider-id",
        "machine-id",
        "system-uuid",
        "host.id",
        "host.serial_number",
        "gfd.timestamp",
    ];
    let last = key.rsplit('/').next().unwrap_or(key).to_ascii_lowercase();
    let host = name.split('.').next().unwrap_or(name);
    NAMES.contains(&last.as_str()) || (!value.is_empty() && (value == name || value == host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_one_node_from_all_others_is_its_own() {
        for (key, value) in [
            ("kubernetes.io/hostname", "x"),
            ("oci.oraclecloud.com/host.serial_number", "x"),
            ("alpha.eksctl.io/instance-id", "i-0"),
            ("nvidia.com/gfd.timestamp", "1"),
            ("example.com/anything", "gpu-1.example.com"),
            ("example.com/anything", "gpu-1"),
        ] {
            assert!(is_own(key, value, "gpu-1.example.com"), "{key}={value}");
        }
        for (key, value) in [
            ("topology.kubernetes.io/zone", "a"),
            ("node.kubernetes.io/instance-type", "p4d.24xlarge"),
            ("pool", ""),
        ] {
            assert!(!is_own(key, value, "gpu-1.example.com"), "{key}={value}");
        }
    }
}
