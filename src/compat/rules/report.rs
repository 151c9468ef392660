//! Collects findings, gaps and the facts used, and makes a judgement of them.

use std::sync::Arc;

use crate::compat::software::{Evidence, Fact, FactName, Gap, Standing};
use crate::compat::verdict::{
    Cause, Code, FactValue, Finding, Force, Judgement, MissingFact, UsedFact, Verdict,
};

/// Which evidence a cause needs before it may refuse.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// Driver and toolkit floors, for which a name is enough.
    Floor,
    /// Anything about contents.
    Contents,
}

/// What has been found so far.
pub(super) struct Report {
    findings: Vec<Finding>,
    gaps: Vec<MissingFact>,
    facts: Vec<UsedFact>,
}

/// A fact in the form in which it is reported, if it is known.
pub(super) fn used<T: Clone>(
    name: FactName,
    fact: &Fact<T>,
    value: fn(T) -> FactValue,
) -> Option<UsedFact> {
    fact.known().map(|(known, evidence)| UsedFact {
        name,
        value: value(known.clone()),
        evidence: evidence.clone(),
    })
}

/// A fact from the knowledge base.
pub(super) fn looked_up(name: FactName, value: FactValue, evidence: Evidence) -> UsedFact {
    UsedFact {
        name,
        value,
        evidence,
    }
}

/// Facts that a good verdict usually rests on; room for them is made at once.
const USUAL_FACTS: usize = 8;

impl Report {
    /// Nothing found yet.
    pub(super) fn new() -> Self {
        Self {
            findings: Vec::new(),
            gaps: Vec::new(),
            facts: Vec::with_capacity(USUAL_FACTS),
        }
    }

    /// Notes facts that a good verdict rests on.
    pub(super) fn rests_on(&mut self, facts: impl IntoIterator<Item = UsedFact>) {
        self.facts.extend(facts);
    }

    /// Notes something decisive that is not known.
    pub(super) fn missing(&mut self, name: FactName, gap: Gap) {
        self.gaps.push(MissingFact { name, gap });
    }

    /// Notes something decisive that is not known, with its reason.
    pub(super) fn missing_because(&mut self, name: FactName, reason: impl Into<Arc<str>>) {
        self.missing(name, Gap::new(reason));
    }

    /// Adds a cause of certain failure. Where the evidence may not deny, nothing is certain: a gap.
    pub(super) fn fails(&mut self, code: Code, ground: Ground, cause: Cause, facts: Vec<UsedFact>) {
        let weak = facts
            .iter()
            .find(|fact| force(&fact.evidence, ground) == Force::MayWarn);
        if let Some(fact) = weak {
            let reason = format!(
                "{code} is likely, but not certain by this evidence: {}",
                fact.evidence.source
            );
            return self.gaps.push(MissingFact {
                name: fact.name,
                gap: Gap::new(reason),
            });
        }
        self.findings.push(Finding {
            code,
            verdict: Verdict::Fails,
            force: Force::MayDeny,
            cause,
            facts,
        });
    }

    /// Whether something with that code has been found.
    pub(super) fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }

    /// Adds a finding that warns, whatever the evidence.
    pub(super) fn warns(
        &mut self,
        code: Code,
        verdict: Verdict,
        cause: Cause,
        facts: Vec<UsedFact>,
    ) {
        self.findings.push(Finding {
            code,
            verdict,
            force: Force::MayWarn,
            cause,
            facts,
        });
    }

    /// Adds a finding as it is.
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The judgement: the worst of all findings and gaps.
    pub(super) fn into_judgement(mut self) -> Judgement {
        self.findings.sort_by_key(|finding| finding.code);
        let open = if self.gaps.is_empty() {
            Verdict::Runs
        } else {
            Verdict::Unknown
        };
        let verdict = self
            .findings
            .iter()
            .map(|finding| finding.verdict)
            .fold(open, Verdict::max);
        let mut facts = self.facts;
        for finding in &self.findings {
            for fact in &finding.facts {
                if !facts.contains(fact) {
                    facts.push(fact.clone());
                }
            }
        }
        Judgement {
            verdict,
            findings: self.findings,
            gaps: self.gaps,
            facts,
        }
    }
}

/// What a piece of evidence may carry on that ground.
pub(super) fn force(evidence: &Evidence, ground: Ground) -> Force {
    match (evidence.standing(), ground) {
        (Standing::MayDeny, _) | (Standing::MayDenyFloors, Ground::Floor) => Force::MayDeny,
        (Standing::MayDenyFloors, Ground::Contents) | (Standing::NeverDenies, _) => Force::MayWarn,
    }
}
