//! What is known of the GPUs of a node, and where it was read.
//!
//! Pure. Sources are asked in order, and the first that says anything decides: our inventory annotation, our labels,
//! the labels of GPU Feature Discovery, ResourceSlices, a cloud's own labels. Missing knowledge is a [`Doubt`].

mod cloud;
mod discovery;
mod inventory;
mod model;
mod slice;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use slice::{DeviceClassObject, SliceObject};

pub(super) use cloud::{Accelerators, CloudGpu};
pub(super) use model::{Models, architecture};
pub(in crate::cluster) use slice::Picks;
pub(super) use slice::{SliceFinding, Slices};

use super::object::NodeObject;
use crate::cluster::resource::{GpuResources, ResourceKind};
use crate::compat::Host;
use crate::labels;

/// What is known of a node's GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Knowledge {
    /// This: one group for each kind of GPU on the node.
    Known(Arc<[Group]>),
    /// It has GPUs, and nothing can be said of them.
    Unknown(Doubt),
}

/// Equal GPUs of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// What they are, with their driver and surroundings.
    pub host: Host,
    /// Which resources their devices are given out as.
    pub serves: Serves,
    /// How many there are, where a node has several kinds.
    pub count: Option<u32>,
}

/// Which resources a group of GPUs is given out as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Serves {
    /// Any that the node offers.
    Any,
    /// Whole GPUs and shares of them.
    Whole,
    /// MIG devices of that profile.
    Mig(Box<str>),
}

/// Where what is known of a node's GPUs was read, in the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The annotation that our agent writes.
    Inventory,
    /// The labels that our agent writes.
    Labels,
    /// The labels of GPU Feature Discovery.
    Discovery,
    /// ResourceSlices of NVIDIA's driver for dynamic resource allocation.
    ResourceSlices,
    /// Labels of a cloud, or of feature discovery in general.
    Cloud,
    /// Nothing but the amount of a resource.
    Resource,
}

impl Origin {
    /// In few words, for tables.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Labels => "gpu-capgate labels",
            Self::Discovery => "GFD labels",
            Self::ResourceSlices => "ResourceSlices",
            Self::Cloud => "cloud labels",
            Self::Resource => "resource only",
        }
    }
}

/// Why nothing can be said of a node's GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// It offers GPUs, and nothing tells which.
    Unlabelled,
    /// Its inventory was written before the node last booted.
    Stale,
    /// Its inventory cannot be read, or is of another version.
    Unreadable,
    /// Its inventory lists no GPU, and the node offers some.
    Empty,
    /// Its agent has not been ready for a while.
    AgentAway,
    /// The GPU Operator is changing its driver.
    DriverUpgrade,
    /// Its discovery labels count other GPUs than it offers, so that it has several models.
    SeveralModels,
    /// Its discovery labels contradict each other.
    Contradictory,
    /// Its MIG layout cannot be used.
    MigLayout,
    /// Only discovery labels are there, and the configuration does not trust them.
    Untrusted,
    /// A label names a GPU that the knowledge base does not hold.
    UnknownModel,
    /// Its ResourceSlices are incomplete, or have no attributes that tell what the devices are.
    UnreadableSlices,
    /// It is a pool without nodes yet, whose GPUs nothing fixes.
    OpenPool,
}

impl Doubt {
    /// As the end of a sentence that begins with a count of nodes: `2 nodes: the inventory is older than the boot`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unlabelled => "nothing tells which GPUs these are",
            Self::Stale => "the inventory is older than the last boot",
            Self::Unreadable => "the inventory cannot be read",
            Self::Empty => "the inventory lists no GPU, and GPUs are offered",
            Self::AgentAway => "the agent there is not ready",
            Self::DriverUpgrade => "the GPU Operator is upgrading the driver",
            Self::SeveralModels => {
                "the discovery labels count other GPUs than are offered (several models?)"
            }
            Self::Contradictory => "the discovery labels contradict each other",
            Self::MigLayout => "the MIG layout is not usable",
            Self::Untrusted => "only GPU Feature Discovery labels are there, and trustGfd is off",
            Self::UnknownModel => "a label names a GPU that the knowledge base does not hold",
            Self::UnreadableSlices => "the ResourceSlices do not tell what the devices are",
            Self::OpenPool => "pools without nodes yet, whose GPUs nothing fixes",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.words())
    }
}

/// Whether the labels of GPU Feature Discovery are taken as those of a node with one model (`trustGfd`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GfdTrust {
    /// They are, unless the count betrays several.
    #[default]
    OneModel,
    /// They are not: such nodes are unknown.
    Nothing,
}

impl Knowledge {
    /// The groups of GPUs that a resource may come from; empty if the node is unknown.
    pub fn groups(&self, resource: Option<&ResourceKind>) -> impl Iterator<Item = &Group> {
        let all: &[Group] = match self {
            Self::Known(groups) => groups,
            Self::Unknown(_) => &[],
        };
        let none_is_meant = !all.iter().any(|group| group.serves(resource));
        all.iter()
            .filter(move |group| none_is_meant || group.serves(resource))
    }

    /// Why it is unknown, if it is.
    #[must_use]
    pub const fn doubt(&self) -> Option<Doubt> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(doubt) => Some(*doubt),
        }
    }
}

impl Group {
    /// GPUs of which a node has no others.
    #[must_use]
    pub(super) fn only(host: Host) -> Self {
        Self {
            host,
            serves: Serves::Any,
            count: None,
        }
    }

    fn serves(&self, resource: Option<&ResourceKind>) -> bool {
        match (&self.serves, resource) {
            (Serves::Any, _) | (_, None) => true,
            (Serves::Whole, Some(kind)) => !matches!(kind, ResourceKind::Mig(_)),
            (Serves::Mig(profile), Some(ResourceKind::Mig(wanted))) => profile == wanted,
            (Serves::Mig(_), Some(ResourceKind::Whole | ResourceKind::Shared)) => false,
        }
    }
}

/// How many GPUs something lists that are not offered as a resource yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Listed {
    /// None.
    #[default]
    Nothing,
    /// Some.
    Uncounted,
    /// So many.
    Count(u64),
}

/// What one source says of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Finding {
    pub(super) knowledge: Knowledge,
    pub(super) listed: Listed,
}

impl Finding {
    fn known(groups: Vec<Group>, listed: Listed) -> Self {
        Self {
            knowledge: Knowledge::Known(groups.into()),
            listed,
        }
    }

    fn unknown(doubt: Doubt, listed: Listed) -> Self {
        Self {
            knowledge: Knowledge::Unknown(doubt),
            listed,
        }
    }
}

/// What a Node object says, before ResourceSlices are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Reading {
    /// What goes before ResourceSlices: annotation, labels, GPU Feature Discovery.
    pub(super) first: Option<Finding>,
    /// Where that was read.
    pub(super) origin: Option<Origin>,
    /// What comes after them: labels of clouds and of feature discovery in general.
    pub(super) last: Option<Finding>,
}

/// States of `nvidia.com/gpu-driver-upgrade-state` in which the driver is settled (k8s-operator-libs pkg/upgrade).
const SETTLED: [&str; 3] = ["", "upgrade-required", "upgrade-done"];
const UPGRADE_LABEL: &str = "nvidia.com/gpu-driver-upgrade-state";

/// All that a Node object says of its GPUs.
pub(super) fn read(
    node: &NodeObject,
    models: &mut Models<'_>,
    resources: &GpuResources,
    trust: GfdTrust,
) -> Reading {
    let state = node.labels.get(UPGRADE_LABEL).map_or("", String::as_str);
    let ours = inventory::read(node, models, resources);
    let origin = match (
        &ours,
        node.annotations.contains_key(labels::INVENTORY_ANNOTATION),
    ) {
        (Some(_), true) => Origin::Inventory,
        (Some(_), false) => Origin::Labels,
        (None, _) => Origin::Discovery,
    };
    let mut first = ours.or_else(|| discovery::read(node, models, resources, trust));
    if !SETTLED.contains(&state) {
        let listed = first.map_or(Listed::Uncounted, |finding| finding.listed);
        first = Some(Finding::unknown(Doubt::DriverUpgrade, listed));
    }
    let last = first.is_none().then(|| cloud::read(node, models));
    Reading {
        origin: first.is_some().then_some(origin),
        first,
        last: last.flatten(),
    }
}

/// How many GPUs a node offers: the greater of capacity and allocatable, over all names of whole and shared GPUs.
fn offered(node: &NodeObject, resources: &GpuResources) -> u64 {
    let gpus = node.resources.iter().filter(|(name, _)| {
        matches!(
            resources.kind(name),
            Some(ResourceKind::Whole | ResourceKind::Shared)
        )
    });
    gpus.map(|(_, amount)| amount.capacity.max(amount.allocatable))
        .fold(0, u64::saturating_add)
}
