//! Where the GPUs are: how far a cause reaches, and which nodes were counted.

use std::collections::BTreeMap;

use super::{Place, cause};
use crate::admission::decision::Candidate;
use crate::compat::{Host, Verdict};

/// Most kinds of GPUs that are listed.
const KINDS_SHOWN: usize = 4;

/// How far the cause reaches: over all that the Pod can get.
pub(super) fn scope(place: Place<'_>, candidates: &[Candidate], host: &Host) -> String {
    if matches!(place, Place::Named) {
        return String::new();
    }
    match kinds(candidates).len() {
        1 => ", the only GPU type this Pod can land on".to_owned(),
        kinds => {
            let others = kinds - usize::from(host.product.is_some());
            let type_s = if others == 1 { "type" } else { "types" };
            format!(", nor for the {others} other GPU {type_s} this Pod can land on")
        }
    }
}

/// What a warning says where some of the nodes fit.
pub(super) fn partial(candidates: &[Candidate]) -> String {
    let (good, all) = counted(candidates);
    format!(", and this Pod can land there: it runs on {good} of {all} nodes")
}

/// Nodes grouped by kind of GPU, counted, and how many of them fit; empty outside a cluster.
pub(super) fn nodes(place: Place<'_>, candidates: &[Candidate]) -> String {
    let Place::Nodes { selection } = place else {
        return String::new();
    };
    let (good, total) = counted(candidates);
    let kinds = kinds(candidates);
    let shown: Vec<String> = kinds
        .iter()
        .take(KINDS_SHOWN)
        .map(|(gpu, count)| format!("{count}x {gpu}"))
        .collect();
    let more = match kinds.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} other kinds"),
    };
    let matching = if selection.is_empty() {
        "possible".to_owned()
    } else {
        format!("match {selection}")
    };
    let shown = shown.join(", ");
    format!("{total} {matching}: {shown}{more} -> {good} of {total} can run it")
}

/// How many nodes fit, and how many there are.
fn counted(candidates: &[Candidate]) -> (usize, usize) {
    let fits =
        |candidate: &&Candidate| matches!(candidate.verdict(), Verdict::Runs | Verdict::Degraded);
    let all = candidates.iter().map(|candidate| candidate.nodes).sum();
    let good = candidates
        .iter()
        .filter(fits)
        .map(|candidate| candidate.nodes);
    (good.sum(), all)
}

/// Kinds of GPUs among the candidates, with the number of nodes that have them.
fn kinds(candidates: &[Candidate]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for candidate in candidates {
        for (host, _) in &candidate.hosts {
            *kinds.entry(cause::gpu(host)).or_default() += candidate.nodes;
        }
    }
    kinds
}
