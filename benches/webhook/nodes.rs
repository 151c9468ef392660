//! Nodes as large clusters have them: 80 labels, 50 images, managed fields, 20 KB of JSON and more, 64 classes of GPUs.

use serde_json::{Map, Value, json};

/// How many classes of equal nodes there are.
pub(crate) const CLASSES: usize = 64;
const LABELS: usize = 80;
const IMAGES: usize = 50;

/// Product and capability.
const PRODUCTS: [(&str, &str); 8] = [
    ("Tesla P100-PCIE-16GB", "6.0"),
    ("Tesla V100-SXM2-32GB", "7.0"),
    ("Tesla T4", "7.5"),
    ("NVIDIA A100-SXM4-40GB", "8.0"),
    ("NVIDIA A100-SXM4-80GB", "8.0"),
    ("NVIDIA A10G", "8.6"),
    ("NVIDIA L4", "8.9"),
    ("NVIDIA H100 80GB HBM3", "9.0"),
];

/// A node of class `index % CLASSES`: one of eight products with one of eight drivers of branch 550; so is its label
/// `pool`.
pub(crate) fn node(index: usize) -> Value {
    let labels = labels(index);
    let name = name(index);
    let amounts = json!({
        "cpu": "96", "memory": "1056768Mi", "pods": "110", "ephemeral-storage": "3496Gi", "nvidia.com/gpu": "8",
    });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name,
            "uid": format!("0b3d6f8e-2a41-4c77-9a55-{index:012x}"),
            "resourceVersion": (index + 1).to_string(),
            "creationTimestamp": "2026-03-01T10:00:00Z",
            "annotations": annotations(index),
            "managedFields": managed_fields(&labels),
            "labels": labels,
        },
        "spec": {
            "podCIDR": format!("10.{}.{}.0/24", index / 256 % 256, index % 256),
            "providerID": format!("aws:///eu-west-1a/i-{:017x}", index * 2_654_435_761),
            "taints": taints(index),
        },
        "status": {
            "capacity": amounts, "allocatable": amounts,
            "addresses": [
                {"type": "InternalIP", "address": format!("10.0.{}.{}", index / 256 % 256, index % 256)},
                {"type": "Hostname", "address": name},
            ],
            "conditions": conditions("2026-03-01T12:00:00Z"),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "images": images(index),
            "nodeInfo": {
                "architecture": "amd64", "bootID": boot(index), "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.8.0-1031-aws", "kubeProxyVersion": "", "kubeletVersion": "v1.37.0",
                "machineID": format!("ec2{index:029x}"), "operatingSystem": "linux", "osImage": "Ubuntu 24.04.3 LTS",
                "systemUUID": format!("ec2a11f8-5d1c-0c51-8e2f-{index:012x}"),
            },
        },
    })
}

/// What a kubelet says of a node's state; it says so again every five minutes.
pub(crate) fn conditions(heartbeat: &str) -> Value {
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": format!("kubelet reports {reason}"),
            "lastHeartbeatTime": heartbeat, "lastTransitionTime": "2026-03-01T10:00:40Z"})
    };
    json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        condition("Ready", "True", "KubeletReady"),
    ])
}

fn name(index: usize) -> String {
    format!("gpu-node-{index:05}.cluster.internal")
}

fn boot(index: usize) -> String {
    format!("7c2f4c1e-9d0a-4c5e-8f3b-{index:012x}")
}

fn product(index: usize) -> (&'static str, &'static str) {
    PRODUCTS.get(index % 8).copied().unwrap_or_default()
}

fn driver(index: usize) -> String {
    format!("550.54.{}", 10 + index % CLASSES / 8)
}

/// Every fourth node is tainted, as GPU nodes often are.
fn taints(index: usize) -> Value {
    if index.is_multiple_of(4) {
        json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}])
    } else {
        json!([])
    }
}

fn annotations(index: usize) -> Value {
    let (product, capability) = product(index);
    let inventory = json!({
        "schema": 1,
        "groups": [{"product": product, "computeCapability": capability, "memoryMiB": 16384, "count": 8}],
        "driver": driver(index), "cuda": "12.4", "platform": "dgpu", "runtime": "legacy", "bootID": boot(index),
    });
    json!({
        "gpu-capgate.io/inventory": inventory.to_string(),
        "node.alpha.kubernetes.io/ttl": "15",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        "csi.volume.kubernetes.io/nodeid": format!("{{\"ebs.csi.aws.com\":\"i-{:017x}\"}}", index * 2_654_435_761),
    })
}

/// Labels of which five are the node's own.
fn labels(index: usize) -> Map<String, Value> {
    let (product, capability) = product(index);
    let number = capability.replace('.', "");
    let own = [
        ("kubernetes.io/hostname", name(index)),
        (
            "nvidia.com/gfd.timestamp",
            (1_724_632_719 + index * 7).to_string(),
        ),
        (
            "topology.example.com/host-id",
            format!("i-{:017x}", index * 2_654_435_761),
        ),
        ("node.example.com/serial", format!("SN{index:08}")),
        ("nvidia.com/gpu.clique", format!("{index:032x}.1")),
        (
            "topology.kubernetes.io/zone",
            format!("eu-west-1{}", index % 3),
        ),
        ("topology.example.com/rack", format!("rack-{}", index / 40)),
        ("kubernetes.io/arch", "amd64".to_owned()),
        ("pool", format!("pool-{}", index % CLASSES)),
        ("gpu-capgate.io/gpu.count", "8".to_owned()),
        ("gpu-capgate.io/compute.min", number.clone()),
        ("gpu-capgate.io/compute.max", number.clone()),
        ("gpu-capgate.io/driver.version", driver(index)),
        ("nvidia.com/gpu.product", product.replace(' ', "-")),
    ];
    let mut labels: Map<String, Value> = own
        .into_iter()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    labels.insert(format!("gpu-capgate.io/sm-{number}"), json!("8"));
    let left = LABELS.saturating_sub(labels.len());
    for filler in 0..left {
        let value = (index / 1000 * (filler % 3) % 4).to_string();
        labels.insert(
            format!("feature.node.kubernetes.io/cpu-cpuid.FEATURE{filler:02}"),
            json!(value),
        );
    }
    labels
}

fn images(index: usize) -> Vec<Value> {
    let image = |number: usize| {
        let digest = format!("{:064x}", (index % CLASSES + 1) * 1_000_003 * (number + 1));
        json!({
            "names": [
                format!("registry.example.com/platform/team-{}/service-{number:03}@sha256:{digest}", number % 7),
                format!("registry.example.com/platform/team-{}/service-{number:03}:2026.03.{number}", number % 7),
            ],
            "sizeBytes": 350_000_000 + number * 7_654_321,
        })
    };
    (0..IMAGES).map(image).collect()
}

/// Who wrote which label: by far the longest part of a real node's metadata.
fn managed_fields(labels: &Map<String, Value>) -> Value {
    let owned: Map<String, Value> = labels
        .keys()
        .map(|key| (format!("f:{key}"), json!({})))
        .collect();
    let entry = |manager: &str, fields: Value| {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-03-01T10:00:40Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    json!([
        entry("nfd-master", json!({"f:metadata": {"f:labels": owned}})),
        entry(
            "kubelet",
            json!({"f:status": {"f:conditions": {
            "k:{\"type\":\"Ready\"}": {"f:lastHeartbeatTime": {}, "f:status": {}, "f:reason": {}},
            "k:{\"type\":\"DiskPressure\"}": {"f:lastHeartbeatTime": {}, "f:status": {}, "f:reason": {}},
        }, "f:images": {}, "f:nodeInfo": {"f:bootID": {}, "f:kernelVersion": {}}}})
        ),
    ])
}
