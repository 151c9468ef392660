//! Snapshots: what is in one, and that a fleet read back from one gives the same candidates.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use gpu_capgate::cluster::fleet::{Fleet, Listing, Names, Settings};
use gpu_capgate::cluster::placement::{Basis, Placement};
use gpu_capgate::cluster::schedule;
use gpu_capgate::command::snapshot::document;
use gpu_capgate::compat::Catalog;
use k8s_openapi::api::core::v1::PodSpec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const GPU: &str = "nvidia.com/gpu";
const MIG: &str = "nvidia.com/mig-1g.5gb";

fn listing(source: &[u8]) -> Listing<'static> {
    let mut listing = Listing::new(Settings::default(), Catalog::embedded());
    listing.read("test", source);
    let errors = listing.take_errors();
    assert!(errors.is_empty(), "{errors:?}");
    listing
}

/// A fleet, and the fleet of its snapshot.
fn both(objects: &[Value], names: Names) -> (Fleet, Fleet) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let mut first = listing(list.to_string().as_bytes());
    let text = document(&mut first, names).unwrap();
    (first.fleet(), listing(text.as_bytes()).fleet())
}

/// All that a decision is made from: knowledge, nodes and pools of each class.
fn candidates(placement: &Placement, fleet: &Fleet) -> Vec<(String, usize, Vec<String>)> {
    let found = schedule::possible(placement, fleet);
    let class = |class: schedule::Candidate<'_>| {
        let pools = class.pools.iter().map(ToString::to_string).collect();
        (format!("{:?}", class.knowledge), class.nodes, pools)
    };
    found.classes.into_iter().map(class).collect()
}

fn any_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let ours = (
        select(vec!["a", "example.com/b"]),
        select(vec!["x", "y", "80"]),
    )
        .prop_map(|(key, value)| vec![(key, value)]);
    let gpus = select(vec![
        vec![],
        vec![
            ("nvidia.com/gpu.product", "Tesla-T4"),
            ("nvidia.com/gpu.count", "2"),
        ],
        vec![
            ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB"),
            ("nvidia.com/gpu.compute.major", "8"),
            ("nvidia.com/gpu.compute.minor", "0"),
            ("nvidia.com/cuda.driver-version.full", "550.54.15"),
        ],
        vec![("cloud.google.com/gke-accelerator", "nvidia-l4")],
        vec![("node.kubernetes.io/instance-type", "p3.2xlarge")],
        vec![
            ("gpu-capgate.io/gpu.count", "1"),
            ("gpu-capgate.io/sm-60", "1"),
            ("gpu-capgate.io/product.Tesla-P100-PCIE-16GB", "1"),
        ],
        vec![("nvidia.com/gpu-driver-upgrade-state", "drain-required")],
    ]);
    (ours, gpus).prop_map(|(ours, gpus)| {
        let all = ours.into_iter().chain(gpus);
        all.map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    })
}

/// A node, and sometimes a slice of it.
fn any_node(number: usize) -> impl Strategy<Value = Vec<Value>> {
    let taint = (
        select(vec!["team", GPU, "node.kubernetes.io/not-ready"]),
        select(vec!["", "red"]),
        select(vec!["NoSchedule", "NoExecute", "PreferNoSchedule"]),
    )
        .prop_map(|(key, value, effect)| json!({"key": key, "value": value, "effect": effect}));
    let amounts =
        proptest::collection::btree_map(select(vec![GPU, MIG, "rdma/hca"]), 0..4_u8, 0..3);
    (any_labels(), proptest::collection::vec(taint, 0..2), amounts, any::<bool>(), select(vec!["linux", "linux", "windows"]), 0..6_u8)
        .prop_map(move |(mut labels, taints, amounts, cordoned, os, slice)| {
            let name = format!("gpu-{number}.example.com");
            labels.insert("kubernetes.io/hostname".to_owned(), name.clone());
            let amounts: BTreeMap<_, _> = amounts.into_iter().map(|(key, amount)| (key, amount.to_string())).collect();
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
                "spec": {"taints": taints, "unschedulable": cordoned},
                "status": {"capacity": amounts, "allocatable": amounts,
                    "nodeInfo": {"architecture": "amd64", "operatingSystem": os}}});
            let device = json!({"name": "gpu-0", "attributes": {"type": {"string": if slice == 1 { "mig" } else { "gpu" }},
                "productName": {"string": "NVIDIA L4"}, "cudaComputeCapability": {"version": "8.9.0"}}});
            let slice_object = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
                "metadata": {"name": format!("s{number}")},
                "spec": {"driver": "gpu.nvidia.com", "nodeName": name, "devices": [device],
                    "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}}});
            if slice < 2 { vec![node, slice_object] } else { vec![node] }
        })
}

fn any_cluster() -> impl Strategy<Value = Vec<Value>> {
    let nodes: Vec<_> = (0..5).map(any_node).collect();
    let others = select(vec![
        json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"}, "spec": {"template": {
            "metadata": {"labels": {"a": "x"}},
            "spec": {"requirements": [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g6.xlarge"]}],
                "taints": [{"key": "team", "value": "red", "effect": "NoSchedule"}]}}}}),
        json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia",
            "scheduling": {"nodeSelector": {"a": "x"}, "tolerations": [{"key": "team", "operator": "Exists"}]}}),
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"},
            "spec": {"extendedResourceName": GPU, "selectors": [{"cel": {"expression":
                "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'"}}]}}),
    ]);
    (nodes, proptest::collection::vec(others, 0..3))
        .prop_map(|(nodes, others)| nodes.into_iter().flatten().chain(others).collect())
}

fn any_placement() -> impl Strategy<Value = Placement> {
    let resources = proptest::collection::btree_map(
        select(vec![GPU, MIG, "rdma/hca", "nvidia.com/gpu.shared"]),
        1..4_u64,
        1..3,
    );
    let selector = proptest::collection::btree_map(
        select(vec!["a", "example.com/b", "kubernetes.io/os"]),
        select(vec!["x", "y", "linux"]),
        0..2,
    );
    let expression = (
        select(vec!["a", "nvidia.com/gpu.count", "gpu-capgate.io/sm-60"]),
        select(vec!["Exists", "DoesNotExist", "In", "Gt"]),
    )
        .prop_map(|(key, operator)| match operator {
            "In" => json!({"key": key, "operator": operator, "values": ["x", "2"]}),
            "Gt" => json!({"key": key, "operator": operator, "values": ["0"]}),
            _ => json!({"key": key, "operator": operator}),
        });
    let terms = proptest::collection::vec(proptest::collection::vec(expression, 1..3), 0..2);
    let basis = select(vec![Basis::AdmittedPod, Basis::WrittenPod, Basis::Template]);
    let toleration = select(vec![
        json!([]),
        json!([{"operator": "Exists"}]),
        json!([{"key": "team", "value": "red"}]),
    ]);
    let runtime = select(vec![Value::Null, json!("nvidia")]);
    (resources, selector, terms, basis, toleration, runtime).prop_map(|(resources, selector, terms, basis, tolerations, runtime)| {
        let terms: Vec<Value> = terms.into_iter().map(|term| json!({"matchExpressions": term})).collect();
        let mut spec = json!({"containers": [], "nodeSelector": selector, "tolerations": tolerations, "runtimeClassName": runtime});
        if !terms.is_empty() {
            spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        }
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let resources = resources.into_iter().map(|(name, amount)| (name.to_owned(), amount));
        Placement::of_spec(&spec, basis, resources.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_snapshot_gives_the_same_candidates_as_the_cluster(
        objects in any_cluster(),
        placements in proptest::collection::vec(any_placement(), 20),
    ) {
        for names in [Names::LeftOut, Names::Kept] {
            let (live, restored) = both(&objects, names);
            prop_assert_eq!(live.nodes(), restored.nodes());
            for placement in &placements {
                prop_assert_eq!(candidates(placement, &live), candidates(placement, &restored));
            }
        }
    }

    #[test]
    fn with_names_a_pod_finds_the_node_that_it_names(objects in any_cluster(), number in 0..6_u8) {
        let (live, restored) = both(&objects, Names::Kept);
        let name = format!("gpu-{number}.example.com");
        let mut by_name = Placement::anywhere();
        by_name.node_name = Some(name.clone());
        let mut by_label = Placement::anywhere();
        by_label.node_selector.insert("kubernetes.io/hostname".to_owned(), name);
        for placement in [by_name, by_label] {
            prop_assert_eq!(candidates(&placement, &live), candidates(&placement, &restored));
        }
    }
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_example_cluster_is_a_group_for_each_kind_of_node_and_names_nobody() {
    let (code, text, complaints) = run(&["snapshot", "--nodes", "examples/nodes.yaml"]);
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    for own in [
        "batch-1", "a100-1", "hostname", "edge-1", "bootID", "b0075000",
    ] {
        assert!(!text.contains(own), "{own} is in it:\n{text}");
    }
    assert_eq!(
        text.matches("- count:").count(),
        6 + 1,
        "the two H100 nodes differ by a cordon\n{text}"
    );
    let (_, named, _) = run(&["snapshot", "--nodes", "examples/nodes.yaml", "--names"]);
    assert!(
        named.contains("batch-1") && named.contains("kubernetes.io/hostname"),
        "{named}"
    );
}

#[test]
fn a_snapshot_of_a_snapshot_is_the_same() {
    let (_, first, _) = run(&["snapshot", "--nodes", "examples/nodes.yaml"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &first).unwrap();
    let (code, second, _) = run(&["snapshot", "--nodes", file.path().to_str().unwrap()]);
    assert_eq!((code, second), (Some(0), first));
}

#[test]
fn a_snapshot_that_cannot_be_used_says_why() {
    let group = "{count: COUNT, readFrom: inventory, REST}";
    let cases = [
        (
            "v2",
            "",
            "its apiVersion is \"gpu-capgate.io/v2\", and this program reads gpu-capgate.io/v1",
        ),
        (
            "v1",
            "names: [a]",
            "a group of 2 nodes has 1 names: give all or none",
        ),
        (
            "v1",
            "taints: [{key: a, effect: Sometimes}]",
            "effect \"Sometimes\" is not known",
        ),
        ("v1", "gpus: [{serves: tea}]", "serves \"tea\" is not known"),
        ("v1", "gpus: [{driver: new}]", "is not used: "),
        ("v1", "colour: red", "unknown field `colour`"),
    ];
    for (version, rest, expected) in cases {
        let group = group.replace("COUNT", "2").replace("REST", rest);
        let text = format!(
            "apiVersion: gpu-capgate.io/{version}\nkind: FleetSnapshot\nnodes: [{group}]\n"
        );
        let mut listing = Listing::new(Settings::default(), Catalog::embedded());
        listing.read("s.yaml", text.as_bytes());
        let errors = listing.take_errors();
        let told = errors.first().map(ToString::to_string).unwrap_or_default();
        assert!(told.contains(expected), "{rest}: {told}");
    }
    let huge = group.replace("COUNT", "4000000000").replace("REST", "");
    let text = format!("apiVersion: gpu-capgate.io/v1\nkind: FleetSnapshot\nnodes: [{huge}]\n");
    let mut listing = Listing::new(Settings::default(), Catalog::embedded());
    listing.read("s.yaml", text.as_bytes());
    assert!(
        listing.take_errors()[0]
            .to_string()
            .contains("more than 200000 nodes")
    );
    assert_eq!(listing.nodes(), 0);
}
