//! What holds of every decision, whatever the nodes and the Pods: what refuses and what never does, what changes no
//! word, and that `check` and the webhook say the same.

use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use gpu_capgate::admission::review::Reviewer;
use gpu_capgate::cluster::demand::{Origin, Reader, Reading};
use gpu_capgate::cluster::fleet::{Fleet, Listing, NodeObject, Roster, Settings};
use gpu_capgate::cluster::resource::GpuResources;
use gpu_capgate::cluster::schedule;
use gpu_capgate::cluster::watch::ClusterState;
use gpu_capgate::cluster::workload::Kinds;
use gpu_capgate::compat::Catalog;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::json::{any_json, places};
use crate::webhook::{creation, reviewer};
use arbitrary::{nodes, object};

mod arbitrary;

/// One webhook for all cases: reading what it knows of images takes longer than a review.
static WEBHOOK: LazyLock<Mutex<Reviewer>> = LazyLock::new(|| Mutex::new(reviewer([])));

/// The whole answer on a fleet.
fn answered_on(fleet: Fleet, object: &Value) -> Value {
    let body = creation(object).to_string();
    // A case that failed has left nothing behind that the next one does not replace.
    let webhook = WEBHOOK.lock().unwrap_or_else(PoisonError::into_inner);
    webhook.cluster.store(Arc::new(ClusterState::of(fleet)));
    let judged = webhook.answer(body.as_bytes()).unwrap();
    let mut reply = serde_json::to_value(&judged.reply).unwrap();
    reply["response"].take()
}

/// The fleet of nodes whose names are their places in the list.
fn fleet(nodes: &[Value]) -> Fleet {
    let mut roster = Roster::new(Settings::default(), Catalog::embedded());
    for node in named(nodes) {
        roster.put_node(&NodeObject::from_json(&node).unwrap());
    }
    roster.fleet()
}

fn answered(nodes: &[Value], object: &Value) -> Value {
    answered_on(fleet(nodes), object)
}

fn decision(nodes: &[Value], object: &Value) -> String {
    let response = answered(nodes, object);
    let decision = response["auditAnnotations"]["decision"].as_str();
    decision.unwrap().to_owned()
}

/// Whether the Pods of an object could land on a node, whatever they hold.
fn could_land_on(node: &Value, object: &Value) -> bool {
    static KINDS: LazyLock<Kinds> = LazyLock::new(|| Kinds::bundled().unwrap());
    let resources = GpuResources::default();
    let reader = Reader {
        kinds: &KINDS,
        resources: &resources,
        origin: Origin::Review,
    };
    let Reading::Workload(workload) = reader.read(object).unwrap() else {
        panic!("no workload: {object}");
    };
    let placement = &workload.groups[0].demand.placement;
    !schedule::possible(placement, &fleet(std::slice::from_ref(node))).is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Design: only on certainty. At least one candidate, and all of them known to fail.
    #[test]
    fn is_refused_if_and_only_if_it_is_on_each_of_its_candidates(nodes in nodes(), object in object()) {
        let candidates = nodes.iter().filter(|node| could_land_on(node, &object));
        let alone: Vec<String> = candidates
            .map(|node| decision(std::slice::from_ref(node), &object))
            .collect();
        let everywhere = !alone.is_empty() && alone.iter().all(|decision| decision == "deny");
        prop_assert_eq!(decision(&nodes, &object) == "deny", everywhere, "{:?}", alone);
    }

    #[test]
    fn another_node_makes_no_refusal_but_where_there_was_no_candidate(nodes in nodes(), object in object()) {
        for (number, more) in nodes.iter().enumerate() {
            let before = &nodes[..number];
            let refused = |nodes: &[Value]| decision(nodes, &object) == "deny";
            if !refused(before) && refused(&nodes[..=number]) {
                prop_assert!(refused(std::slice::from_ref(more)));
                prop_assert!(!before.iter().any(|node| could_land_on(node, &object)));
            }
        }
    }

    #[test]
    fn neither_order_nor_names_of_nodes_change_a_word(
        (one, other) in nodes().prop_flat_map(|nodes| (Just(nodes.clone()), Just(nodes).prop_shuffle())),
        object in object(),
    ) {
        prop_assert_eq!(answered(&one, &object), answered(&other, &object));
    }

    #[test]
    fn what_was_asked_before_changes_no_word(nodes in nodes(), object in object()) {
        let with_all_that_was_asked = answered(&nodes, &object);
        let configuration = WEBHOOK.lock().unwrap_or_else(PoisonError::into_inner).configuration.clone();
        configuration.store(Arc::default());
        prop_assert_eq!(answered(&nodes, &object), with_all_that_was_asked);
    }

    #[test]
    fn what_does_not_matter_changes_no_word(nodes in nodes(), object in object()) {
        let expected = answered(&nodes, &object);
        let mut noisy = object.clone();
        noisy["metadata"]["name"] = json!("another");
        noisy["metadata"]["labels"] = json!({"team": "vision"});
        noisy["metadata"]["uid"] = json!("0f0e");
        let spec = match noisy.pointer("/spec/template") {
            Some(_) => "/spec/template/spec",
            None => "/spec",
        };
        let spec = noisy.pointer_mut(spec).unwrap();
        spec["restartPolicy"] = json!("Never");
        spec["priorityClassName"] = json!("high");
        spec["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
        spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone"}]}});
        let containers = spec["containers"].as_array_mut().unwrap();
        for container in containers.iter_mut() {
            container["ports"] = json!([{"containerPort": 8080}]);
            container["env"] = json!([{"name": "EPOCHS", "value": "3"}]);
            container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
            container["resources"]["requests"] = json!({"cpu": "1", "memory": "1Gi"});
        }
        containers.push(json!({"name": "log", "image": "busybox"}));
        prop_assert_eq!(answered(&nodes, &noisy), expected);
    }
}

/// What `check` says of objects on nodes, and one without GPUs: with none at all it says that the file is the wrong one.
fn checked(nodes: &[Value], objects: &[Value]) -> Vec<Value> {
    let mut nodes = named(nodes);
    nodes.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cpu"}, "status": {"capacity": {"cpu": "8"}}}));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, items: &[Value]| {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let path = folder.path().join(name);
        std::fs::write(&path, list.to_string()).unwrap();
        path
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"));
    command.args(["check", "-o", "json", "-f"]);
    command
        .arg(file("objects.json", objects))
        .arg("--nodes")
        .arg(file("nodes.json", &nodes));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["documents"].as_array().unwrap().clone()
}

/// The nodes, each named by its place.
fn named(nodes: &[Value]) -> Vec<Value> {
    let mut nodes = nodes.to_vec();
    for (number, node) in nodes.iter_mut().enumerate() {
        node["metadata"]["name"] = json!(format!("node-{number}"));
    }
    nodes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn check_and_webhook_say_the_same(nodes in nodes(), objects in prop::collection::vec(object(), 1..24)) {
        let documents = checked(&nodes, &objects);
        prop_assert_eq!(documents.len(), objects.len());
        for (document, object) in documents.iter().zip(&objects) {
            let response = answered(&nodes, object);
            let audit = &response["auditAnnotations"];
            prop_assert_eq!(&document["decision"], &audit["decision"], "{}", object);
            let codes: Vec<&str> = document["codes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            prop_assert_eq!(codes.join(","), audit["codes"].as_str().unwrap_or_default());
            prop_assert_eq!(&document["warnings"], &response["warnings"], "{}", object);
            if response["allowed"] == false {
                prop_assert_eq!(&document["message"], &response["status"]["message"]);
            }
        }
    }

    #[test]
    fn the_order_of_documents_changes_nothing_but_their_order(
        nodes in nodes(),
        objects in prop::collection::vec(object(), 1..12),
    ) {
        let said = |mut documents: Vec<Value>| {
            for document in &mut documents {
                for place in ["line", "column", "source", "containers"] {
                    document[place].take();
                }
            }
            documents
        };
        let forward = said(checked(&nodes, &objects));
        let backward: Vec<Value> = objects.iter().rev().cloned().collect();
        let mut backward = said(checked(&nodes, &backward));
        backward.reverse();
        prop_assert_eq!(forward, backward);
    }
}

fn node_objects() -> [Value; 4] {
    let node = arbitrary::known("Tesla T4", "7.5", "570.86.15", "12.8");
    let mut discovered = node.clone();
    discovered["metadata"] = json!({"name": "n", "labels": {"nvidia.com/gpu.product": "Tesla-T4",
        "nvidia.com/gpu.count": "1", "nvidia.com/gpu.compute.major": "7", "nvidia.com/gpu.compute.minor": "5"}});
    discovered["spec"] = json!({"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}], "unschedulable": true});
    let slice = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"},
        "spec": {"driver": "gpu.nvidia.com", "nodeName": "n", "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0", "attributes": {"type": {"string": "gpu"}, "productName": {"string": "Tesla T4"},
        "cudaComputeCapability": {"version": "7.5.0"}, "driverVersion": {"version": "570.86.15"}}}]}});
    let pool = json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}],
        "requirements": [{"key": "karpenter.k8s.aws/instance-gpu-name", "operator": "In", "values": ["t4"]}]}}}});
    [node, discovered, slice, pool]
}

proptest! {
    #[test]
    fn no_value_in_any_place_of_what_tells_of_nodes_panics(
        which in 0_usize..4, place in any::<prop::sample::Index>(), value in any_json(), object in object(),
    ) {
        let whole = node_objects();
        let mut broken = whole[which].clone();
        let places = places(&broken);
        *broken.pointer_mut(&places[place.index(places.len())]).unwrap() = value;
        // What cannot be read is an error, and the rest is judged on.
        let mut listing = Listing::new(Settings::default(), Catalog::embedded());
        let items: Vec<&Value> = whole.iter().chain([&broken]).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        listing.read("nodes", list.to_string().as_bytes());
        answered_on(listing.fleet(), &object);
    }

    #[test]
    fn no_value_in_any_place_of_what_makes_pods_panics(
        object in object(), place in any::<prop::sample::Index>(), value in any_json(),
    ) {
        let mut broken = object;
        let places = places(&broken);
        *broken.pointer_mut(&places[place.index(places.len())]).unwrap() = value;
        let nodes = [arbitrary::known("Tesla T4", "7.5", "570.86.15", "12.8")];
        answered(&nodes, &broken);
    }
}
