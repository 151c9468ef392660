//! What our own agent wrote on a node: the exact inventory, or the labels that summarise it.
//!
//! Pure. An inventory is believed while it is fresh; one that is not makes the node unknown, whatever else it carries.

use super::super::object::NodeObject;
use super::model::{Models, architecture};
use super::{Doubt, Finding, Group, Listed, Serves, offered};
use crate::cluster::resource::GpuResources;
use crate::compat::Host;
use crate::labels::{self, GpuGroup, NodeGpus, Summary};

/// What the agent says of a node; `None` if it has written nothing, or says that there is no GPU and none is offered.
pub(super) fn read(
    node: &NodeObject,
    models: &mut Models<'_>,
    resources: &GpuResources,
) -> Option<Finding> {
    match labels::decode(&node.annotations) {
        Err(_) => Some(Finding::unknown(Doubt::Unreadable, Listed::Uncounted)),
        Ok(Some(gpus)) if !is_fresh(&gpus, node) => {
            Some(Finding::unknown(Doubt::Stale, count(&gpus.groups)))
        }
        Ok(Some(gpus)) if gpus.groups.is_empty() => {
            (offered(node, resources) > 0).then(|| Finding::unknown(Doubt::Empty, Listed::Nothing))
        }
        Ok(Some(gpus)) => Some(exact(&gpus, node, models)),
        Ok(None) => summarised(&labels::summary(&node.labels)?, node, models),
    }
}

/// A node that does not report its boot, as in a file that a person wrote, has nothing to contradict the inventory.
fn is_fresh(gpus: &NodeGpus, node: &NodeObject) -> bool {
    node.boot_id
        .as_ref()
        .is_none_or(|boot| *boot == gpus.boot_id)
}

fn count(groups: &[GpuGroup]) -> Listed {
    Listed::Count(groups.iter().map(|group| u64::from(group.count)).sum())
}

fn exact(gpus: &NodeGpus, node: &NodeObject, models: &mut Models<'_>) -> Finding {
    let architecture = architecture(node);
    let mut group = |group: &GpuGroup| Group {
        host: Host {
            platform: Some(gpus.platform),
            driver: gpus.driver,
            cuda: gpus.cuda,
            architecture,
            runtime: gpus.runtime,
            ..models.measured(&group.product, group.compute_capability)
        },
        serves: Serves::Any,
        count: (gpus.groups.len() > 1).then_some(group.count),
    };
    let groups = gpus.groups.iter().map(&mut group).collect();
    Finding::known(groups, count(&gpus.groups))
}

/// From the labels alone. Products and capabilities are counted apart from each other there: they are paired where
/// there is one of each, or where the knowledge base knows the capability of every product and the counts agree.
fn summarised(summary: &Summary, node: &NodeObject, models: &mut Models<'_>) -> Option<Finding> {
    let listed = summary
        .count
        .map_or(Listed::Uncounted, |count| Listed::Count(count.into()));
    if summary.count == Some(0) {
        return None;
    }
    let hosts = paired(summary, models);
    if hosts.is_empty() {
        return Some(Finding::unknown(Doubt::Unreadable, listed));
    }
    let several = hosts.len() > 1;
    let architecture = architecture(node);
    let group = |(host, count): (Host, u32)| Group {
        host: Host {
            platform: summary.platform.or(host.platform),
            driver: summary.driver,
            cuda: summary.cuda,
            architecture,
            runtime: summary.runtime,
            ..host
        },
        serves: Serves::Any,
        count: several.then_some(count),
    };
    Some(Finding::known(
        hosts.into_iter().map(group).collect(),
        listed,
    ))
}

fn paired(summary: &Summary, models: &mut Models<'_>) -> Vec<(Host, u32)> {
    let (products, capabilities) = (&summary.products, &summary.capabilities);
    if let ([(product, count)], [(capability, _)]) = (products.as_slice(), capabilities.as_slice())
    {
        return vec![(models.measured(product, *capability), *count)];
    }
    let named: Option<Vec<(Host, u32)>> = products
        .iter()
        .map(|(product, count)| Some((models.named(product)?, *count)))
        .collect();
    let of = |hosts: &[(Host, u32)], capability| -> u32 {
        let same = hosts
            .iter()
            .filter(|(host, _)| host.capability == Some(capability));
        same.map(|(_, count)| *count).sum()
    };
    match named {
        Some(hosts)
            if !hosts.is_empty()
                && capabilities
                    .iter()
                    .all(|(capability, count)| of(&hosts, *capability) == *count) =>
        {
            hosts
        }
        _ => capabilities
            .iter()
            .map(|(capability, count)| (Host::of_capability(*capability), *count))
            .collect(),
    }
}
