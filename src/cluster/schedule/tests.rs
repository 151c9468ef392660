//! The settled cases of candidates, and what must hold of any Pod on any nodes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cluster::fleet::{NodeObject, Roster, Settings, SliceObject};
use crate::cluster::placement::{Operator, PodNetwork, Requirement, Term, TolerationOperator};
use crate::cluster::selector;
use crate::compat::Catalog;

const GPU: &str = "nvidia.com/gpu";

fn roster(nodes: &[Value]) -> Roster<'static> {
    let mut roster = Roster::new(Settings::default(), Catalog::embedded());
    for node in nodes {
        roster.put_node(&NodeObject::from_json(node).unwrap());
    }
    roster
}

fn fleet(nodes: &[Value]) -> Fleet {
    roster(nodes).fleet()
}

/// A node with GPUs, labels and taints (`key`, `effect`).
fn node(name: &str, gpus: u32, labels: &[(&str, &str)], taints: &[(&str, &str)]) -> Value {
    let taint = |(key, effect): &(&str, &str)| json!({"key": key, "effect": effect});
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    json!({"metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints.iter().map(taint).collect::<Vec<_>>()},
        "status": {"capacity": {GPU: gpus.to_string()}, "allocatable": {GPU: gpus.to_string()}}})
}

fn pod(gpus: u64) -> Placement {
    Placement {
        resources: BTreeMap::from([(GPU.to_owned(), gpus)]),
        ..Placement::anywhere()
    }
}

fn with(node: &Value, path: &str, value: Value) -> Value {
    let mut node = node.clone();
    let mut at = &mut node;
    for step in path.split('.') {
        at = &mut at[step.replace('~', ".")];
    }
    *at = value;
    node
}

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: key.to_owned(),
        operator,
        values: values.iter().map(|&value| value.to_owned()).collect(),
    }
}

fn counts(placement: &Placement, nodes: &[Value]) -> (usize, usize) {
    let fleet = fleet(nodes);
    (
        possible(placement, &fleet).nodes(),
        now(placement, &fleet).nodes(),
    )
}

#[test]
fn the_selector_must_match_exactly() {
    let placement = Placement {
        node_selector: BTreeMap::from([("pool".to_owned(), "a".to_owned())]),
        ..pod(1)
    };
    let nodes = [
        node("a", 1, &[("pool", "a")], &[]),
        node("b", 1, &[("pool", "b")], &[]),
        node("c", 1, &[], &[]),
    ];
    assert_eq!(counts(&placement, &nodes), (1, 1));
}

#[test]
fn a_lasting_taint_excludes_unless_tolerated() {
    let nodes = [node("a", 1, &[], &[("team", "NoSchedule")])];
    assert_eq!(counts(&pod(1), &nodes), (0, 0));
    let tolerant = Placement {
        tolerations: vec![Toleration {
            operator: TolerationOperator::Exists,
            ..Toleration::default()
        }],
        ..pod(1)
    };
    assert_eq!(counts(&tolerant, &nodes), (1, 1));
}

#[test]
fn a_node_that_is_down_for_now_is_possible_and_not_now() {
    let down = [("node.kubernetes.io/not-ready", "NoExecute")];
    let cordoned = with(&node("b", 1, &[], &[]), "spec.unschedulable", json!(true));
    let nodes = [node("a", 1, &[], &down), cordoned];
    assert_eq!(counts(&pod(1), &nodes), (2, 0));
}

#[test]
fn a_preference_excludes_nothing() {
    let nodes = [node("a", 1, &[], &[("team", "PreferNoSchedule")])];
    assert_eq!(counts(&pod(1), &nodes), (1, 1));
}

#[test]
fn a_named_node_is_the_only_one_and_ignores_no_schedule() {
    let named = Placement {
        node_name: Some("b".to_owned()),
        ..pod(1)
    };
    let nodes = [
        node("a", 1, &[], &[]),
        node("b", 1, &[], &[("team", "NoSchedule")]),
    ];
    assert_eq!(counts(&named, &nodes), (1, 1));
    let evicting = [node("b", 1, &[], &[("team", "NoExecute")])];
    assert_eq!(counts(&named, &evicting), (0, 0));
}

#[test]
fn gpus_that_are_unhealthy_or_not_registered_yet_are_possible() {
    let unhealthy = with(
        &node("a", 4, &[], &[]),
        "status.allocatable",
        json!({GPU: "1"}),
    );
    let labels = [
        ("nvidia.com/gpu.product", "Tesla-T4"),
        ("nvidia.com/gpu.count", "4"),
        ("nvidia.com/gpu.compute.major", "7"),
        ("nvidia.com/gpu.compute.minor", "5"),
    ];
    let starting = node("b", 0, &labels, &[]);
    assert_eq!(counts(&pod(4), &[unhealthy, starting.clone()]), (2, 0));
    assert_eq!(counts(&pod(5), &[starting]), (0, 0));
}

#[test]
fn a_node_without_gpus_is_no_candidate_and_one_without_labels_is_unknown() {
    let nodes = [node("a", 0, &[], &[]), node("b", 1, &[], &[])];
    let fleet = fleet(&nodes);
    assert_eq!(fleet.nodes(), 1);
    let doubts = possible(&pod(1), &fleet).doubts();
    assert_eq!(doubts, BTreeMap::from([(Doubt::Unlabelled, 1)]));
}

#[test]
fn templates_ignore_taints_in_the_wide_sense_and_tolerate_their_resource_in_the_narrow() {
    let nodes = [
        node("a", 1, &[], &[(GPU, "NoSchedule")]),
        node("b", 1, &[], &[("team", "NoExecute")]),
    ];
    let of = |basis| Placement { basis, ..pod(1) };
    assert_eq!(counts(&of(Basis::AdmittedPod), &nodes), (0, 0));
    assert_eq!(counts(&of(Basis::WrittenPod), &nodes), (1, 1));
    assert_eq!(counts(&of(Basis::Template), &nodes), (2, 1));
    let cordoned = [with(&nodes[0], "spec.unschedulable", json!(true))];
    assert_eq!(counts(&of(Basis::Template), &cordoned), (1, 0));
    assert_eq!(
        counts(&of(Basis::DaemonSet(PodNetwork::Own)), &cordoned),
        (1, 1)
    );
}

#[test]
fn windows_nodes_are_for_windows_pods() {
    let windows = with(
        &node("a", 1, &[], &[]),
        "status.nodeInfo",
        json!({"operatingSystem": "windows"}),
    );
    let nodes = [windows, node("b", 1, &[], &[])];
    assert_eq!(counts(&pod(1), &nodes), (1, 1));
    let for_windows = Placement {
        os: Some(OperatingSystem::Windows),
        ..pod(1)
    };
    assert_eq!(counts(&for_windows, &nodes), (1, 1));
}

#[test]
fn a_runtime_class_narrows_what_is_not_admitted_yet() {
    let mut roster = roster(&[
        node("a", 1, &[("kata", "no")], &[]),
        node("b", 1, &[("kata", "yes")], &[("kata", "NoSchedule")]),
    ]);
    let class = json!({"metadata": {"name": "kata"}, "handler": "kata", "scheduling": {
        "nodeSelector": {"kata": "yes"}, "tolerations": [{"key": "kata", "operator": "Exists"}]}});
    roster.put_runtime_class(serde_json::from_value(class).unwrap());
    let fleet = roster.fleet();
    let of = |basis, selector: &[(&str, &str)]| {
        let placement = Placement {
            basis,
            runtime_class: Some("kata".to_owned()),
            node_selector: selector
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            ..pod(1)
        };
        now(&placement, &fleet).nodes()
    };
    assert_eq!(of(Basis::WrittenPod, &[]), 1);
    assert_eq!(of(Basis::AdmittedPod, &[]), 1);
    assert_eq!(of(Basis::WrittenPod, &[("kata", "no")]), 0);
    assert_eq!(of(Basis::AdmittedPod, &[("kata", "no")]), 1);
}

fn slice(name: &str, node: &str, generation: i64, capability: &str) -> SliceObject {
    let attributes = json!({"type": {"string": "gpu"}, "productName": {"string": "Tesla T4"},
        "cudaComputeCapability": {"version": capability}, "driverVersion": {"version": "550.54.15"}});
    let slice = json!({"metadata": {"name": name}, "spec": {"driver": "gpu.nvidia.com", "nodeName": node,
        "pool": {"name": node, "generation": generation, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0", "attributes": attributes}]}});
    SliceObject::read(serde_json::from_value(slice).unwrap()).unwrap()
}

#[test]
fn devices_of_slices_serve_a_resource_that_a_class_maps() {
    let mut roster = roster(&[node("a", 0, &[], &[]), node("b", 0, &[], &[])]);
    roster.put_slice(slice("old", "a", 1, "6.0.0"));
    roster.put_slice(slice("new", "a", 2, "7.5.0"));
    let fleet = roster.fleet();
    assert_eq!(possible(&pod(1), &fleet).nodes(), 0, "no class serves it");
    let expression =
        r#"device.driver == "gpu.nvidia.com" && device.attributes['gpu.nvidia.com'].type == 'gpu'"#;
    let class = json!({"metadata": {"name": "gpu.nvidia.com"}, "spec": {"extendedResourceName": GPU,
        "selectors": [{"cel": {"expression": expression}}]}});
    let class = serde_json::from_value(class).unwrap();
    roster.put_device_class(crate::cluster::fleet::DeviceClassObject::read(class).unwrap());
    let fleet = roster.fleet();
    let found = possible(&pod(1), &fleet);
    let host = &found.classes[0].knowledge.groups(None).next().unwrap().host;
    assert_eq!(host.capability.unwrap().to_string(), "7.5");
    assert_eq!(host.driver.unwrap().to_string(), "550.54.15");
    assert_eq!((found.nodes(), now(&pod(1), &fleet).nodes()), (1, 1));
    assert_eq!(possible(&pod(2), &fleet).nodes(), 0);
    let claiming = Placement {
        claims: Claims::Some,
        ..Placement::anywhere()
    };
    assert_eq!(possible(&claiming, &fleet).nodes(), 1);
}

fn karpenter(labels: &Value, requirements: &Value) -> Value {
    json!({"metadata": {"name": "pool"}, "spec": {"template": {"metadata": {"labels": labels},
        "spec": {"requirements": requirements, "taints": [{"key": "spot", "effect": "NoSchedule"}]}}}})
}

fn pools(labels: &Value, requirements: &Value, placement: &Placement) -> Vec<Option<String>> {
    let mut roster = roster(&[]);
    roster
        .put_node_pool(&karpenter(labels, requirements))
        .unwrap();
    let fleet = roster.fleet();
    assert_eq!(now(placement, &fleet).classes, []);
    let found = possible(placement, &fleet);
    let product = |class: &Candidate<'_>| {
        let group = class.knowledge.groups(None).next()?;
        group.host.product.as_deref().map(str::to_owned)
    };
    found.classes.iter().map(product).collect()
}

#[test]
fn a_pool_of_karpenter_is_what_its_requirements_fix() {
    let tolerant = Placement {
        basis: Basis::Template,
        ..pod(1)
    };
    let found = |labels: Value, requirements: Value| pools(&labels, &requirements, &tolerant);
    let type_in = |values: Value| json!([{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": values}]);
    let product = |name: &str| Some(name.to_owned());
    assert_eq!(found(json!({}), json!([])), [None]);
    assert_eq!(
        found(json!({}), type_in(json!(["g4dn.xlarge"]))),
        [product("Tesla T4")]
    );
    assert_eq!(
        found(
            json!({}),
            type_in(json!(["g4dn.xlarge", "m5.large", "g5.xlarge"]))
        ),
        [product("NVIDIA A10G"), product("Tesla T4")]
    );
    assert_eq!(found(json!({}), type_in(json!(["m5.large"]))), []);
    assert_eq!(found(json!({}), type_in(json!(["p9.large"]))), [None]);
    let category = json!([{"key": "karpenter.k8s.aws/instance-category", "operator": "In", "values": ["c", "m"]}]);
    assert_eq!(found(json!({}), category), []);
    assert_eq!(
        pools(&json!({}), &json!([]), &pod(1)),
        [],
        "tainted, and not tolerated"
    );
}

#[test]
fn a_pool_has_the_labels_that_it_says_and_those_of_others() {
    let selecting = |key: &str| Placement {
        basis: Basis::Template,
        node_selector: BTreeMap::from([(key.to_owned(), "a".to_owned())]),
        ..pod(1)
    };
    let count = |placement: &Placement| pools(&json!({"pool": "a"}), &json!([]), placement).len();
    assert_eq!(count(&selecting("pool")), 1);
    assert_eq!(count(&selecting("other")), 0);
    assert_eq!(count(&selecting("topology.kubernetes.io/zone")), 1);
    let elsewhere = Placement {
        required: Some(vec![Term {
            match_expressions: vec![requirement("pool", Operator::NotIn, &["a"])],
            match_fields: Vec::new(),
        }]),
        ..selecting("pool")
    };
    assert_eq!(count(&elsewhere), 0);
}

fn labelled(name: &str, capability: &str, pool: &str) -> Value {
    let sm = format!("gpu-capgate.io/sm-{capability}");
    let product = match capability {
        "60" => "gpu-capgate.io/product.Tesla-P100-PCIE-16GB",
        _ => "gpu-capgate.io/product.Tesla-T4",
    };
    let labels = [
        ("gpu-capgate.io/gpu.count", "1"),
        ("gpu-capgate.io/compute.min", capability),
        ("gpu-capgate.io/compute.max", capability),
        (sm.as_str(), "1"),
        (product, "1"),
        ("pool", pool),
    ];
    node(name, 1, &labels, &[])
}

#[test]
fn a_separating_term_keeps_all_good_nodes_and_no_other() {
    let nodes = [
        labelled("a", "60", "x"),
        labelled("b", "60", "x"),
        labelled("c", "75", "y"),
    ];
    let fleet = fleet(&nodes);
    let ids: Vec<(ClassId, String)> = fleet
        .classes()
        .map(|(id, knowledge, _)| {
            (
                id,
                knowledge
                    .groups(None)
                    .next()
                    .unwrap()
                    .host
                    .capability
                    .unwrap()
                    .to_string(),
            )
        })
        .collect();
    let of = |capability: &str| -> Vec<ClassId> {
        ids.iter()
            .filter(|(_, found)| found == capability)
            .map(|(id, _)| *id)
            .collect()
    };
    let found = separating_term(&pod(1), &fleet, &of("7.5"), &of("6.0")).unwrap();
    assert_eq!(
        found.requirement,
        requirement("gpu-capgate.io/compute.min", Operator::Gt, &["74"])
    );
    assert_eq!(found.nodes, 1);
    let other = separating_term(&pod(1), &fleet, &of("6.0"), &of("7.5")).unwrap();
    assert_eq!(
        other.requirement,
        requirement("gpu-capgate.io/compute.min", Operator::Lt, &["61"])
    );
    assert_eq!(
        separating_term(&pod(1), &fleet, &of("6.0"), &of("6.0")),
        None
    );
    let pinned = Placement {
        node_selector: BTreeMap::from([("pool".to_owned(), "x".to_owned())]),
        ..pod(1)
    };
    assert_eq!(
        separating_term(&pinned, &fleet, &of("7.5"), &of("6.0")),
        None
    );
    assert!(separating_term(&pinned.unselected(), &fleet, &of("7.5"), &of("6.0")).is_some());
}

#[test]
fn an_unknown_node_is_never_steered_to() {
    let unknown = node("d", 1, &[("gpu-capgate.io/compute.min", "90")], &[]);
    let stale = with(
        &unknown,
        "metadata.annotations",
        json!({"gpu-capgate.io/inventory": "{"}),
    );
    let fleet = fleet(&[labelled("a", "60", "x"), labelled("c", "75", "y"), stale]);
    let known: Vec<ClassId> = fleet
        .classes()
        .filter(|(_, knowledge, _)| knowledge.doubt().is_none())
        .map(|(id, _, _)| id)
        .collect();
    let [bad, good] = known.as_slice() else {
        panic!("{known:?}")
    };
    // compute.min would take the unknown node as well.
    let found = separating_term(&pod(1), &fleet, &[*good], &[*bad]);
    let keys: Vec<String> = found
        .iter()
        .map(|found| found.requirement.key.clone())
        .collect();
    assert_ne!(keys, ["gpu-capgate.io/compute.min"]);
}

#[test]
fn an_excluding_term_takes_only_the_bad_nodes_away() {
    let bare = node("d", 1, &[], &[]);
    let fleet = fleet(&[labelled("a", "60", "x"), labelled("c", "75", "y"), bare]);
    let of = |wanted: Option<&str>| -> Vec<ClassId> {
        let capability = |knowledge: &Knowledge| {
            let group = knowledge.groups(None).next()?;
            Some(group.host.capability?.to_string())
        };
        let classes = fleet.classes();
        classes
            .filter(|(_, knowledge, _)| capability(knowledge).as_deref() == wanted)
            .map(|(id, _, _)| id)
            .collect()
    };
    let (bad, good, unknown) = (of(Some("6.0")), of(Some("7.5")), of(None));
    let kept = [good.clone(), unknown.clone()].concat();
    assert_eq!(separating_term(&pod(1), &fleet, &kept, &bad), None);
    let found = excluding_term(&pod(1), &fleet, &kept, &bad).unwrap();
    let expected = requirement("gpu-capgate.io/compute.min", Operator::NotIn, &["60"]);
    assert_eq!(found.requirement, expected);
    assert_eq!(found.nodes, 2);
    // No label tells a node without any from the others.
    let kept = [good, bad].concat();
    assert_eq!(excluding_term(&pod(1), &fleet, &kept, &unknown), None);
    assert_eq!(excluding_term(&pod(1), &fleet, &kept, &[]), None);
}

fn any_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = "[ab]|nvidia.com/gpu.product|nvidia.com/gpu.count|gpu-capgate.io/compute.min|kubernetes.io/os";
    proptest::collection::btree_map(key, "[0-4]|x|Tesla-T4|windows", 0..5)
}

fn any_node() -> impl Strategy<Value = Value> {
    let taint = (
        "[ab]|node.kubernetes.io/not-ready",
        "x?|[0-9]",
        "NoSchedule|NoExecute|PreferNoSchedule",
    );
    let taints = proptest::collection::vec(taint, 0..2);
    (any_labels(), taints, 0..4_u32, 0..4_u32, any::<bool>()).prop_map(|(labels, taints, capacity, allocatable, cordon)| {
        let taint = |(key, value, effect): &(String, String, String)| json!({"key": key, "value": value, "effect": effect});
        json!({"metadata": {"labels": labels},
            "spec": {"taints": taints.iter().map(taint).collect::<Vec<_>>(), "unschedulable": cordon},
            "status": {"capacity": {GPU: capacity.to_string()}, "allocatable": {GPU: allocatable.to_string()}}})
    })
}

fn any_nodes() -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(any_node(), 0..12).prop_map(|nodes| {
        let named = nodes.into_iter().enumerate();
        named
            .map(|(index, node)| with(&node, "metadata.name", json!(format!("n{index}"))))
            .collect()
    })
}

fn any_requirement(key: &'static str) -> impl Strategy<Value = Requirement> {
    let operators = [
        Operator::In,
        Operator::NotIn,
        Operator::Exists,
        Operator::DoesNotExist,
        Operator::Gt,
        Operator::Lt,
        Operator::Unreadable,
    ];
    let values = proptest::collection::vec("[0-4]|x|n[0-9]|8\\.0|-", 0..3);
    (key, proptest::sample::select(operators.to_vec()), values).prop_map(
        |(key, operator, values)| Requirement {
            key,
            operator,
            values,
        },
    )
}

fn any_placement() -> impl Strategy<Value = Placement> {
    let term = (
        proptest::collection::vec(any_requirement("[abc]|gpu-capgate.io/compute.min"), 0..3),
        proptest::collection::vec(any_requirement("metadata.name|other"), 0..2),
    );
    let term = term.prop_map(|(match_expressions, match_fields)| Term {
        match_expressions,
        match_fields,
    });
    let toleration = (
        "[ab]?",
        "|Equal|Exists|Gt|Lt|Other",
        "x?|[0-9]",
        "|NoSchedule|NoExecute",
    )
        .prop_map(|(key, operator, value, effect)| Toleration {
            key,
            operator: TolerationOperator::named(&operator),
            value,
            effect,
        });
    let bases = [
        Basis::AdmittedPod,
        Basis::WrittenPod,
        Basis::Template,
        Basis::DaemonSet(PodNetwork::Host),
    ];
    (
        proptest::option::weighted(0.1, "n[0-9]"),
        proptest::collection::btree_map("[ab]", "[0-4x]", 0..2),
        proptest::option::of(proptest::collection::vec(term, 0..3)),
        proptest::collection::vec(toleration, 0..3),
        0..4_u64,
        proptest::sample::select(bases.to_vec()),
    )
        .prop_map(
            |(node_name, node_selector, required, tolerations, gpus, basis)| Placement {
                node_name,
                node_selector,
                required,
                tolerations,
                basis,
                ..pod(gpus)
            },
        )
}

/// How many nodes of each class, and which.
fn shown(candidates: &Candidates<'_>) -> BTreeMap<String, usize> {
    let mut shown = BTreeMap::new();
    for class in &candidates.classes {
        *shown.entry(format!("{:?}", class.knowledge)).or_default() += class.nodes;
    }
    shown
}

proptest! {
    #[test]
    fn now_is_a_subset_of_possible(nodes in any_nodes(), placement in any_placement()) {
        let fleet = fleet(&nodes);
        let (wide, narrow) = (shown(&possible(&placement, &fleet)), shown(&now(&placement, &fleet)));
        for (class, nodes) in narrow {
            prop_assert!(wide.get(&class) >= Some(&nodes), "{class}: {nodes} in {wide:?}");
        }
    }

    #[test]
    fn the_order_of_nodes_changes_nothing(nodes in any_nodes(), placement in any_placement()) {
        let reversed: Vec<Value> = nodes.iter().rev().cloned().collect();
        let (one, other) = (fleet(&nodes), fleet(&reversed));
        prop_assert_eq!(possible(&placement, &one), possible(&placement, &other));
        prop_assert_eq!(now(&placement, &one), now(&placement, &other));
    }

    #[test]
    fn another_node_takes_no_candidate_away(nodes in any_nodes(), placement in any_placement(), more in any_node()) {
        let before = fleet(&nodes);
        let mut roster = roster(&nodes);
        roster.put_node(&NodeObject::from_json(&with(&more, "metadata.name", json!("more"))).unwrap());
        let after = roster.fleet();
        for ask in [possible, now] {
            let wide = shown(&ask(&placement, &after));
            for (class, nodes) in shown(&ask(&placement, &before)) {
                prop_assert!(wide.get(&class) >= Some(&nodes), "{class}");
            }
        }
    }

    #[test]
    fn selectors_mean_on_the_fleet_what_they_mean_on_a_node(nodes in any_nodes(), placement in any_placement()) {
        let nodes: Vec<Value> = nodes.into_iter().map(|node| {
            let plain = with(&node, "spec", json!({}));
            with(&plain, "status.allocatable", json!({GPU: "4"}))
        }).collect();
        let expected = nodes.iter().filter(|node| {
            let object = NodeObject::from_json(node).unwrap();
            let named = placement.node_name.as_ref().is_none_or(|name| *name == object.name);
            let linux = object.labels.get("kubernetes.io/os").map(String::as_str) != Some("windows");
            named && linux && selector::selects(&placement, &object.name, &object.labels)
        });
        prop_assert_eq!(now(&placement, &fleet(&nodes)).nodes(), expected.count());
    }

    #[test]
    fn a_node_that_is_changed_and_removed_leaves_nothing(nodes in any_nodes(), placement in any_placement(), other in any_node()) {
        let mut changing = roster(&nodes);
        changing.put_node(&NodeObject::from_json(&with(&other, "metadata.name", json!("n0"))).unwrap());
        let _ = changing.fleet();
        match nodes.first() {
            Some(first) => { changing.put_node(&NodeObject::from_json(first).unwrap()); }
            None => { changing.remove_node("n0"); }
        }
        let (one, other) = (changing.fleet(), fleet(&nodes));
        prop_assert_eq!(possible(&placement, &one), possible(&placement, &other));
    }
}
