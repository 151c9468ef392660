//! What was found on one kind of GPU, as a result of the report.

use super::{CheckResult, ConflictReport, FactReport, GapReport, HostReport};
use crate::admission::contents::Contents;
use crate::compat::rules::LeastDriver;
use crate::compat::verdict::MissingFact;
use crate::compat::{Code, Evidence, FactName, Host, Judgement, UsedFact, Verdict};
use crate::image::evidence::{Conflict, Winner};

/// One host, and what was found there.
pub(in crate::command::check) struct Finding<'a> {
    pub(in crate::command::check) host: HostReport,
    pub(in crate::command::check) contents: &'a Contents,
    pub(in crate::command::check) judgement: &'a Judgement,
}

/// What a result says in words.
#[derive(Default)]
pub(in crate::command::check) struct Texts {
    pub(in crate::command::check) message: String,
    pub(in crate::command::check) explanation: String,
}

impl Finding<'_> {
    /// The result for that host.
    pub(in crate::command::check) fn result(
        self,
        image: Option<String>,
        codes: Vec<Code>,
        texts: Texts,
    ) -> CheckResult {
        let Finding {
            host,
            contents,
            judgement,
        } = self;
        let gap = |missing: &MissingFact| GapReport {
            fact: missing.name,
            reason: missing.gap.to_string(),
        };
        CheckResult {
            document: 0,
            container: None,
            image,
            alias_of: contents.image.as_ref().map(ToString::to_string),
            torch: contents.software.torch.value().map(ToString::to_string),
            host,
            verdict: judgement.verdict,
            codes,
            facts: judgement.facts.iter().map(fact).collect(),
            gaps: judgement.gaps.iter().map(gap).collect(),
            conflicts: contents.conflicts.iter().map(conflict).collect(),
            suggestion: contents.suggestion.as_ref().map(ToString::to_string),
            message: texts.message,
            explanation: texts.explanation,
        }
    }
}

impl CheckResult {
    /// The result for nodes of which nothing is known.
    pub(in crate::command::check) fn unknown(host: HostReport, reason: String) -> Self {
        Self {
            document: 0,
            container: None,
            image: None,
            alias_of: None,
            torch: None,
            host,
            verdict: Verdict::Unknown,
            codes: Vec::new(),
            facts: Vec::new(),
            gaps: vec![GapReport {
                fact: FactName::Gpu,
                reason,
            }],
            conflicts: Vec::new(),
            suggestion: None,
            message: String::new(),
            explanation: String::new(),
        }
    }
}

impl HostReport {
    pub(in crate::command::check) fn of(
        host: &Host,
        assumed: bool,
        least: LeastDriver,
        nodes: usize,
    ) -> Self {
        let (least_driver, no_driver_helps) = match least {
            LeastDriver::Is(floor) => (Some(floor), false),
            LeastDriver::Impossible => (None, true),
            LeastDriver::Unknown => (None, false),
        };
        Self {
            gpu: host.product.as_deref().map(str::to_owned),
            compute_capability: host.capability,
            driver: host.driver,
            cuda: host.cuda,
            driver_assumed: assumed,
            least_driver,
            no_driver_helps,
            arch: host.architecture,
            runtime: host.runtime,
            nodes,
        }
    }
}

fn fact(used: &UsedFact) -> FactReport {
    stated(used.name, used.value.to_string(), &used.evidence)
}

fn stated(fact: FactName, value: String, evidence: &Evidence) -> FactReport {
    FactReport {
        fact,
        value,
        origin: evidence.origin,
        proof: evidence.proof,
        source: evidence.source.to_string(),
    }
}

fn conflict(conflict: &Conflict) -> ConflictReport {
    let value =
        |(value, evidence): &(String, Evidence)| stated(conflict.fact, value.clone(), evidence);
    ConflictReport {
        fact: conflict.fact,
        winner: match conflict.winner {
            Winner::First => Some(conflict.first.0.clone()),
            Winner::Nobody => None,
        },
        values: [value(&conflict.first), value(&conflict.second)],
    }
}
