//! A fleet as a document that can be kept and passed on: what is known of each class of nodes, and what placing Pods on
//! them needs.
//!
//! Pure. A fleet that is read from a snapshot gives the same candidates as the one that it was taken of, save for Pods
//! that name a node, or a label that only one node can have (unless names are kept). Annotations, addresses, images and
//! conditions are not in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::knowledge::{Doubt, Finding, Group, Knowledge, Listed, Origin, Reading, Serves};
use super::object::Amount;
use super::roster::{Roster, Traits};
use super::{Cell, Fleet};
use crate::cluster::placement::OperatingSystem;
use crate::cluster::taint::{Effect, Taint};
use crate::compat::host::{Brand, GpuClass};
use crate::compat::{
    ComputeCapability, CpuArchitecture, CudaVersion, DriverVersion, Host, Platform, RuntimeMode,
};

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

/// Equal nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeGroup {
    count: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gpus: Vec<GpuGroup>,
    /// Why the GPUs are not known, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<Doubt>,
    read_from: Origin,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    resources: BTreeMap<String, Quantities>,
    /// GPUs that an inventory lists, whether or not they are a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed: Option<ListedGpus>,
    /// Devices of ResourceSlices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    devices: Option<Devices>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taints: Vec<WrittenTaint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    os: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// Equal GPUs of one node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GpuGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_capability: Option<ComputeCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<GpuClass>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    brands: Vec<Brand>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<DriverVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cuda: Option<CudaVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<CpuArchitecture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<RuntimeMode>,
    /// Which resources they are given out as, if not as any: `whole`, or a MIG profile as `mig-1g.5gb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    serves: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantities {
    capacity: u64,
    allocatable: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ListedGpus {
    Uncounted,
    #[serde(untagged)]
    Count(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Devices {
    gpus: u64,
    migs: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTaint {
    key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    value: String,
    effect: String,
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
            nodes.extend(by_labels.into_iter().map(|(labels, of_group)| NodeGroup {
                count: u32::try_from(of_group.len()).unwrap_or(u32::MAX),
                names: match names {
                    Names::Kept => of_group,
                    Names::LeftOut => Vec::new(),
                },
                labels,
                ..of_cell.clone()
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

impl NodeGroup {
    /// All that the nodes of a cell have in common.
    fn of(fleet: &Fleet, cell: &Cell) -> Self {
        let knowledge = fleet.class(cell.class);
        let offer = fleet
            .offers
            .get(cell.offer as usize)
            .cloned()
            .unwrap_or_default();
        let taints = fleet.taints.get(cell.taints as usize);
        let quantities = |(name, amount): &(Box<str>, Amount)| {
            let quantities = Quantities {
                capacity: amount.capacity,
                allocatable: amount.allocatable,
            };
            (name.to_string(), quantities)
        };
        let devices = Devices {
            gpus: offer.sliced_gpus,
            migs: offer.sliced_migs,
        };
        Self {
            count: 0,
            names: Vec::new(),
            gpus: knowledge.groups(None).map(GpuGroup::of).collect(),
            unknown: knowledge.doubt(),
            read_from: fleet.origins(cell.class).next().unwrap_or(Origin::Resource),
            resources: offer.amounts.iter().map(quantities).collect(),
            listed: match offer.listed {
                Listed::Nothing => None,
                Listed::Uncounted => Some(ListedGpus::Uncounted),
                Listed::Count(count) => Some(ListedGpus::Count(count)),
            },
            devices: (devices.gpus + devices.migs > 0).then_some(devices),
            taints: taints.into_iter().flatten().map(WrittenTaint::of).collect(),
            os: match cell.os {
                OperatingSystem::Linux => None,
                OperatingSystem::Windows => Some("windows".to_owned()),
            },
            labels: BTreeMap::new(),
        }
    }

    fn traits(&self) -> Result<Traits, UnreadableSnapshot> {
        if !self.names.is_empty() && self.names.len() != self.count as usize {
            return Err(UnreadableSnapshot::Names {
                count: self.count,
                names: self.names.len(),
            });
        }
        let groups: Result<Vec<Group>, _> = self.gpus.iter().map(GpuGroup::group).collect();
        let taints: Result<Vec<Taint>, _> = self.taints.iter().map(WrittenTaint::taint).collect();
        let groups = groups?;
        let finding = Finding {
            knowledge: match (self.unknown, groups.is_empty()) {
                (Some(doubt), _) => Knowledge::Unknown(doubt),
                (None, true) => Knowledge::Unknown(Doubt::Unlabelled),
                (None, false) => Knowledge::Known(groups.into()),
            },
            listed: match self.listed {
                None => Listed::Nothing,
                Some(ListedGpus::Uncounted) => Listed::Uncounted,
                Some(ListedGpus::Count(count)) => Listed::Count(count),
            },
        };
        let amounts = self.resources.iter().map(|(name, quantities)| {
            let amount = Amount {
                capacity: quantities.capacity,
                allocatable: quantities.allocatable,
            };
            (name.as_str().into(), amount)
        });
        Ok(Traits {
            reading: Reading {
                first: Some(finding),
                origin: Some(self.read_from),
                last: None,
            },
            amounts: amounts.collect(),
            taints: taints?.into(),
            os: match self.os.as_deref() {
                None => OperatingSystem::Linux,
                Some(word) => OperatingSystem::named(word).ok_or_else(|| unknown("os", word))?,
            },
            architecture: None,
        })
    }
}

fn unknown(what: &'static str, word: &str) -> UnreadableSnapshot {
    UnreadableSnapshot::Word {
        what,
        word: word.chars().take(64).collect(),
    }
}

impl GpuGroup {
    fn of(group: &Group) -> Self {
        let host = group.host.clone();
        Self {
            count: group.count,
            product: host.product,
            compute_capability: host.capability,
            class: host.class,
            brands: host.brands,
            platform: host.platform,
            driver: host.driver,
            cuda: host.cuda,
            architecture: host.architecture,
            runtime: host.runtime,
            serves: match &group.serves {
                Serves::Any => None,
                Serves::Whole => Some("whole".to_owned()),
                Serves::Mig(profile) => Some(format!("mig-{profile}")),
            },
        }
    }

    fn group(&self) -> Result<Group, UnreadableSnapshot> {
        let serves = match self.serves.as_deref() {
            None => Serves::Any,
            Some("whole") => Serves::Whole,
            Some(word) => match word.strip_prefix("mig-") {
                Some(profile) => Serves::Mig(profile.into()),
                None => return Err(unknown("serves", word)),
            },
        };
        let host = self.clone();
        Ok(Group {
            host: Host {
                product: host.product,
                capability: host.compute_capability,
                class: host.class,
                brands: host.brands,
                platform: host.platform,
                driver: host.driver,
                cuda: host.cuda,
                architecture: host.architecture,
                runtime: host.runtime,
            },
            serves,
            count: self.count,
        })
    }
}

impl WrittenTaint {
    fn of(taint: &Taint) -> Self {
        Self {
            key: taint.key.to_string(),
            value: taint.value.to_string(),
            effect: taint.effect.word().to_owned(),
        }
    }

    fn taint(&self) -> Result<Taint, UnreadableSnapshot> {
        Ok(Taint {
            key: self.key.as_str().into(),
            value: self.value.as_str().into(),
            effect: Effect::named(&self.effect).ok_or_else(|| unknown("effect", &self.effect))?,
        })
    }
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
