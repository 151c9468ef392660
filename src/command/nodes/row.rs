//! What `nodes` tells of each class of nodes: the document that programs get, and the words of tables.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cluster::fleet::{ClassId, Doubt, Fleet, Group, Knowledge, Origin, Serves};
use crate::compat::Catalog;

/// Most names of nodes that stand as examples.
const EXAMPLES: usize = 3;
/// Labels that tell the memory of a GPU in MiB: ours, GPU Feature Discovery's, those of Karpenter on AWS and of EKS.
const MEMORY: [&str; 4] = [
    "gpu-capgate.io/memory.min-mib",
    "nvidia.com/gpu.memory",
    "karpenter.k8s.aws/instance-gpu-memory",
    "eks.amazonaws.com/instance-gpu-memory",
];
/// Labels that tell how GPUs are divided, with the words for it.
const SHARING: [(&str, &str); 7] = [
    ("gpu-capgate.io/mig.strategy", "MIG"),
    ("nvidia.com/mig.strategy", "MIG"),
    ("nvidia.com/gpu.sharing-strategy", "shared by"),
    ("nvidia.com/gpu.replicas", "replicas"),
    ("cloud.google.com/gke-gpu-partition-size", "MIG"),
    ("cloud.google.com/gke-gpu-sharing-strategy", "shared by"),
    (
        "cloud.google.com/gke-max-shared-clients-per-gpu",
        "replicas",
    ),
];

/// The GPUs of a cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// All nodes, those without GPUs included.
    pub nodes: usize,
    /// Nodes with GPUs.
    pub gpu_nodes: usize,
    /// Classes of equal nodes; unknown ones last.
    pub classes: Vec<Class>,
}

/// Nodes of which the same is known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Class {
    /// How many nodes.
    pub nodes: usize,
    /// How many devices they have in all, by resource.
    pub resources: BTreeMap<String, u64>,
    /// Their GPUs, one entry for each kind; empty if nothing is known.
    pub gpus: Vec<Gpu>,
    /// Memory of one GPU in MiB, as labels tell it: from least to most.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: Vec<u64>,
    /// How the GPUs are divided, as labels tell it.
    pub sharing: Vec<String>,
    /// Where this was read.
    pub read_from: Vec<&'static str>,
    /// Why nothing is known of the GPUs, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<&'static str>,
    /// Names of some of the nodes.
    pub examples: Vec<String>,
}

/// Equal GPUs of each node of a class. What is not known is absent.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// How many of them a node has, where it has several kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Product name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Compute capability, as `8.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<String>,
    /// Compute capability, as `sm_80`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Newest CUDA version that the driver offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// Architecture of the processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How the container runtime gives GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Profile of the MIG devices that this entry is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig_profile: Option<String>,
}

impl Inventory {
    /// What a fleet has. `nodes` counts all nodes, those without GPUs included.
    #[must_use]
    pub fn of(fleet: &Fleet, nodes: usize, catalog: &Catalog) -> Self {
        let classes = fleet.classes().filter(|(_, _, nodes)| *nodes > 0);
        let class = |(id, knowledge, nodes)| Class::of(fleet, id, knowledge, nodes, catalog);
        Self {
            nodes,
            gpu_nodes: fleet.nodes(),
            classes: classes.map(class).collect(),
        }
    }

    /// The names of all products, without those that are not known.
    #[must_use]
    pub fn products(&self) -> BTreeSet<String> {
        let gpus = self.classes.iter().flat_map(|class| &class.gpus);
        gpus.filter_map(|gpu| gpu.product.clone()).collect()
    }
}

impl Class {
    fn of(
        fleet: &Fleet,
        id: ClassId,
        knowledge: &Knowledge,
        nodes: usize,
        catalog: &Catalog,
    ) -> Self {
        let resources = fleet.devices(id).into_iter();
        let groups = knowledge.groups(None);
        Self {
            nodes,
            resources: resources
                .map(|(name, all)| (name.to_owned(), all))
                .collect(),
            gpus: groups.map(|group| Gpu::of(group, catalog)).collect(),
            memory_mib: memory(fleet, id),
            sharing: sharing(fleet, id),
            read_from: fleet.origins(id).map(Origin::words).collect(),
            unknown: knowledge.doubt().map(Doubt::words),
            examples: fleet.names(id).take(EXAMPLES).map(str::to_owned).collect(),
        }
    }

    /// How many devices there are in all.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.resources
            .values()
            .fold(0, |all, count| all.saturating_add(*count))
    }

    /// The products, each with its number where there are several.
    #[must_use]
    pub fn product(&self) -> String {
        if self.gpus.is_empty() {
            return "unknown".to_owned();
        }
        let name = |gpu: &Gpu| {
            let product = gpu.product.as_deref().unwrap_or("?");
            let profile = gpu.mig_profile.as_deref();
            let profile = profile.filter(|profile| !product.ends_with(profile));
            let profile = profile.map_or_else(String::new, |profile| format!(" MIG {profile}"));
            let count = gpu
                .count
                .map_or_else(String::new, |count| format!("{count}x "));
            format!("{count}{product}{profile}")
        };
        self.gpus.iter().map(name).collect::<Vec<_>>().join(" + ")
    }

    /// Something of every GPU, once if it is the same for all.
    pub fn each(&self, of: impl Fn(&Gpu) -> Option<String>) -> String {
        let mut found: Vec<String> = Vec::new();
        for gpu in &self.gpus {
            let text = of(gpu).unwrap_or_else(|| "?".to_owned());
            if !found.contains(&text) {
                found.push(text);
            }
        }
        if found.is_empty() {
            "?".to_owned()
        } else {
            found.join(" + ")
        }
    }

    /// The memory of a GPU in GiB.
    #[must_use]
    pub fn memory(&self) -> String {
        let gib = |mib: u64| format!("{}", (mib + 512) / 1024);
        match (self.memory_mib.first(), self.memory_mib.last()) {
            (Some(least), Some(most)) if gib(*least) != gib(*most) => {
                format!("{}-{} GiB", gib(*least), gib(*most))
            }
            (Some(least), _) => format!("{} GiB", gib(*least)),
            (None, _) => "?".to_owned(),
        }
    }

    /// How many there are of each resource: `nvidia.com/gpu 8`.
    #[must_use]
    pub fn resource_counts(&self) -> String {
        let counts = self.resources.iter();
        let counts: Vec<String> = counts
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        counts.join(", ")
    }

    /// What a narrow table says beside the columns: why nothing is known, how GPUs are divided.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let unknown = self.unknown.map(str::to_owned);
        unknown
            .into_iter()
            .chain(self.sharing.iter().cloned())
            .collect()
    }

    /// Some names, and how many more there are.
    #[must_use]
    pub fn example_names(&self) -> String {
        let names = self.examples.join(", ");
        match self.nodes.saturating_sub(self.examples.len()) {
            0 => names,
            more => format!("{names} and {more} more"),
        }
    }
}

impl Gpu {
    fn of(group: &Group, catalog: &Catalog) -> Self {
        let host = &group.host;
        let chip = host
            .capability
            .and_then(|capability| catalog.chip(capability));
        let offered = crate::compat::rules::offer::Offer::of(catalog, host, chip).exact();
        Self {
            count: group.count,
            product: host.product.as_deref().map(str::to_owned),
            compute_capability: host.capability.map(|capability| capability.to_string()),
            target: host
                .capability
                .map(|capability| format!("sm_{}", capability.number())),
            driver: host.driver.map(|driver| driver.to_string()),
            cuda: offered.map(|cuda| cuda.to_string()),
            architecture: host.architecture.map(|word| word.to_string()),
            runtime: host.runtime.map(|word| word.to_string()),
            mig_profile: match &group.serves {
                Serves::Mig(profile) => Some(profile.to_string()),
                Serves::Any | Serves::Whole => None,
            },
        }
    }
}

fn memory(fleet: &Fleet, id: ClassId) -> Vec<u64> {
    let told = MEMORY
        .iter()
        .map(|key| fleet.label_values(id, key))
        .find(|values| !values.is_empty())
        .unwrap_or_default();
    let sizes: BTreeSet<u64> = told.keys().filter_map(|text| text.parse().ok()).collect();
    sizes.into_iter().collect()
}

/// How GPUs are divided. That they are not, which labels also say, is left out.
fn sharing(fleet: &Fleet, id: ClassId) -> Vec<String> {
    const NOT: [&str; 4] = ["none", "0", "1", ""];
    let mut found = BTreeSet::new();
    for (key, words) in SHARING {
        for value in fleet.label_values(id, key).into_keys() {
            if !NOT.contains(&value.as_str()) {
                found.insert(format!("{words} {value}"));
            }
        }
    }
    found.into_iter().collect()
}
