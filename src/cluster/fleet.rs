//! The cluster's nodes, as far as placing GPU Pods goes: a compact snapshot, replaced whole when a node changes.
//!
//! Pure. Nodes whose GPUs are equal share one class, so that a Pod is judged once for each class and not for each node.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node as KubernetesNode, Taint};

use crate::compat::{Catalog, CpuArchitecture, Host};
use crate::labels::{self, NodeGpus};

/// The nodes at one moment.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// By name.
    pub nodes: BTreeMap<String, Node>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// The most of the GPU resource that it is known to have had.
    pub gpus: u32,
    /// What its GPUs are.
    pub knowledge: Knowledge,
}

/// What is known of a node's GPUs.
#[derive(Debug, Clone, PartialEq)]
pub enum Knowledge {
    /// No GPUs, as far as anything tells.
    None,
    /// GPUs, of which this is known: one host for each group of equal GPUs.
    Known(Arc<[Host]>),
    /// GPUs, of which nothing can be said.
    Unknown(Doubt),
}

/// Why nothing can be said of a node's GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It advertises GPUs and has no inventory.
    Unlabelled,
    /// Its inventory was written before the node booted.
    Stale,
    /// Its inventory cannot be read.
    Unreadable,
}

impl Node {
    /// What matters of a Node object; `resource` is the extended resource that counts GPUs.
    #[must_use]
    pub fn from_kubernetes(node: &KubernetesNode, resource: &str, catalog: &Catalog) -> Self {
        let taints = node
            .spec
            .as_ref()
            .and_then(|spec| spec.taints.clone())
            .unwrap_or_default();
        let advertised = advertised(node, resource);
        let (knowledge, listed) = knowledge(node, advertised, catalog);
        Self {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints,
            gpus: advertised.max(listed),
            knowledge,
        }
    }
}

/// The greater of capacity and allocatable: GPUs that are unhealthy for the moment may come back.
fn advertised(node: &KubernetesNode, resource: &str) -> u32 {
    let Some(status) = node.status.as_ref() else {
        return 0;
    };
    let count = |quantities: Option<&BTreeMap<String, _>>| {
        let quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            quantities.and_then(|quantities| quantities.get(resource));
        quantity
            .and_then(|quantity| quantity.0.parse::<u32>().ok())
            .unwrap_or_default()
    };
    count(status.capacity.as_ref()).max(count(status.allocatable.as_ref()))
}

/// What the node's inventory says, and how many GPUs it lists.
fn knowledge(node: &KubernetesNode, advertised: u32, catalog: &Catalog) -> (Knowledge, u32) {
    let nothing = BTreeMap::new();
    let annotations = node.metadata.annotations.as_ref().unwrap_or(&nothing);
    let info = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.as_ref());
    match labels::decode(annotations) {
        Err(_) => (Knowledge::Unknown(Doubt::Unreadable), 0),
        Ok(None) if advertised > 0 => (Knowledge::Unknown(Doubt::Unlabelled), 0),
        Ok(None) => (Knowledge::None, 0),
        Ok(Some(gpus)) if info.is_some_and(|info| info.boot_id != gpus.boot_id) => {
            (Knowledge::Unknown(Doubt::Stale), 0)
        }
        Ok(Some(gpus)) => {
            let architecture = info.and_then(|info| info.architecture.parse().ok());
            let listed = gpus.groups.iter().map(|group| group.count).sum();
            match hosts(&gpus, architecture, catalog) {
                hosts if hosts.is_empty() => (Knowledge::None, 0),
                hosts => (Knowledge::Known(hosts), listed),
            }
        }
    }
}

/// One host for each group of equal GPUs. The capability is the inventory's: a name only adds class and brand.
fn hosts(gpus: &NodeGpus, architecture: Option<CpuArchitecture>, catalog: &Catalog) -> Arc<[Host]> {
    let host = |group: &labels::GpuGroup| {
        let known = catalog.find_gpu(&group.product).found();
        let known = known.filter(|gpu| gpu.capability == group.compute_capability);
        Host {
            product: Some(group.product.as_str().into()),
            capability: Some(group.compute_capability),
            class: known.and_then(|gpu| gpu.class),
            brands: known.map(|gpu| gpu.brands.clone()).unwrap_or_default(),
            platform: Some(gpus.platform),
            driver: gpus.driver,
            cuda: gpus.cuda,
            architecture,
            runtime: gpus.runtime,
        }
    };
    gpus.groups.iter().map(host).collect()
}
