//! Where the GPUs are: how far a cause reaches, and which nodes were counted.

use std::collections::BTreeMap;

use super::{Place, cause};
use crate::admission::decision::{Candidate, Decision};
use crate::cluster::fleet::Doubt;
use crate::compat::{Code, Verdict};

/// Most kinds of GPUs that are listed.
const KINDS_SHOWN: usize = 4;

/// How far a cause with that code reaches, over all that the Pod can get; of what runs elsewhere nothing is said.
pub(super) fn scope(
    place: Place<'_>,
    candidates: &[&Candidate<'_>],
    code: Code,
    decision: Decision,
) -> String {
    if matches!(place, Place::Named) {
        return String::new();
    }
    let with = candidates.iter().copied();
    let with = kinds(with.filter(|candidate| has(candidate, code))).len();
    let all = kinds(candidates.iter().copied()).len();
    let others = match all {
        0 => return String::new(),
        1 => return ", the only GPU type this Pod can land on".to_owned(),
        2 => "the other GPU type".to_owned(),
        _ => format!("the {} other GPU types", all - 1),
    };
    match decision {
        _ if with == all => format!(", and the same holds for {others} this Pod can land on"),
        Decision::Deny => format!(", and it does not run on {others} this Pod can land on"),
        Decision::Allow | Decision::Warn | Decision::Undecided => String::new(),
    }
}

fn has(candidate: &Candidate<'_>, code: Code) -> bool {
    let mut findings = candidate
        .hosts
        .iter()
        .flat_map(|judged| &judged.judgement.findings);
    findings.any(|finding| finding.code == code)
}

/// What is told where some of the nodes fit.
pub(super) fn partial(candidates: &[&Candidate<'_>]) -> String {
    let (good, all) = counted(candidates);
    format!(", and this Pod can land there: it runs on {good} of {all} nodes")
}

/// Why the nodes leave it open.
pub(super) fn doubt(candidates: &[&Candidate<'_>]) -> String {
    if candidates.is_empty() {
        return "no node is known that this Pod could land on".to_owned();
    }
    let mut doubts: BTreeMap<Doubt, usize> = BTreeMap::new();
    for candidate in candidates {
        if let Some(doubt) = candidate.doubt {
            *doubts.entry(doubt).or_default() += candidate.nodes + candidate.pools;
        }
    }
    match doubts.iter().next() {
        Some((doubt, count)) => {
            let node_s = if *count == 1 { "node" } else { "nodes" };
            format!("cannot tell for {count} {node_s} this Pod can land on: {doubt}")
        }
        None => "what its nodes have is not known".to_owned(),
    }
}

/// Nodes grouped by kind of GPU, counted, and how many of them fit; empty outside a cluster.
pub(super) fn nodes(place: Place<'_>, candidates: &[&Candidate<'_>]) -> String {
    let Place::Nodes { selection, .. } = place else {
        return String::new();
    };
    let (good, total) = counted(candidates);
    if candidates.is_empty() {
        return format!("none {}", matching(selection));
    }
    let kinds = kinds(candidates.iter().copied());
    let shown: Vec<String> = kinds
        .iter()
        .take(KINDS_SHOWN)
        .map(|(gpu, count)| format!("{count}x {gpu}"))
        .collect();
    let more = match kinds.len() - shown.len() {
        0 => String::new(),
        1 => " and 1 other kind".to_owned(),
        more => format!(" and {more} other kinds"),
    };
    let matching = matching(selection);
    let shown = shown.join(", ");
    format!("{total} {matching}: {shown}{more} -> {good} of {total} can run it")
}

fn matching(selection: &str) -> String {
    if selection.is_empty() {
        "possible".to_owned()
    } else {
        format!("match {selection}")
    }
}

/// How many nodes fit, and how many there are.
fn counted(candidates: &[&Candidate<'_>]) -> (usize, usize) {
    let fits = |candidate: &&&Candidate<'_>| {
        matches!(candidate.verdict(), Verdict::Runs | Verdict::Degraded)
    };
    let all = candidates
        .iter()
        .map(|candidate| candidate.nodes + candidate.pools)
        .sum();
    let good = candidates
        .iter()
        .filter(fits)
        .map(|candidate| candidate.nodes + candidate.pools);
    (good.sum(), all)
}

/// Kinds of GPUs among the candidates, with the number of nodes that have them.
fn kinds<'a>(candidates: impl Iterator<Item = &'a Candidate<'a>>) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for candidate in candidates {
        let nodes = candidate.nodes + candidate.pools;
        if candidate.hosts.is_empty() {
            *kinds.entry("unknown GPUs".to_owned()).or_default() += nodes;
        }
        for judged in &candidate.hosts {
            *kinds.entry(cause::gpu(judged.host)).or_default() += nodes;
        }
    }
    kinds
}
