//! A Node object, cut down to what placing GPU Pods depends on.
//!
//! Pure. A watch and a file lead to the same shape: from the typed object, or from JSON that need not be complete.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Node as KubernetesNode, Taint as KubernetesTaint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::super::placement::OperatingSystem;
use super::super::quantity;
use super::super::resource::is_scalar;
use super::super::taint::{Effect, Taint};

/// What matters of a Node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeObject {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The taints that can keep Pods away, a cordon among them.
    pub taints: Vec<Taint>,
    /// What it has of each extended resource.
    pub resources: BTreeMap<String, Amount>,
    /// The kernel's boot ID, if reported.
    pub boot_id: Option<String>,
    /// Its CPU architecture, if reported, as Go names it.
    pub architecture: Option<String>,
    /// Its operating system, if reported.
    pub os: Option<OperatingSystem>,
}

/// How much of a resource a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Amount {
    /// Devices that are registered, those that are unhealthy included.
    pub capacity: u64,
    /// Devices that Pods can get.
    pub allocatable: u64,
}

/// An object that is no Node, or one that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableNode {
    /// A part that decides has another shape.
    #[error("the Node cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// No name, so that nothing can tell it from others.
    #[error("the Node has no name")]
    Nameless,
}

impl NodeObject {
    /// A Node in JSON, as kubectl prints it or as a person wrote it.
    ///
    /// # Errors
    /// See [`UnreadableNode`].
    pub fn from_json(node: &serde_json::Value) -> Result<Self, UnreadableNode> {
        Self::named(RawNode::deserialize(node).map_err(UnreadableNode::Malformed)?)
    }

    /// The same from JSON text. What is not needed, the bulk of it, is skipped over and never held.
    ///
    /// # Errors
    /// See [`UnreadableNode`].
    pub fn from_text(json: &str) -> Result<Self, UnreadableNode> {
        Self::named(serde_json::from_str(json).map_err(UnreadableNode::Malformed)?)
    }

    fn named(raw: RawNode) -> Result<Self, UnreadableNode> {
        if raw.metadata.name.is_empty() {
            return Err(UnreadableNode::Nameless);
        }
        Ok(Self::assemble(raw))
    }

    fn assemble(raw: RawNode) -> Self {
        let RawNode {
            metadata,
            spec,
            status,
        } = raw;
        let cordon = spec.unschedulable.then(Taint::cordon);
        let mut taints: Vec<Taint> = spec
            .taints
            .into_iter()
            .filter_map(RawTaint::taint)
            .chain(cordon)
            .collect();
        taints.sort_unstable();
        taints.dedup();
        let info = status.node_info;
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            name: metadata.name,
            labels: texts(metadata.labels),
            annotations: texts(metadata.annotations),
            taints,
            resources: amounts(&status.capacity, &status.allocatable),
            boot_id: text(info.boot_id),
            architecture: text(info.architecture),
            os: OperatingSystem::named(&info.operating_system),
        }
    }
}

impl From<KubernetesNode> for NodeObject {
    fn from(node: KubernetesNode) -> Self {
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        let info = status.node_info.unwrap_or_default();
        let quantities = |map: Option<BTreeMap<String, Quantity>>| {
            let entries = map.unwrap_or_default().into_iter();
            entries.map(|(name, Quantity(text))| (name, Text(text)))
        };
        let cordon = spec.unschedulable.unwrap_or_default();
        let mut object = Self::assemble(RawNode {
            metadata: RawMetadata {
                name: node.metadata.name.unwrap_or_default(),
                ..RawMetadata::default()
            },
            spec: RawSpec {
                unschedulable: cordon,
                taints: spec
                    .taints
                    .into_iter()
                    .flatten()
                    .map(RawTaint::from)
                    .collect(),
            },
            status: RawStatus {
                capacity: quantities(status.capacity).collect(),
                allocatable: quantities(status.allocatable).collect(),
                node_info: RawInfo {
                    boot_id: info.boot_id,
                    architecture: info.architecture,
                    operating_system: info.operating_system,
                },
            },
        });
        object.labels = node.metadata.labels.unwrap_or_default();
        object.annotations = node.metadata.annotations.unwrap_or_default();
        object
    }
}

fn texts(map: BTreeMap<String, Text>) -> BTreeMap<String, String> {
    map.into_iter()
        .map(|(key, Text(value))| (key, value))
        .collect()
}

fn amounts(
    capacity: &BTreeMap<String, Text>,
    allocatable: &BTreeMap<String, Text>,
) -> BTreeMap<String, Amount> {
    let mut amounts: BTreeMap<String, Amount> = BTreeMap::new();
    let scalar = |entry: &(&String, &Text)| is_scalar(entry.0);
    for (name, Text(text)) in capacity.iter().filter(scalar) {
        amounts.entry(name.clone()).or_default().capacity = quantity::reported(text);
    }
    for (name, Text(text)) in allocatable.iter().filter(scalar) {
        amounts.entry(name.clone()).or_default().allocatable = quantity::reported(text);
    }
    amounts.retain(|_, amount| *amount != Amount::default());
    amounts
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawNode {
    metadata: RawMetadata,
    #[serde(deserialize_with = "null_is_default")]
    spec: RawSpec,
    #[serde(deserialize_with = "null_is_default")]
    status: RawStatus,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawMetadata {
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, Text>,
    #[serde(deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, Text>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawSpec {
    #[serde(deserialize_with = "null_is_default")]
    unschedulable: bool,
    #[serde(deserialize_with = "null_is_default")]
    taints: Vec<RawTaint>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawTaint {
    key: String,
    #[serde(deserialize_with = "null_is_default")]
    value: Text,
    effect: String,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawStatus {
    #[serde(deserialize_with = "null_is_default")]
    capacity: BTreeMap<String, Text>,
    #[serde(deserialize_with = "null_is_default")]
    allocatable: BTreeMap<String, Text>,
    #[serde(deserialize_with = "null_is_default")]
    node_info: RawInfo,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawInfo {
    #[serde(rename = "bootID")]
    boot_id: String,
    architecture: String,
    operating_system: String,
}

impl RawTaint {
    fn taint(self) -> Option<Taint> {
        let Self {
            key,
            value: Text(value),
            effect,
        } = self;
        Some(Taint {
            key: key.into(),
            value: value.into(),
            effect: Effect::named(&effect)?,
        })
    }
}

impl From<KubernetesTaint> for RawTaint {
    fn from(taint: KubernetesTaint) -> Self {
        Self {
            key: taint.key,
            value: Text(taint.value.unwrap_or_default()),
            effect: taint.effect,
        }
    }
}

fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A text, or what a person wrote without quotes where a text belongs: `nvidia.com/gpu: 8`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(Text(text))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Text, E> {
        Ok(Text::default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_and_a_watch_give_the_same_node() {
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n1", "labels": {"pool": "a"}, "annotations": {"x": "y"}},
            "spec": {"unschedulable": true, "taints": [
                {"key": "team", "value": "red", "effect": "NoSchedule"},
                {"key": "soft", "effect": "PreferNoSchedule"}]},
            "status": {
                "capacity": {"cpu": "8", "nvidia.com/gpu": "8", "rdma/hca": "1k"},
                "allocatable": {"cpu": "8", "nvidia.com/gpu": "7"},
                "nodeInfo": {"bootID": "b", "architecture": "arm64", "operatingSystem": "linux",
                    "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "",
                    "machineID": "", "osImage": "", "systemUUID": ""}}});
        let typed: KubernetesNode = serde_json::from_value(node.clone()).unwrap();
        let object = NodeObject::from_json(&node).unwrap();
        assert_eq!(NodeObject::from(typed), object);
        assert_eq!(NodeObject::from_text(&node.to_string()).unwrap(), object);
        assert_eq!(object.taints.len(), 2, "{:?}", object.taints);
        let amount = |capacity, allocatable| Amount {
            capacity,
            allocatable,
        };
        let expected = [
            ("nvidia.com/gpu".to_owned(), amount(8, 7)),
            ("rdma/hca".to_owned(), amount(1000, 0)),
        ];
        assert_eq!(object.resources, BTreeMap::from(expected));
    }

    #[test]
    fn a_node_that_a_person_wrote_need_not_be_complete() {
        let node = json!({"metadata": {"name": "n1", "labels": {"nvidia.com/gpu.count": 4, "gpu": true}, "annotations": null},
            "status": {"capacity": {"nvidia.com/gpu": 4}}});
        let object = NodeObject::from_json(&node).unwrap();
        assert_eq!(object.labels["nvidia.com/gpu.count"], "4");
        assert_eq!(object.labels["gpu"], "true");
        assert_eq!(object.resources["nvidia.com/gpu"].capacity, 4);
    }

    #[test]
    fn what_is_no_node_is_an_error() {
        for bad in [
            json!({}),
            json!([]),
            json!("n1"),
            json!({"metadata": {"name": 3}}),
        ] {
            assert!(NodeObject::from_json(&bad).is_err(), "{bad}");
        }
    }
}
