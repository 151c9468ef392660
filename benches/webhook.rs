//! The webhook under load. `cargo bench --bench webhook -- MODE ARGUMENTS 2> /dev/null`; stderr is its log, which it
//! writes as it does in a cluster, and stdout the figures.
//!
//! - `compare [ROUNDS] [SECONDS] [NODES...]`: against the same server with a handler that does nothing.
//! - `rotate [SECONDS]`: another certificate every second under load.
//! - `memory streamed|pages [NODES] [SECONDS]`: the program itself, beside an API server that serves nodes.
//! - `nodes COUNT`: prints that many of the nodes that all of them use, as a list in JSON.
//! - `latency [COUNT]`, `soak [SECONDS]`: behind a real API server; tests/cluster/measure runs them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement that goes wrong ends; its counts are small"
)]

#[path = "webhook/cluster.rs"]
mod cluster;
#[path = "webhook/compare.rs"]
mod compare;
#[path = "webhook/load.rs"]
mod load;
#[path = "webhook/memory.rs"]
mod memory;
#[path = "webhook/nodes.rs"]
mod nodes;
#[path = "webhook/reviews.rs"]
mod reviews;

use std::time::Duration;

use gpu_capgate::telemetry::{LogFormat, start};
use serde_json::{Value, json};

use compare::Plan;
use memory::Lists;

fn main() {
    start(LogFormat::Json, "info").unwrap();
    // Cargo adds --bench.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        [] => compare(&[]),
        ["compare", ref rest @ ..] => compare(rest),
        ["rotate", ref rest @ ..] => compare::rotate(numbers(rest).next().unwrap_or(60)),
        ["memory", "streamed", ref rest @ ..] => memory(Lists::Streamed, rest),
        ["memory", "pages", ref rest @ ..] => memory(Lists::InPages, rest),
        ["nodes", ref rest @ ..] => print_nodes(numbers(rest).next().unwrap_or(5_000)),
        ["latency", ref rest @ ..] => cluster::latency(numbers(rest).next().unwrap_or(1000)),
        ["soak", ref rest @ ..] => cluster::soak(seconds(numbers(rest).next(), 60)),
        [other, ..] => panic!("no mode {other:?}; the file's first lines tell which there are"),
    }
}

fn compare(words: &[&str]) {
    let mut numbers = numbers(words);
    let rounds = numbers.next().unwrap_or(5);
    let window = seconds(numbers.next(), 2);
    let mut nodes: Vec<usize> = numbers.collect();
    if nodes.is_empty() {
        nodes = vec![5_000, 15_000];
    }
    compare::compare(&Plan {
        nodes,
        rounds,
        window,
    });
}

fn memory(lists: Lists, words: &[&str]) {
    let mut numbers = numbers(words);
    let nodes = numbers.next().unwrap_or(5_000);
    memory::measure(nodes, lists, seconds(numbers.next(), 30));
}

fn print_nodes(count: usize) {
    let items: Vec<Value> = (0..count).map(nodes::node).collect();
    let list = json!({"apiVersion": "v1", "kind": "NodeList", "items": items});
    println!("{list}");
}

fn numbers(words: &[&str]) -> impl Iterator<Item = usize> {
    words.iter().map(|word| word.parse().unwrap())
}

fn seconds(given: Option<usize>, default: usize) -> Duration {
    Duration::from_secs(given.unwrap_or(default) as u64)
}
