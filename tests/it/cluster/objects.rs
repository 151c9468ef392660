//! Objects that tests put into a real cluster: nodes without machines, Pods that ask for a GPU, and how they get there.

use gpu_capgate::labels;
use gpu_capgate::node::inventory::Inventory;
use serde_json::{Value, json};

use super::harness::{Cluster, Ran};
use crate::support::gpu;

const RESOURCE: &str = "nvidia.com/gpu";

/// Product and compute capability.
pub(crate) type Model = (&'static str, &'static str);
pub(crate) const P100: Model = ("Tesla P100-PCIE-16GB", "6.0");
pub(crate) const T4: Model = ("Tesla T4", "7.5");

/// A node as a kubelet registers it, with so many GPUs offered, of which nothing is known.
pub(crate) fn blank_node(name: &str, offered: u64) -> Value {
    let mut resources = json!({"cpu": "8", "memory": "32Gi", "pods": "50"});
    if offered > 0 {
        resources[RESOURCE] = json!(offered.to_string());
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {}, "annotations": {}},
        "spec": {},
        "status": {
            "capacity": resources, "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"bootID": "boot-1", "architecture": "amd64", "operatingSystem": "linux", "machineID": "",
                "systemUUID": "", "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "",
                "kubeProxyVersion": ""},
        },
    })
}

/// The same with what the agent would have written about these GPUs.
pub(crate) fn node(name: &str, models: &[Model], offered: u64) -> Value {
    let gpu = |(number, (product, capability)): (usize, &Model)| {
        gpu(&format!("GPU-{number}"), product, capability)
    };
    let gpus: Vec<String> = models.iter().enumerate().map(gpu).collect();
    let inventory = format!(
        "{{driver: 570.86.15, cuda: \"12.8\", gpus: [{}]}}",
        gpus.join(", ")
    );
    let inventory = Inventory::parse(&inventory).unwrap().node_gpus("boot-1");
    let written = labels::encode(&inventory);
    let mut node = blank_node(name, offered);
    node["metadata"]["labels"] = json!(written.labels);
    node["metadata"]["annotations"] = json!(written.annotations);
    node
}

/// A Pod with one container that asks for a GPU.
pub(crate) fn gpu_pod(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": {}},
        "spec": {"containers": [
            {"name": "train", "image": image, "resources": {"limits": {RESOURCE: "1"}}},
        ]},
    })
}

impl Cluster {
    /// Hands objects to `kubectl create` or `kubectl apply`.
    pub(crate) fn write(&self, verb: &str, objects: &[Value], more: &[&str]) -> Ran {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = self.state().join("objects.json");
        std::fs::write(&file, list.to_string()).unwrap();
        let file = format!("--filename={}", file.display());
        self.run(
            "kubectl",
            &[&[verb, &file, "--validate=false"], more].concat(),
        )
    }

    /// Creates objects, all of which must be taken.
    pub(crate) fn create(&self, objects: &[Value]) {
        let made = self.write("create", objects, &[]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    }
}
