//! Which nodes a Pod could land on: the scheduler's static filters, in their widest sense.
//!
//! Pure. Wide on purpose: what passes by itself (a cordon, an unready node, GPUs in use) excludes nothing, because a
//! Pod may only be refused if no node could ever run it. Sources: pkg/scheduler/framework/plugins/{nodename,
//! nodeaffinity,tainttoleration,noderesources} of Kubernetes.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::demand::{Demand, Placement};
use super::fleet::{Fleet, Knowledge, Node};

/// Taints that come and go with a node's condition and say nothing of its hardware
/// (`k8s.io/api/core/v1/well_known_taints.go`; cloud-provider's own).
const PASSING_TAINTS: [&str; 8] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.cloudprovider.kubernetes.io/uninitialized",
];

/// The GPU nodes that a Pod could land on.
#[must_use]
pub fn possible<'a>(demand: &Demand, fleet: &'a Fleet) -> Vec<&'a Node> {
    let wanted = demand
        .containers
        .iter()
        .map(|container| container.gpus)
        .max()
        .unwrap_or_default();
    fleet
        .nodes
        .iter()
        .filter(|(name, node)| fits(&demand.placement, name, node) && has_gpus(node, wanted))
        .map(|(_, node)| node)
        .collect()
}

fn fits(placement: &Placement, name: &str, node: &Node) -> bool {
    let named = placement
        .node_name
        .as_ref()
        .is_none_or(|wanted| wanted == name);
    let selected = placement
        .node_selector
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    named && selected && node.taints.iter().all(|taint| lets_in(taint, placement))
}

fn has_gpus(node: &Node, wanted: u32) -> bool {
    match node.knowledge {
        Knowledge::None => false,
        Knowledge::Known(_) | Knowledge::Unknown(_) => node.gpus >= wanted,
    }
}

fn lets_in(taint: &Taint, placement: &Placement) -> bool {
    let binding = match taint.effect.as_str() {
        // A Pod that names its node never meets the scheduler.
        "NoSchedule" => placement.node_name.is_none(),
        "NoExecute" => true,
        _ => false,
    };
    !binding
        || PASSING_TAINTS.contains(&taint.key.as_str())
        || placement
            .tolerations
            .iter()
            .any(|toleration| tolerates(toleration, taint))
}

/// `Toleration.ToleratesTaint` of k8s.io/api/core/v1. The comparisons Gt and Lt (off by default) count as tolerating:
/// a wider set of nodes can only make a refusal rarer.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "" | "Equal" => {
            !key.is_empty()
                && toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("")
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::demand::ContainerDemand;
    use crate::cluster::fleet::Doubt;

    fn node(labels: &[(&str, &str)], taints: &[(&str, &str)]) -> Node {
        let taint = |&(key, effect): &(&str, &str)| Taint {
            key: key.to_owned(),
            effect: effect.to_owned(),
            ..Taint::default()
        };
        Node {
            labels: labels
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            taints: taints.iter().map(taint).collect(),
            gpus: 2,
            knowledge: Knowledge::Unknown(Doubt::Unlabelled),
        }
    }

    fn demand() -> Demand {
        let container = ContainerDemand {
            name: "c".to_owned(),
            field: "spec.containers[0].image".to_owned(),
            image: "i".to_owned(),
            gpus: 1,
            changed: None,
        };
        let placement = Placement {
            node_name: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            unread: None,
        };
        Demand {
            containers: vec![container],
            placement,
            mode: None,
        }
    }

    fn count(demand: &Demand, nodes: Vec<Node>) -> usize {
        let named = nodes
            .into_iter()
            .enumerate()
            .map(|(index, node)| (format!("n{index}"), node));
        possible(
            demand,
            &Fleet {
                nodes: named.collect(),
            },
        )
        .len()
    }

    #[test]
    fn the_selector_must_match_exactly() {
        let mut demand = demand();
        demand.placement.node_selector = BTreeMap::from([("pool".to_owned(), "a".to_owned())]);
        let nodes = vec![
            node(&[("pool", "a")], &[]),
            node(&[("pool", "b")], &[]),
            node(&[], &[]),
        ];
        assert_eq!(count(&demand, nodes), 1);
    }

    #[test]
    fn a_lasting_taint_excludes_unless_tolerated() {
        let mut demand = demand();
        let tainted = || vec![node(&[], &[("team", "NoSchedule")])];
        assert_eq!(count(&demand, tainted()), 0);
        demand.placement.tolerations = vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }];
        assert_eq!(count(&demand, tainted()), 1);
    }

    #[test]
    fn a_node_that_is_down_for_now_is_still_possible() {
        let down = [
            ("node.kubernetes.io/not-ready", "NoExecute"),
            ("node.kubernetes.io/unschedulable", "NoSchedule"),
        ];
        assert_eq!(count(&demand(), vec![node(&[], &down)]), 1);
    }

    #[test]
    fn a_preference_excludes_nothing() {
        assert_eq!(
            count(&demand(), vec![node(&[], &[("team", "PreferNoSchedule")])]),
            1
        );
    }

    #[test]
    fn a_named_node_is_the_only_one_and_ignores_no_schedule() {
        let mut demand = demand();
        demand.placement.node_name = Some("n1".to_owned());
        assert_eq!(
            count(
                &demand,
                vec![node(&[], &[]), node(&[], &[("team", "NoSchedule")])]
            ),
            1
        );
    }

    #[test]
    fn a_node_with_too_few_gpus_is_none() {
        let mut demand = demand();
        demand.containers[0].gpus = 3;
        assert_eq!(count(&demand, vec![node(&[], &[])]), 0);
    }

    #[test]
    fn an_equal_toleration_compares_the_value() {
        let mut demand = demand();
        let mut tainted = node(&[], &[("team", "NoSchedule")]);
        tainted.taints[0].value = Some("red".to_owned());
        let toleration = |value: &str| Toleration {
            key: Some("team".to_owned()),
            value: Some(value.to_owned()),
            ..Toleration::default()
        };
        demand.placement.tolerations = vec![toleration("blue")];
        assert_eq!(count(&demand, vec![tainted.clone()]), 0);
        demand.placement.tolerations = vec![toleration("red")];
        assert_eq!(count(&demand, vec![tainted]), 1);
    }
}
