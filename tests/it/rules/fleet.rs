//! What there is to land on: a pool for each way in which a node can be.

use serde_json::{Value, json};

use crate::cluster::harness::Cluster;
use crate::cluster::objects::{P100, T4, blank_node, node};

/// Puts all of it into a cluster that knows nothing of the webhook yet.
pub(super) fn put(cluster: &Cluster) {
    serve_node_pools(cluster);
    let nodes = [ordinary(), passing(), kept_out(), old_news(), discovered()].concat();
    cluster.create(&nodes);
    cluster.create(&devices());
    cluster.create(&node_pools());
    put_agents(cluster);
}

fn in_pool(name: &str, mut node: Value) -> Value {
    node["metadata"]["name"] = json!(name);
    node["metadata"]["labels"]["pool"] = json!(name);
    node
}

fn p100() -> Value {
    node("", &[P100], 1)
}

fn ordinary() -> Vec<Value> {
    vec![
        in_pool("p100", p100()),
        in_pool("t4", node("", &[T4], 1)),
        in_pool("mixed", node("", &[P100, T4], 2)),
        in_pool("blank", blank_node("", 1)),
        in_pool("bare", blank_node("", 0)),
    ]
}

/// Nodes that take nothing now, and may later.
fn passing() -> Vec<Value> {
    let mut cordoned = p100();
    cordoned["spec"]["unschedulable"] = json!(true);
    let mut unhealthy = node("", &[P100], 4);
    unhealthy["status"]["allocatable"]["nvidia.com/gpu"] = json!("0");
    vec![
        in_pool("cordoned", cordoned),
        in_pool("unhealthy", unhealthy),
        in_pool("unregistered", node("", &[P100], 0)),
    ]
}

/// Nodes that do not take everybody.
fn kept_out() -> Vec<Value> {
    let tainted = |key: &str, effect: &str| {
        let mut node = p100();
        node["spec"]["taints"] = json!([{"key": key, "value": "present", "effect": effect}]);
        node
    };
    let mut windows = p100();
    windows["status"]["nodeInfo"]["operatingSystem"] = json!("windows");
    windows["metadata"]["labels"]["kubernetes.io/os"] = json!("windows");
    vec![
        in_pool("reserved", tainted("team", "NoSchedule")),
        in_pool("gpus-only", tainted("nvidia.com/gpu", "NoSchedule")),
        in_pool("windows", windows),
    ]
}

/// Nodes whose inventory may be out of date, each beside one whose is not.
fn old_news() -> Vec<Value> {
    let mut rebooted = p100();
    rebooted["status"]["nodeInfo"]["bootID"] = json!("boot-2");
    let mut newer = p100();
    newer["metadata"]["annotations"]["gpu-capgate.io/inventory"] = json!("{\"schema\": 99}");
    let upgrade = |state: &str| {
        let mut node = p100();
        node["metadata"]["labels"]["nvidia.com/gpu-driver-upgrade-state"] = json!(state);
        node
    };
    vec![
        in_pool("rebooted", rebooted),
        in_pool("newer", newer),
        in_pool("upgrading", upgrade("pod-restart-required")),
        in_pool("upgrade-due", upgrade("upgrade-required")),
        in_pool("upgraded", upgrade("upgrade-done")),
        in_pool("deserted", p100()),
        in_pool("attended", p100()),
    ]
}

/// Nodes of which GPU Feature Discovery alone tells.
fn discovered() -> Vec<Value> {
    let labelled = |offered: u64| {
        let mut node = blank_node("", offered);
        node["metadata"]["labels"] = json!({
            "nvidia.com/gpu.product": "Tesla-P100-PCIE-16GB", "nvidia.com/gpu.count": "1",
            "nvidia.com/gpu.compute.major": "6", "nvidia.com/gpu.compute.minor": "0",
            "nvidia.com/cuda.driver-version.full": "570.86.15",
        });
        node
    };
    vec![
        in_pool("discovered", labelled(1)),
        in_pool("betrayed", labelled(2)),
    ]
}

/// What the driver for dynamic resource allocation publishes of two nodes; of one it does not say what it has.
fn devices() -> Vec<Value> {
    let slice = |node: &str, attributes: Value| {
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": node}, "spec": {
            "driver": "gpu.nvidia.com", "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0", "attributes": attributes}]}})
    };
    let gpus =
        "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'";
    let class = json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"},
        "spec": {"extendedResourceName": "nvidia.com/gpu", "selectors": [{"cel": {"expression": gpus}}]}});
    let told = json!({"type": {"string": "gpu"}, "productName": {"string": P100.0},
        "cudaComputeCapability": {"version": "6.0.0"}, "driverVersion": {"version": "570.86.15"}});
    vec![
        in_pool("sliced", blank_node("", 0)),
        in_pool("vague", blank_node("", 0)),
        slice("sliced", told),
        slice("vague", json!({"type": {"string": "gpu"}})),
        class,
    ]
}

/// Pools that the configuration declares: of one the GPU, of the other nothing.
pub(super) fn declared() -> Value {
    json!([
        {"name": "declared", "labels": {"pool": "declared"}, "gpu": P100.0, "count": 4, "driver": "570.86.15"},
        {"name": "open", "labels": {"pool": "open"}},
    ])
}

/// Pools of Karpenter: one of a GPU, one of whatever comes, and one without GPUs.
fn node_pools() -> Vec<Value> {
    let pool = |name: &str, requirements: Value| {
        json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": name}, "spec": {"template": {
            "metadata": {"labels": {"pool": name}}, "spec": {"requirements": requirements}}}})
    };
    let is = |key: &str, value: &str| json!([{"key": key, "operator": "In", "values": [value]}]);
    vec![
        pool(
            "karpenter-m60",
            is("karpenter.k8s.aws/instance-gpu-name", "m60"),
        ),
        pool("karpenter-any", json!([])),
        pool(
            "karpenter-cpu",
            is("karpenter.k8s.aws/instance-category", "c"),
        ),
    ]
}

/// As if Karpenter were installed.
fn serve_node_pools(cluster: &Cluster) {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "nodepools.karpenter.sh"},
        "spec": {
            "group": "karpenter.sh", "scope": "Cluster",
            "names": {"kind": "NodePool", "plural": "nodepools", "singular": "nodepool"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    cluster.create(&[definition]);
    let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
    cluster.kubectl(&[&wait[..], &["crd/nodepools.karpenter.sh"]].concat());
}

/// The agents of two nodes; one has not been ready for years.
fn put_agents(cluster: &Cluster) {
    cluster.kubectl(&["create", "namespace", "gpu-capgate"]);
    let namespace = "--namespace=gpu-capgate";
    cluster.kubectl(&["wait", "serviceaccount/default", "--for=create", namespace]);
    let agent = |node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": node, "namespace": "gpu-capgate", "labels": {
                "app.kubernetes.io/name": "gpu-capgate", "app.kubernetes.io/instance": "gpu-capgate",
                "app.kubernetes.io/component": "agent"}},
            "spec": {"nodeName": node, "containers": [{"name": "agent", "image": "agent"}]},
        })
    };
    cluster.create(&["deserted", "attended"].map(agent));
    for (node, ready) in [("deserted", "False"), ("attended", "True")] {
        let condition =
            json!({"type": "Ready", "status": ready, "lastTransitionTime": "2020-01-01T00:00:00Z"});
        let patch = json!({"status": {"conditions": [condition]}}).to_string();
        let patch = [
            "patch",
            "pod",
            node,
            namespace,
            "--subresource=status",
            "-p",
            &patch,
        ];
        cluster.kubectl(&patch);
    }
}
