//! How long it takes to find a Pod's candidates, to make a fleet, and how much memory a node takes.
//!
//! Nodes are like those of real clusters: 80 labels, five of them a node's own, our inventory annotation, taints, 64
//! classes of GPUs. Parsing of objects is not measured.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is read is made here"
)]

#[path = "webhook/nodes.rs"]
mod nodes;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gpu_capgate::cluster::fleet::{Fleet, NodeObject, Roster, Settings};
use gpu_capgate::cluster::placement::{
    Operator, Placement, Requirement, Term, Toleration, TolerationOperator,
};
use gpu_capgate::cluster::schedule;
use gpu_capgate::compat::Catalog;
use nodes::CLASSES;

const SIZES: [usize; 3] = [100, 5_000, 15_000];
const GPU: &str = "nvidia.com/gpu";

fn node(index: usize) -> NodeObject {
    NodeObject::from_json(&nodes::node(index)).unwrap()
}

fn filled(nodes: impl Iterator<Item: Borrow<NodeObject>>) -> Roster<'static> {
    let mut roster = Roster::new(Settings::default(), Catalog::embedded());
    for node in nodes {
        roster.put_node(node.borrow());
    }
    roster
}

fn pod() -> Placement {
    Placement {
        resources: BTreeMap::from([(GPU.to_owned(), 4)]),
        tolerations: vec![Toleration {
            key: GPU.to_owned(),
            operator: TolerationOperator::Exists,
            ..Toleration::default()
        }],
        ..Placement::anywhere()
    }
}

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: key.to_owned(),
        operator,
        values: values.iter().map(|&value| value.to_owned()).collect(),
    }
}

/// A name and a Pod for each way of asking.
fn pods() -> [(&'static str, Placement); 3] {
    let selecting = Placement {
        node_selector: BTreeMap::from([("pool".to_owned(), "pool-7".to_owned())]),
        ..pod()
    };
    let terms = vec![
        Term {
            match_expressions: vec![
                requirement("gpu-capgate.io/compute.min", Operator::Gt, &["69"]),
                requirement(
                    "topology.kubernetes.io/zone",
                    Operator::In,
                    &["eu-west-10", "eu-west-11"],
                ),
            ],
            match_fields: Vec::new(),
        },
        Term {
            match_expressions: vec![
                requirement("gpu-capgate.io/sm-90", Operator::Exists, &[]),
                requirement("pool", Operator::NotIn, &["pool-1", "pool-2"]),
            ],
            match_fields: Vec::new(),
        },
    ];
    let affine = Placement {
        required: Some(terms),
        ..pod()
    };
    [
        ("anywhere", pod()),
        ("selector", selecting),
        ("affinity", affine),
    ]
}

fn candidates(criterion: &mut Criterion) {
    for (name, placement) in pods() {
        let mut group = criterion.benchmark_group(format!("candidates/{name}"));
        for size in SIZES {
            let fleet: Fleet = filled((0..size).map(node)).fleet();
            assert_eq!(fleet.classes().count(), CLASSES.min(size));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher
                    .iter(|| schedule::possible(black_box(&placement), black_box(&fleet)).nodes());
            });
        }
        group.finish();
    }
}

fn building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fleet");
    group.sample_size(10);
    for size in SIZES {
        let nodes: Vec<NodeObject> = (0..size).map(node).collect();
        group.bench_function(BenchmarkId::new("from-scratch", size), |bencher| {
            bencher.iter(|| filled(nodes.iter()).fleet().nodes());
        });
        let mut roster = filled(nodes.iter());
        let mut round = 0_usize;
        group.bench_function(BenchmarkId::new("one-node-changes", size), |bencher| {
            bencher.iter(|| {
                round += 1;
                let mut changed = nodes[round % size].clone();
                changed
                    .labels
                    .insert("pool".to_owned(), format!("pool-{}", round % 50));
                roster.put_node(&changed);
                roster.fleet().nodes()
            });
        });
    }
    group.finish();
}

/// Prints what a node takes: as counted by the parts themselves, and as the process grew.
fn memory(_: &mut Criterion) {
    // The greatest first, so that no memory of another is used again.
    for size in SIZES.into_iter().rev() {
        let before = resident();
        let mut roster = filled((0..size).map(node));
        let fleet = roster.fleet();
        let grown = resident().saturating_sub(before);
        println!(
            "memory/{size}: {} bytes a node in the fleet, {} more in the watch's records, {} by the growth of the process",
            fleet.bytes() / size,
            roster.bytes() / size,
            grown / size,
        );
        black_box((&roster, &fleet));
    }
}

/// Resident memory of this process in bytes, by /proc; 0 where there is none.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}

criterion_group!(benches, memory, candidates, building);
criterion_main!(benches);
