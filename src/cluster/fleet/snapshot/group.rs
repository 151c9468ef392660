//! A group of equal nodes as a snapshot writes it: the form that people see and edit, both ways.
//!
//! Pure. Each field holds what the fleet's own types hold; nothing is decided or guessed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::knowledge::{Doubt, Finding, Group, Knowledge, Listed, Origin, Reading, Serves};
use super::super::object::Amount;
use super::super::roster::Traits;
use super::super::{Cell, Fleet};
use super::UnreadableSnapshot;
use crate::cluster::placement::OperatingSystem;
use crate::cluster::taint::{Effect, Taint};
use crate::compat::host::{Brand, GpuClass};
use crate::compat::{
    ComputeCapability, CpuArchitecture, CudaVersion, DriverVersion, Host, Platform, RuntimeMode,
};

/// Equal nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NodeGroup {
    pub(super) count: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<String>,
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
    pub(super) devices: Option<Devices>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taints: Vec<WrittenTaint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    os: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
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
pub(super) struct Devices {
    pub(super) gpus: u64,
    pub(super) migs: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTaint {
    key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    value: String,
    effect: String,
}

impl NodeGroup {
    /// All that the nodes of a cell have in common.
    pub(super) fn of(fleet: &Fleet, cell: &Cell) -> Self {
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

    /// What a roster keeps of such a node.
    pub(super) fn traits(&self) -> Result<Traits, UnreadableSnapshot> {
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
