//! What is known of a node, source by source.

use serde_json::{Value, json};

use super::*;
use crate::compat::Catalog;

const GPU: &str = "nvidia.com/gpu";

fn settings(trust: GfdTrust) -> Settings {
    Settings {
        trust,
        ..Settings::default()
    }
}

fn judged(node: &Value, trust: GfdTrust) -> Option<Knowledge> {
    let mut roster = Roster::new(settings(trust), Catalog::embedded());
    roster.put_node(&NodeObject::from_json(node).unwrap());
    let fleet = roster.fleet();
    fleet
        .classes()
        .next()
        .map(|(_, knowledge, _)| knowledge.clone())
}

fn known(node: &Value) -> Option<Knowledge> {
    judged(node, GfdTrust::OneModel)
}

fn doubt(node: &Value) -> Option<Doubt> {
    known(node)?.doubt()
}

/// `product (capability) driver` of each group.
fn hosts(knowledge: &Knowledge, resource: &str) -> Vec<String> {
    let kind = GpuResources::default().kind(resource);
    let text = |group: &Group| {
        let host = &group.host;
        format!(
            "{} ({}) {}",
            host.product.as_deref().unwrap_or("?"),
            host.capability
                .map_or("?".to_owned(), |capability| capability.to_string()),
            host.driver
                .map_or("?".to_owned(), |driver| driver.to_string()),
        )
    };
    knowledge.groups(kind.as_ref()).map(text).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn node(labels: Value, resources: Value) -> Value {
    json!({"metadata": {"name": "n", "labels": labels},
        "status": {"capacity": resources, "nodeInfo": {"bootID": "b1", "architecture": "amd64"}}})
}

fn gfd() -> Value {
    json!({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.count": "8", "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.compute.major": "8", "nvidia.com/gpu.compute.minor": "0",
        "nvidia.com/cuda.driver-version.full": "550.54.15", "nvidia.com/cuda.driver-version.major": "550",
        "nvidia.com/cuda.runtime-version.major": "12", "nvidia.com/cuda.runtime-version.minor": "4"})
}

fn with(mut labels: Value, key: &str, value: &str) -> Value {
    labels[key] = json!(value);
    labels
}

fn inventory(boot: &str) -> Value {
    let text = json!({"schema": 1, "groups": [
        {"product": "Tesla T4", "computeCapability": "7.5", "memoryMiB": 15360, "count": 1},
        {"product": "NVIDIA A100-SXM4-80GB", "computeCapability": "8.0", "memoryMiB": 81920, "count": 2}],
        "driver": "550.54.15", "cuda": "12.4", "platform": "dgpu", "bootID": boot});
    json!({"gpu-capgate.io/inventory": text.to_string()})
}

#[test]
fn our_inventory_goes_before_all_else_while_it_is_fresh() {
    let mut node = node(gfd(), json!({GPU: "3"}));
    node["metadata"]["annotations"] = inventory("b1");
    let found = known(&node).unwrap();
    assert_eq!(
        hosts(&found, GPU),
        [
            "Tesla T4 (7.5) 550.54.15",
            "NVIDIA A100-SXM4-80GB (8.0) 550.54.15"
        ]
    );
    let counts: Vec<_> = found.groups(None).map(|group| group.count).collect();
    assert_eq!(counts, [Some(1), Some(2)]);
    node["metadata"]["annotations"] = inventory("b0");
    assert_eq!(doubt(&node), Some(Doubt::Stale));
    node["metadata"]["annotations"] = json!({"gpu-capgate.io/inventory": "{\"schema\": 99}"});
    assert_eq!(doubt(&node), Some(Doubt::Unreadable));
}

#[test]
fn our_labels_alone_are_enough() {
    let labels = json!({"gpu-capgate.io/gpu.count": "2", "gpu-capgate.io/product.Tesla-T4": "2", "gpu-capgate.io/sm-75": "2",
        "gpu-capgate.io/driver.version": "535.104.05", "gpu-capgate.io/platform": "dgpu", "gpu-capgate.io/runtime.mode": "unknown"});
    let found = known(&node(labels, json!({GPU: "2"}))).unwrap();
    assert_eq!(hosts(&found, GPU), ["Tesla T4 (7.5) 535.104.05"]);
}

#[test]
fn discovery_labels_of_both_generations_are_read() {
    let found = known(&node(gfd(), json!({GPU: "8"}))).unwrap();
    assert_eq!(
        hosts(&found, GPU),
        ["NVIDIA A100-SXM4-80GB (8.0) 550.54.15"]
    );
    let group = found.groups(None).next().unwrap();
    assert!(
        group.host.class.is_some()
            && group.host.cuda.is_some()
            && group.host.architecture.is_some()
    );
    let old = json!({"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": "1", "nvidia.com/cuda.driver.major": "470",
        "nvidia.com/cuda.driver.minor": "57", "nvidia.com/cuda.driver.rev": "02", "nvidia.com/cuda.runtime.major": "11", "nvidia.com/cuda.runtime.minor": "4"});
    let found = known(&node(old, json!({GPU: "1"}))).unwrap();
    assert_eq!(hosts(&found, GPU), ["Tesla T4 (7.5) 470.57.02"]);
}

#[test]
fn discovery_labels_that_count_other_gpus_betray_several_models() {
    assert_eq!(
        doubt(&node(gfd(), json!({GPU: "9"}))),
        Some(Doubt::SeveralModels)
    );
    assert_eq!(
        doubt(&node(gfd(), json!({}))),
        None,
        "a resource that is not there yet betrays nothing"
    );
    let shared = with(gfd(), "nvidia.com/gpu.replicas", "4");
    assert_eq!(doubt(&node(shared.clone(), json!({GPU: "32"}))), None);
    assert_eq!(
        doubt(&node(
            shared.clone(),
            json!({"nvidia.com/gpu.shared": "32"})
        )),
        None
    );
    assert_eq!(
        doubt(&node(shared, json!({GPU: "8"}))),
        Some(Doubt::SeveralModels)
    );
    assert_eq!(
        judged(&node(gfd(), json!({GPU: "8"})), GfdTrust::Nothing),
        Some(Knowledge::Unknown(Doubt::Untrusted))
    );
    let flapping = with(gfd(), "nvidia.com/gpu.compute.major", "7");
    assert_eq!(
        doubt(&node(flapping, json!({GPU: "8"}))),
        Some(Doubt::Contradictory)
    );
}

#[test]
fn mig_devices_are_found_under_their_resource() {
    let single = json!({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "nvidia.com/gpu.count": "7",
        "nvidia.com/gpu.replicas": "1", "nvidia.com/mig.strategy": "single"});
    assert_eq!(
        hosts(
            &known(&node(single.clone(), json!({GPU: "7"}))).unwrap(),
            GPU
        ),
        ["NVIDIA A100-SXM4-40GB (8.0) ?"]
    );
    let invalid = with(
        single,
        "nvidia.com/gpu.product",
        "NVIDIA-A100-SXM4-40GB-MIG-INVALID",
    );
    assert_eq!(doubt(&node(invalid, json!({}))), Some(Doubt::MigLayout));
    let mut mixed = with(gfd(), "nvidia.com/mig.strategy", "mixed");
    mixed["nvidia.com/mig-1g.10gb.count"] = json!("7");
    mixed["nvidia.com/mig-1g.10gb.replicas"] = json!("1");
    mixed["nvidia.com/mig-1g.10gb.product"] = json!("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb");
    let found = known(&node(
        mixed.clone(),
        json!({GPU: "7", "nvidia.com/mig-1g.10gb": "7"}),
    ))
    .unwrap();
    assert_eq!(
        hosts(&found, "nvidia.com/mig-1g.10gb"),
        ["NVIDIA-A100-SXM4-80GB-MIG-1g.10gb (8.0) 550.54.15"]
    );
    assert_eq!(
        hosts(&found, GPU),
        ["NVIDIA A100-SXM4-80GB (8.0) 550.54.15"]
    );
    let more = node(mixed, json!({GPU: "7", "nvidia.com/mig-1g.10gb": "9"}));
    assert_eq!(doubt(&more), Some(Doubt::SeveralModels));
}

#[test]
fn a_driver_upgrade_makes_a_node_unknown_while_it_runs() {
    for (state, expected) in [
        ("", None),
        ("upgrade-required", None),
        ("upgrade-done", None),
        ("cordon-required", Some(Doubt::DriverUpgrade)),
        ("upgrade-failed", Some(Doubt::DriverUpgrade)),
    ] {
        let labels = with(gfd(), "nvidia.com/gpu-driver-upgrade-state", state);
        assert_eq!(doubt(&node(labels, json!({GPU: "8"}))), expected, "{state}");
    }
}

#[test]
fn clouds_tell_the_model_and_not_the_driver() {
    let by = |key: &str, value: &str| known(&node(with(json!({}), key, value), json!({})));
    let host = |key: &str, value: &str| hosts(&by(key, value).unwrap(), GPU);
    assert_eq!(
        host("cloud.google.com/gke-accelerator", "nvidia-tesla-t4"),
        ["Tesla T4 (7.5) ?"]
    );
    assert_eq!(
        host("cloud.google.com/gke-accelerator", "nvidia-l4-vws"),
        ["NVIDIA L4 (8.9) ?"]
    );
    assert_eq!(
        host("node.kubernetes.io/instance-type", "p4d.24xlarge"),
        ["NVIDIA A100-SXM4-40GB (8.0) ?"]
    );
    assert_eq!(
        host("node.kubernetes.io/instance-type", "Standard_NC4as_T4_v3"),
        ["Tesla T4 (7.5) ?"]
    );
    assert_eq!(
        host("node.kubernetes.io/instance-type", "BM.GPU.L40S.4"),
        ["NVIDIA L40S (8.9) ?"]
    );
    assert_eq!(
        host("karpenter.azure.com/sku-gpu-name", "T4"),
        ["Tesla T4 (7.5) ?"]
    );
    assert_eq!(
        host("aliyun.accelerator/nvidia_name", "Tesla-V100-SXM2-16GB"),
        ["Tesla V100-SXM2-16GB (7.0) ?"]
    );
    assert_eq!(by("node.kubernetes.io/instance-type", "m5.large"), None);
    let unknown = |doubt| Some(Knowledge::Unknown(doubt));
    assert_eq!(
        by("cloud.google.com/gke-accelerator", "nvidia-next"),
        unknown(Doubt::UnknownModel)
    );
    assert_eq!(
        by("node.kubernetes.io/instance-type", "Standard_NV6"),
        unknown(Doubt::UnknownModel)
    );
    assert_eq!(
        by("feature.node.kubernetes.io/pci-10de.present", "true"),
        unknown(Doubt::Unlabelled)
    );
    let amd = json!({"karpenter.k8s.aws/instance-gpu-name": "radeon-pro-v520", "karpenter.k8s.aws/instance-gpu-manufacturer": "amd"});
    assert_eq!(known(&node(amd, json!({}))), None);
}

#[test]
fn an_agent_that_is_away_takes_its_inventory_with_it() {
    let mut roster = Roster::new(settings(GfdTrust::OneModel), Catalog::embedded());
    let mut object = node(json!({}), json!({GPU: "3"}));
    object["metadata"]["annotations"] = inventory("b1");
    roster.put_node(&NodeObject::from_json(&object).unwrap());
    roster.distrust("n");
    let away = roster.fleet();
    let (_, knowledge, _) = away.classes().next().unwrap();
    assert_eq!(knowledge.doubt(), Some(Doubt::AgentAway));
    roster.trust("n");
    let back = roster.fleet();
    assert_eq!(back.classes().next().unwrap().1.doubt(), None);
}

#[test]
fn equal_nodes_are_one_class_and_their_labels_may_differ() {
    let mut roster = Roster::new(settings(GfdTrust::OneModel), Catalog::embedded());
    for (name, pool) in [("a", "x"), ("b", "y")] {
        let mut object = node(with(gfd(), "pool", pool), json!({GPU: "8"}));
        object["metadata"]["name"] = json!(name);
        roster.put_node(&NodeObject::from_json(&object).unwrap());
    }
    let fleet = roster.fleet();
    let classes: Vec<_> = fleet.classes().map(|(id, _, nodes)| (id, nodes)).collect();
    let [(id, 2)] = classes.as_slice() else {
        panic!("{classes:?}")
    };
    assert_eq!(fleet.names(*id).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn labels_that_nobody_has_any_more_are_let_go() {
    let mut roster = Roster::new(settings(GfdTrust::OneModel), Catalog::embedded());
    let mut last = 0;
    for round in 0..3000 {
        let object = node(
            json!({"stamp": round.to_string(), "pool": "x"}),
            json!({GPU: "1"}),
        );
        roster.put_node(&NodeObject::from_json(&object).unwrap());
        if round % 100 == 0 {
            last = roster.fleet().bytes();
        }
    }
    assert!(roster.table.pairs() < 3000 && last < 200_000, "{last}");
}
