//! The decision: verdicts on every class of candidate nodes in, allow, warn, deny or undecided out.
//!
//! Pure. Refuses only on certainty: at least one candidate, every candidate known to fail, and evidence that may refuse.

use std::fmt;

use serde::Serialize;

use crate::compat::{Code, Finding, Force, Host, Judgement, Verdict};

/// What becomes of a document; the order is from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Nothing to say.
    Allow,
    /// Admitted, with a warning.
    Warn,
    /// Admitted unchecked, because something decisive is not known.
    Undecided,
    /// Refused.
    Deny,
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Undecided => "undecided",
            Self::Deny => "deny",
        })
    }
}

/// One class of equal nodes: what each kind of GPU on them makes of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// How many nodes are in the class.
    pub nodes: usize,
    /// A host and its judgement for each kind of GPU on such a node; empty if the node is unknown.
    pub hosts: Vec<(Host, Judgement)>,
}

/// How a container fares on one class of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Some GPU there can run it.
    Fits,
    /// Some GPUs there can, some cannot.
    Mixed,
    /// None can, and the evidence may refuse.
    Fails,
    /// None can, as far as evidence goes that may not refuse.
    SeemsToFail,
    /// Not known.
    Unknown,
}

impl Candidate {
    /// The verdict on the class: that of its best GPU, since one of them is enough.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.hosts
            .iter()
            .map(|(_, judgement)| judgement.verdict)
            .min()
            .unwrap_or(Verdict::Unknown)
    }

    fn fit(&self) -> Fit {
        let failing = self
            .hosts
            .iter()
            .filter(|(_, judgement)| judgement.verdict == Verdict::Fails);
        let failing = failing.count();
        match self.verdict() {
            Verdict::Runs | Verdict::Degraded if failing > 0 => Fit::Mixed,
            Verdict::Runs | Verdict::Degraded => Fit::Fits,
            Verdict::Unknown => Fit::Unknown,
            Verdict::Fails if self.hosts.iter().all(|(_, judgement)| refuses(judgement)) => {
                Fit::Fails
            }
            Verdict::Fails => Fit::SeemsToFail,
        }
    }

    fn codes(&self) -> impl Iterator<Item = Code> {
        self.hosts
            .iter()
            .flat_map(|(_, judgement)| judgement.findings.iter().map(|finding| finding.code))
    }
}

/// Whether a failing judgement may carry a refusal.
fn refuses(judgement: &Judgement) -> bool {
    judgement
        .findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fails && may_refuse(finding))
}

fn may_refuse(finding: &Finding) -> bool {
    finding.force == Force::MayDeny && finding.code <= Code::CpuBuild
}

/// A decision and the codes behind it, worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What becomes of the container.
    pub decision: Decision,
    /// All causes that hold somewhere.
    pub codes: Vec<Code>,
}

/// Decides on one container, over all classes of nodes that its Pod could land on.
#[must_use]
pub fn decide(candidates: &[Candidate]) -> Ruling {
    let fits: Vec<Fit> = candidates.iter().map(Candidate::fit).collect();
    let any = |wanted: &[Fit]| fits.iter().any(|fit| wanted.contains(fit));
    let mut codes: Vec<Code> = candidates.iter().flat_map(Candidate::codes).collect();
    let runs = any(&[Fit::Fits, Fit::Mixed]);
    if runs && any(&[Fit::Mixed, Fit::Fails, Fit::SeemsToFail]) {
        codes.push(Code::Partial);
    }
    codes.sort_unstable();
    codes.dedup();
    let decision = if runs {
        if codes.is_empty() {
            Decision::Allow
        } else {
            Decision::Warn
        }
    } else if candidates.is_empty() || any(&[Fit::Unknown]) {
        Decision::Undecided
    } else if any(&[Fit::SeemsToFail]) {
        Decision::Warn
    } else {
        Decision::Deny
    };
    Ruling { decision, codes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::{Cause, ComputeCapability, PtxList, TargetList};

    fn judgement(verdict: Verdict, force: Force) -> Judgement {
        let capability = ComputeCapability::new(6, 0).unwrap();
        let cause = Cause::Arch {
            capability,
            sass: TargetList::default(),
            ptx: PtxList::default(),
        };
        let finding = Finding {
            code: Code::Arch,
            verdict,
            force,
            cause,
            facts: Vec::new(),
        };
        let findings = if verdict == Verdict::Fails {
            vec![finding]
        } else {
            Vec::new()
        };
        Judgement {
            verdict,
            findings,
            gaps: Vec::new(),
            facts: Vec::new(),
        }
    }

    fn candidate(verdicts: &[Verdict]) -> Candidate {
        let host = |&verdict: &Verdict| (Host::default(), judgement(verdict, Force::MayDeny));
        Candidate {
            nodes: 1,
            hosts: verdicts.iter().map(host).collect(),
        }
    }

    fn decision(candidates: &[Candidate]) -> (Decision, Vec<Code>) {
        let ruling = decide(candidates);
        (ruling.decision, ruling.codes)
    }

    use Verdict::{Fails, Runs, Unknown};

    #[test]
    fn denies_only_when_every_candidate_fails() {
        assert_eq!(
            decision(&[candidate(&[Fails])]),
            (Decision::Deny, vec![Code::Arch])
        );
        assert_eq!(
            decision(&[candidate(&[Fails]), candidate(&[Runs])]),
            (Decision::Warn, vec![Code::Arch, Code::Partial])
        );
    }

    #[test]
    fn no_candidate_is_no_reason_to_deny() {
        assert_eq!(decision(&[]), (Decision::Undecided, vec![]));
    }

    #[test]
    fn an_unknown_candidate_among_failing_ones_leaves_it_undecided() {
        assert_eq!(
            decision(&[candidate(&[Fails]), candidate(&[])]).0,
            Decision::Undecided
        );
        assert_eq!(
            decision(&[candidate(&[Fails]), candidate(&[Unknown])]).0,
            Decision::Undecided
        );
    }

    #[test]
    fn an_unknown_candidate_beside_a_fitting_one_changes_nothing() {
        assert_eq!(
            decision(&[candidate(&[Runs]), candidate(&[])]),
            (Decision::Allow, vec![])
        );
    }

    #[test]
    fn a_node_fails_only_if_none_of_its_gpus_fits() {
        let mixed = candidate(&[Fails, Runs]);
        assert_eq!(
            decision(&[mixed]),
            (Decision::Warn, vec![Code::Arch, Code::Partial])
        );
    }

    #[test]
    fn evidence_that_may_not_deny_only_warns() {
        let assumed = Candidate {
            nodes: 1,
            hosts: vec![(Host::default(), judgement(Fails, Force::MayWarn))],
        };
        assert_eq!(decision(&[assumed]).0, Decision::Warn);
    }
}
