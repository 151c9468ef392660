//! The decision: verdicts on every class of candidate nodes in, allow, warn, deny or undecided out.
//!
//! Pure. Refuses only on certainty: at least one candidate, every candidate known to fail, and evidence that may refuse.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::policy::{Policy, Reaction};
use crate::cluster::fleet::Doubt;
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
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Candidate<'a> {
    /// How many nodes are in the class.
    pub nodes: usize,
    /// How many pools may bring such nodes, and have none yet.
    pub pools: usize,
    /// Why nothing is known of its GPUs, if that is so.
    pub doubt: Option<Doubt>,
    /// Each kind of GPU on such a node; empty if that is not known.
    pub hosts: Vec<Judged<'a>>,
}

/// A kind of GPU, and what it makes of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged<'a> {
    /// The GPU and what is around it.
    pub host: &'a Host,
    /// What becomes of the container's software there.
    pub judgement: Arc<Judgement>,
}

/// How a container fares on one class of nodes; the order is from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Every GPU there can run it.
    Fits,
    /// Some GPUs there can, some cannot.
    Mixed,
    /// Not known.
    Unknown,
    /// None can, as far as evidence goes that may not refuse.
    SeemsToFail,
    /// None can, and the evidence may refuse.
    Fails,
}

impl Candidate<'_> {
    /// The verdict on the class: that of its best GPU, since one of them is enough.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.hosts
            .iter()
            .map(|judged| judged.judgement.verdict)
            .min()
            .unwrap_or(Verdict::Unknown)
    }

    /// How the container fares there.
    #[must_use]
    pub fn fit(&self, policy: &Policy) -> Fit {
        let fails = |judged: &Judged<'_>| judged.judgement.verdict == Verdict::Fails;
        match self.verdict() {
            Verdict::Runs | Verdict::Degraded if self.hosts.iter().any(fails) => Fit::Mixed,
            Verdict::Runs | Verdict::Degraded => Fit::Fits,
            Verdict::Unknown => Fit::Unknown,
            Verdict::Fails if self.hosts.iter().all(|judged| refuses(judged, policy)) => Fit::Fails,
            Verdict::Fails => Fit::SeemsToFail,
        }
    }

    /// The worst cause of any of its GPUs.
    #[must_use]
    pub fn worst_code(&self) -> Option<Code> {
        self.codes().min()
    }

    fn codes(&self) -> impl Iterator<Item = Code> {
        self.hosts
            .iter()
            .flat_map(|judged| judged.judgement.findings.iter().map(|finding| finding.code))
    }
}

/// Whether a failing judgement may carry a refusal.
fn refuses(judged: &Judged<'_>, policy: &Policy) -> bool {
    judged
        .judgement
        .findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fails && may_refuse(finding, policy))
}

fn may_refuse(finding: &Finding, policy: &Policy) -> bool {
    match (finding.code, policy.cpu_build) {
        (Code::CpuBuild, Reaction::Deny) => true,
        (code, _) => finding.force == Force::MayDeny && code <= Code::CpuBuild,
    }
}

/// A decision and the codes behind it, worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What becomes of it.
    pub decision: Decision,
    /// All causes that hold somewhere.
    pub codes: Vec<Code>,
}

/// Decides on containers that land on a node together: for each, the same classes of nodes in the same order. A class
/// fits only if it fits all of them.
#[must_use]
pub fn decide(containers: &[&[Candidate<'_>]], policy: &Policy) -> Ruling {
    let classes = containers
        .iter()
        .map(|candidates| candidates.len())
        .max()
        .unwrap_or(0);
    let fits: Vec<Fit> = (0..classes)
        .filter_map(|class| worst_fit(containers, class, policy))
        .collect();
    let any = |wanted: &[Fit]| fits.iter().any(|fit| wanted.contains(fit));
    let candidates = containers.iter().flat_map(|candidates| candidates.iter());
    let mut codes: Vec<Code> = candidates.flat_map(Candidate::codes).collect();
    let runs = any(&[Fit::Fits, Fit::Mixed]);
    let partial = runs && any(&[Fit::Mixed, Fit::Fails, Fit::SeemsToFail]);
    if partial {
        codes.push(Code::Partial);
    }
    codes.sort_unstable();
    codes.dedup();
    let strict = policy.partial_fit == Reaction::Deny && any(&[Fit::Mixed, Fit::Fails]);
    let decision = if runs && partial && strict {
        Decision::Deny
    } else if runs && codes.is_empty() {
        Decision::Allow
    } else if runs {
        Decision::Warn
    } else if fits.is_empty() || any(&[Fit::Unknown]) {
        Decision::Undecided
    } else if any(&[Fit::SeemsToFail]) {
        Decision::Warn
    } else {
        Decision::Deny
    };
    Ruling { decision, codes }
}

fn worst_fit(containers: &[&[Candidate<'_>]], class: usize, policy: &Policy) -> Option<Fit> {
    let of_class = containers
        .iter()
        .filter_map(|candidates| candidates.get(class));
    of_class.map(|candidate| candidate.fit(policy)).max()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

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

    static HOST: LazyLock<Host> = LazyLock::new(Host::default);

    fn candidate(verdicts: &[Verdict]) -> Candidate<'static> {
        let judged = |&verdict: &Verdict| Judged {
            host: &HOST,
            judgement: judgement(verdict, Force::MayDeny).into(),
        };
        Candidate {
            nodes: 1,
            hosts: verdicts.iter().map(judged).collect(),
            ..Candidate::default()
        }
    }

    fn decision(candidates: &[Candidate<'_>]) -> (Decision, Vec<Code>) {
        let ruling = decide(&[candidates], &Policy::default());
        (ruling.decision, ruling.codes)
    }

    fn strictly(candidates: &[Candidate<'_>]) -> Decision {
        let policy = Policy {
            partial_fit: Reaction::Deny,
            ..Policy::default()
        };
        decide(&[candidates], &policy).decision
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
            hosts: vec![Judged {
                host: &HOST,
                judgement: judgement(Fails, Force::MayWarn).into(),
            }],
            ..Candidate::default()
        };
        assert_eq!(decision(&[assumed]).0, Decision::Warn);
    }

    #[test]
    fn a_strict_policy_denies_what_runs_on_some_nodes_only() {
        let (fits, fails) = (candidate(&[Runs]), candidate(&[Fails]));
        assert_eq!(strictly(&[fits.clone(), fails]), Decision::Deny);
        assert_eq!(strictly(&[fits.clone(), candidate(&[])]), Decision::Allow);
        assert_eq!(strictly(&[fits]), Decision::Allow);
    }

    #[test]
    fn a_node_has_to_fit_all_containers_of_a_pod() {
        let first = [candidate(&[Runs]), candidate(&[Fails])];
        let second = [candidate(&[Fails]), candidate(&[Runs])];
        let policy = Policy::default();
        assert_eq!(decide(&[&first, &second], &policy).decision, Decision::Deny);
        let third = [candidate(&[Runs]), candidate(&[Runs])];
        assert_eq!(decide(&[&first, &third], &policy).decision, Decision::Warn);
        let unknown = [candidate(&[Unknown]), candidate(&[])];
        let ruling = decide(&[&first, &unknown], &policy);
        assert_eq!(ruling.decision, Decision::Undecided);
    }
}
