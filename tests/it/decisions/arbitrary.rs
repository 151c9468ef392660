//! Random nodes and objects of few kinds that often meet: GPUs that fail, fit and are not known; images of all sorts.

use gpu_capgate::labels;
use gpu_capgate::node::inventory::Inventory;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::support::gpu;
use crate::webhook::{RESOURCE, WITH_SM_60, WITHOUT_SM_60, unlabelled};

/// A node with one GPU that our agent has labelled.
pub(super) fn known(product: &str, capability: &str, driver: &str, cuda: &str) -> Value {
    holding(&[gpu("GPU-1", product, capability)], driver, cuda)
}

fn holding(gpus: &[String], driver: &str, cuda: &str) -> Value {
    let inventory = format!(
        "{{driver: {driver}, cuda: \"{cuda}\", gpus: [{}]}}",
        gpus.join(", ")
    );
    let gpus = Inventory::parse(&inventory).unwrap().node_gpus("boot-1");
    let mut node = unlabelled();
    node["metadata"]["name"] = json!("n");
    node["metadata"]["annotations"] = json!(labels::encode(&gpus).annotations);
    node
}

fn hardware() -> Vec<Value> {
    let mixed = [
        gpu("GPU-1", "Tesla P100-PCIE-16GB", "6.0"),
        gpu("GPU-2", "NVIDIA L4", "8.9"),
    ];
    vec![
        known("Tesla P100-PCIE-16GB", "6.0", "570.86.15", "12.8"),
        known("Tesla P100-PCIE-16GB", "6.0", "525.60.13", "12.0"),
        known("Tesla M40", "5.2", "570.86.15", "12.8"),
        known("NVIDIA A100-SXM4-80GB", "8.0", "570.86.15", "12.8"),
        known("NVIDIA GeForce RTX 4090", "8.9", "470.82.01", "11.4"),
        holding(&mixed, "570.86.15", "12.8"),
        unlabelled(),
    ]
}

/// A few nodes in two pools, some tainted.
pub(super) fn nodes() -> impl Strategy<Value = Vec<Value>> {
    let taints = select(vec![
        json!([]),
        json!([]),
        json!([{"key": "team", "value": "x", "effect": "NoSchedule"}]),
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]),
        json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]),
    ]);
    let node = (
        select(hardware()),
        select(vec!["a", "b"]),
        taints,
        select(vec!["1", "2", "8"]),
    );
    let node = node.prop_map(|(mut node, pool, taints, amount)| {
        node["metadata"]["labels"] = json!({"pool": pool});
        node["spec"] = json!({"taints": taints});
        for amounts in ["capacity", "allocatable"] {
            node["status"][amounts] = json!({RESOURCE: amount, "cpu": "8"});
        }
        node
    });
    prop::collection::vec(node, 0..6)
}

fn container() -> impl Strategy<Value = Value> {
    let images = select(vec![
        WITHOUT_SM_60,
        WITHOUT_SM_60,
        WITH_SM_60,
        "pytorch/pytorch:2.6.0-cuda11.8-cudnn9-runtime",
        "nvidia/cuda:12.6.3-base-ubuntu22.04",
        "nvcr.io/nvidia/pytorch:25.01-py3",
        "rocm/pytorch:latest",
        "registry.example.com/team/own:1",
        "registry.example.com/team/own:2.8.0-cu128",
    ]);
    let command = option::weighted(
        0.2,
        select(vec![
            json!(["pip", "install", "torch"]),
            json!(["python", "train.py"]),
        ]),
    );
    (images, select(vec!["1", "1", "2"]), command).prop_map(|(image, amount, command)| {
        let mut container =
            json!({"name": "train", "image": image, "resources": {"limits": {RESOURCE: amount}}});
        if let Some(command) = command {
            container["command"] = command;
        }
        container
    })
}

/// A Pod or something that makes Pods.
pub(super) fn object() -> impl Strategy<Value = Value> {
    let containers = prop::collection::vec(container(), 1..3);
    let selector = select(vec![
        json!({}),
        json!({}),
        json!({"pool": "a"}),
        json!({"pool": "b"}),
        json!({"pool": "c"}),
    ]);
    let tolerations = select(vec![
        json!([]),
        json!([{"key": "team", "operator": "Exists"}]),
        json!([{"operator": "Exists"}]),
    ]);
    let annotations = select(vec![
        json!({}),
        json!({}),
        json!({"gpu-capgate.io/mode": "warn"}),
        json!({"gpu-capgate.io/mode": "audit"}),
        json!({"gpu-capgate.io/mode": "nonsense"}),
        json!({"gpu-capgate.io/requires": "cuda=12.6; sm=60"}),
    ]);
    (containers, selector, tolerations, annotations, 0..4).prop_map(object_of)
}

fn object_of(
    (mut containers, selector, tolerations, annotations, kind): (
        Vec<Value>,
        Value,
        Value,
        Value,
        i32,
    ),
) -> Value {
    if let Some(second) = containers.get_mut(1) {
        second["name"] = json!("second");
    }
    let spec =
        json!({"containers": containers, "nodeSelector": selector, "tolerations": tolerations});
    let template = json!({"metadata": {"annotations": annotations}, "spec": spec});
    let metadata = json!({"name": "train", "namespace": "ml"});
    match kind {
        0 => {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}})
        }
        1 => json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
            "spec": {"suspend": true, "template": template}}),
        _ => json!({"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {"name": "train", "namespace": "ml", "annotations": template["metadata"]["annotations"]}}),
    }
}
