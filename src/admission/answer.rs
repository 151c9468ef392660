//! What is said about a Pod: an assessment, by the mode that holds for it, becomes a decision and its texts.
//!
//! Pure, and the same words for `kubectl`, Events and `check`.

use std::collections::HashSet;

use super::assess::{Assessed, Assessment, Assessor, Softening, Way};
use super::contents;
use super::decision::{Candidate, Decision};
use super::message::{self, Place, Skip, Subject, Thing};
use super::policy::{Mode, Permission, Unchecked};
use crate::cluster::demand::{ContainerDemand, REQUIRES_ANNOTATION};
use crate::cluster::fleet::Fleet;
use crate::cluster::schedule;
use crate::cluster::workload::FieldPath;
use crate::compat::Code;
use crate::image::reference::Reference;

/// Longest image name that is echoed, in characters.
const IMAGE_LIMIT: usize = 160;

/// What is said about a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What becomes of it.
    pub decision: Decision,
    /// What would become of it were every mode `enforce`.
    pub verdict: Decision,
    /// The image of the container that the text is about.
    pub image: String,
    /// Where the decisive fact about it was read.
    pub evidence: String,
    /// All causes, the worst first.
    pub codes: Vec<Code>,
    /// The whole text: of a refusal, or of what else was decided; empty where there is nothing to say.
    pub text: String,
    /// What is wrong with which container, where it is refused.
    pub causes: Vec<CauseLine>,
    /// What was found, one line each, where it is admitted.
    pub findings: Vec<String>,
    /// What else to mind, one line each.
    pub advice: Vec<String>,
    /// Why a refusal only warns; empty if that is not so.
    pub note: &'static str,
}

/// A container that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseLine {
    /// Where its image stands in the object.
    pub field: FieldPath,
    /// Its worst cause.
    pub code: Option<Code>,
    /// The cause in one line.
    pub line: String,
}

impl Answer {
    /// Nothing to say.
    #[must_use]
    pub const fn silence() -> Self {
        Self {
            decision: Decision::Allow,
            verdict: Decision::Allow,
            image: String::new(),
            evidence: String::new(),
            codes: Vec::new(),
            text: String::new(),
            causes: Vec::new(),
            findings: Vec::new(),
            advice: Vec::new(),
            note: "",
        }
    }

    /// All lines that warn, each once.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        let lines = self.findings.iter().chain(&self.advice);
        lines
            .map(String::as_str)
            .filter(move |line| seen.insert(*line))
    }
}

/// What is said about a Pod in a mode. `audit` and `off` allow, and keep the codes.
#[must_use]
pub fn answer<'a>(
    assessor: &Assessor<'a>,
    assessment: &Assessment<'a>,
    fleet: &'a Fleet,
    mode: Mode,
) -> Answer {
    let codes = assessment.codes();
    let decision = in_mode(assessment.decision, mode);
    let way = match assessment.ruling.decision {
        Decision::Deny | Decision::Warn => assessor.way(assessment, fleet),
        Decision::Allow | Decision::Undecided => None,
    };
    let teller = Teller {
        assessor,
        assessment,
        selection: schedule::selection(&assessment.demand.placement),
        way,
        decision,
    };
    let (image, evidence) = teller.shown();
    let quiet = matches!(mode, Mode::Audit | Mode::Off);
    Answer {
        decision,
        verdict: assessment.decision,
        image,
        evidence,
        codes,
        text: teller.text(),
        causes: teller.causes(),
        findings: teller.findings(),
        advice: if quiet { Vec::new() } else { teller.advice() },
        note: note(assessment.softened),
    }
}

/// What a decision becomes in a mode.
#[must_use]
pub fn in_mode(decision: Decision, mode: Mode) -> Decision {
    match (mode, decision) {
        (Mode::Off | Mode::Audit, _) => Decision::Allow,
        (Mode::Warn, Decision::Deny) => Decision::Warn,
        (Mode::Enforce | Mode::Warn, decision) => decision,
    }
}

/// The image with its registry and tag, as it is shown; one that is not understood is shown escaped.
#[must_use]
pub fn full_name(image: &str) -> String {
    let name = match image.parse::<Reference>() {
        Ok(reference) => reference.to_string(),
        Err(_) => image.escape_default().to_string(),
    };
    name.chars().take(IMAGE_LIMIT).collect()
}

struct Teller<'b, 'a> {
    assessor: &'b Assessor<'a>,
    assessment: &'b Assessment<'a>,
    selection: String,
    way: Option<Way>,
    /// By the mode.
    decision: Decision,
}

impl<'a> Teller<'_, 'a> {
    /// The whole text about the worst that was found, or else about what is not known.
    fn text(&self) -> String {
        let worst = self.assessment.worst(self.assessor.policy);
        let (assessed, candidates): (Vec<&Assessed<'a>>, Vec<&Candidate<'a>>) = worst.unzip();
        let ruling = &self.assessment.ruling;
        match ruling.decision {
            Decision::Deny | Decision::Warn => {
                let shown = message::worst_of(&candidates).and_then(|place| assessed.get(place));
                let Some(shown) = shown else {
                    return String::new();
                };
                self.told(shown.container, |subject| {
                    message::denial(subject, &candidates, ruling, self.assessor.knowledge)
                })
            }
            Decision::Undecided => self.unchecked(),
            Decision::Allow => String::new(),
        }
    }

    /// The image that the text is about, and where the decisive fact about it was read; empty where there is none.
    fn shown(&self) -> (String, String) {
        let worst = self.assessment.worst(self.assessor.policy);
        let (assessed, candidates): (Vec<&Assessed<'a>>, Vec<&Candidate<'a>>) = worst.unzip();
        let shown = message::worst_of(&candidates).unwrap_or_default();
        let Some(assessed) = assessed.get(shown) else {
            return (String::new(), String::new());
        };
        let image = full_name(assessed.container.image.as_deref().unwrap_or_default());
        let evidence = candidates
            .get(shown)
            .and_then(|candidate| message::evidence_of(candidate));
        (image, evidence.unwrap_or_default())
    }

    /// What is not known, of the first container that it holds for.
    fn unchecked(&self) -> String {
        let mut open = self.assessment.containers.iter();
        let open = open.find(|assessed| assessed.ruling.decision == Decision::Undecided);
        let Some(assessed) = open.or(self.assessment.containers.first()) else {
            return String::new();
        };
        let candidates: Vec<&Candidate<'_>> = assessed.candidates.iter().collect();
        let contents = assessed.contents.iter();
        let suggestion = contents
            .clone()
            .find_map(|(_, found)| found.suggestion.as_ref());
        self.told(assessed.container, |subject| {
            message::unchecked(subject, &candidates, suggestion)
        })
    }

    fn causes(&self) -> Vec<CauseLine> {
        if self.decision != Decision::Deny {
            return Vec::new();
        }
        let refused = |assessed: &&Assessed<'_>| assessed.ruling.decision == Decision::Deny;
        let containers = self.assessment.containers.iter();
        let mut refused: Vec<&Assessed<'_>> = containers.filter(refused).collect();
        if refused.is_empty() {
            refused.extend(self.assessment.containers.first());
        }
        refused
            .into_iter()
            .map(|assessed| self.cause(assessed))
            .collect()
    }

    fn cause(&self, assessed: &Assessed<'_>) -> CauseLine {
        let candidates: Vec<&Candidate<'_>> = assessed.candidates.iter().collect();
        let line = self.told(assessed.container, |subject| {
            message::headline(subject, &candidates, &assessed.ruling)
        });
        CauseLine {
            field: assessed.container.field.clone(),
            code: assessed.ruling.codes.first().copied(),
            line,
        }
    }

    /// What else to mind, unless there is worse to mind first; and what is written in a way that cannot be read.
    fn advice(&self) -> Vec<String> {
        let advice = match self.decision {
            Decision::Deny => &[],
            Decision::Allow | Decision::Warn | Decision::Undecided => {
                self.assessment.advice.as_slice()
            }
        };
        let advice = advice.iter().map(message::advice);
        advice.chain(self.complaints()).collect()
    }

    /// A line for each container of which something is to be said; for a Pod whose containers are well only each for
    /// itself, one for all.
    fn findings(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        match self.decision {
            Decision::Warn => lines.extend(self.warned()),
            Decision::Undecided if self.assessor.policy.unchecked == Unchecked::Told => {
                lines.extend(self.gaps());
            }
            Decision::Allow | Decision::Undecided | Decision::Deny => {}
        }
        lines.retain(|line| !line.is_empty());
        lines
    }

    fn warned(&self) -> Vec<String> {
        let note = note(self.assessment.softened);
        let note = if note.is_empty() {
            String::new()
        } else {
            format!("; {note}")
        };
        let told = |decision| matches!(decision, Decision::Warn | Decision::Deny);
        let mut lines: Vec<String> = Vec::new();
        for assessed in &self.assessment.containers {
            if told(assessed.ruling.decision) {
                let candidates: Vec<&Candidate<'_>> = assessed.candidates.iter().collect();
                lines.push(self.told(assessed.container, |subject| {
                    message::warning(subject, &candidates, &assessed.ruling, &note)
                }));
            }
        }
        if lines.is_empty() && told(self.assessment.ruling.decision) {
            let text = self.text();
            lines.extend(
                text.lines()
                    .next()
                    .map(|line| format!("gpu-capgate: {line}")),
            );
        }
        lines
    }

    fn gaps(&self) -> impl Iterator<Item = String> {
        let open = |assessed: &&Assessed<'_>| assessed.ruling.decision == Decision::Undecided;
        self.assessment
            .containers
            .iter()
            .filter(open)
            .map(|assessed| {
                let candidates: Vec<&Candidate<'_>> = assessed.candidates.iter().collect();
                self.told(assessed.container, |subject| {
                    message::unchecked_warning(subject, &candidates)
                })
            })
    }

    /// Declarations that cannot be read.
    fn complaints(&self) -> impl Iterator<Item = String> {
        let containers = self.assessment.containers.iter();
        containers.filter_map(|assessed| {
            let error = contents::declaration(assessed.container)?.err()?;
            Some(message::complaint(&format!(
                "annotation {REQUIRES_ANNOTATION} of container \"{}\" is ignored: {error}",
                assessed.container.name
            )))
        })
    }

    fn told(
        &self,
        container: &ContainerDemand,
        tell: impl FnOnce(&Subject<'_>) -> String,
    ) -> String {
        let image = full_name(container.image.as_deref().unwrap_or_default());
        tell(&Subject {
            container: Some(&container.name),
            thing: Thing::Image(&image),
            place: Place::Nodes {
                selection: &self.selection,
                way: self.way.as_ref(),
            },
            skip: match (self.decision, self.assessor.policy.pod_modes) {
                (Decision::Deny, Permission::Allowed) => Skip::Offered,
                _ => Skip::Withheld,
            },
        })
    }
}

/// Why a refusal only warns.
const fn note(softened: Option<Softening>) -> &'static str {
    match softened {
        Some(Softening::NotFinal) => "its Pods are checked when they are made",
        Some(Softening::Autoscaler) => {
            "an autoscaler may bring other nodes: declare its pools (nodePools) to be sure"
        }
        Some(Softening::Unread) => "not all nodes can be read (the webhook's log tells which)",
        None => "",
    }
}
