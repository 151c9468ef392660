//! What a person reads: a denial of a few lines, a warning of one.
//!
//! Pure. The same words in kubectl, in Events and in the CLI: no Pod name, no time, no order by chance, so that repeated
//! Events aggregate. Line 1 holds the whole cause; the rest is evidence and what to do. `cause` puts the finding into
//! words, `evidence` says where it was read, `alternative` and `fix` look for a way out, `place` counts nodes, `advice`
//! tells what else to mind, and `layout` keeps to the limits.

mod advice;
mod alternative;
mod cause;
mod evidence;
mod fix;
mod layout;
mod place;

use super::assess::Way;
use super::decision::{Candidate, Judged, Ruling};
use crate::compat::verdict::MissingFact;
use crate::compat::{Code, Finding, Gap, Host, Judgement, TorchVersion, Variant, Verdict};
use crate::image::evidence::Knowledge;
use crate::image::reference::Reference;
pub use advice::advice;
use layout::{Line, Weight};

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The container, if the document has several.
    pub container: Option<&'a str>,
    /// The software that was judged.
    pub thing: Thing<'a>,
    /// Where the GPUs come from.
    pub place: Place<'a>,
    /// Whether the user may choose another mode for this document.
    pub skip: Skip,
}

/// The software that was judged, by what it was named with.
#[derive(Debug, Clone, Copy)]
pub enum Thing<'a> {
    /// An image, in full.
    Image(&'a str),
    /// A torch package, as pip writes it: `2.6.0+cu124`.
    Torch(&'a str),
    /// Only its author's declaration: `cuda=12.6; ptx=90`.
    Declaration(&'a str),
}

/// Where the candidates come from.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// Nodes of a cluster, and the selection that they match, in words; empty if there is none.
    Nodes {
        /// As `nodeSelector pool=batch`.
        selection: &'a str,
        /// Where it would run, if labels tell.
        way: Option<&'a Way>,
    },
    /// GPUs that a person named.
    Named,
}

/// Whether a mode annotation is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The annotation works here.
    Offered,
    /// It does not.
    Withheld,
}

/// The finding that a message shows, and the host that it is about.
struct Shown<'a> {
    host: &'a Host,
    judgement: &'a Judgement,
    finding: &'a Finding,
}

impl Thing<'_> {
    /// What sentences call it.
    fn noun(self) -> String {
        match self {
            Self::Image(_) => "image".to_owned(),
            Self::Torch(version) => format!("torch {version}"),
            Self::Declaration(_) => "the declared software".to_owned(),
        }
    }

    fn line(self) -> Line {
        let (key, value) = match self {
            Self::Image(name) => ("image", name),
            Self::Torch(version) => ("torch", version),
            Self::Declaration(text) => ("says", text),
        };
        Line::new(key, layout::shortened(value), Weight::Needed)
    }

    fn reference(self) -> Option<Reference> {
        match self {
            Self::Image(name) => name.parse().ok(),
            Self::Torch(_) | Self::Declaration(_) => None,
        }
    }
}

impl<'a> Place<'a> {
    const fn way(self) -> Option<&'a Way> {
        match self {
            Self::Nodes { way, .. } => way,
            Self::Named => None,
        }
    }
}

/// The text of a denial; also, in a shell, that of a warning told at length. Empty if nothing was found.
#[must_use]
pub fn denial(
    subject: &Subject<'_>,
    candidates: &[&Candidate<'_>],
    ruling: &Ruling,
    knowledge: Knowledge<'_>,
) -> String {
    let Some(shown) = worst(candidates) else {
        return String::new();
    };
    let headline = first_line(subject, candidates, ruling, &shown);
    layout::text(headline, lines(subject, candidates, &shown, knowledge))
}

/// The first line of a denial alone. Empty if nothing was found.
#[must_use]
pub fn headline(subject: &Subject<'_>, candidates: &[&Candidate<'_>], ruling: &Ruling) -> String {
    worst(candidates).map_or_else(String::new, |shown| {
        first_line(subject, candidates, ruling, &shown)
    })
}

fn first_line(
    subject: &Subject<'_>,
    candidates: &[&Candidate<'_>],
    ruling: &Ruling,
    shown: &Shown<'_>,
) -> String {
    let sentence = cause::sentence(shown.finding, shown.host, &subject.thing.noun());
    let (scope, code) = reach(subject, candidates, ruling, shown);
    let sentence = format!("{}{sentence}", who(subject));
    layout::headline(&sentence, &scope, &others(ruling, shown.finding.code), code)
}

/// A warning about how something is written, in one line.
#[must_use]
pub fn complaint(sentence: &str) -> String {
    layout::complaint(sentence)
}

/// Which of the candidates has the finding that a message shows.
#[must_use]
pub fn worst_of(candidates: &[&Candidate<'_>]) -> Option<usize> {
    let codes = candidates.iter().map(|candidate| candidate.worst_code());
    let found = codes
        .enumerate()
        .filter_map(|(place, code)| Some((code?, place)));
    found.min().map(|(_, place)| place)
}

/// Where the decisive fact about a candidate's worst finding was read: `catalog, wheel: torch 2.8.0+cu128 ...`.
#[must_use]
pub fn evidence_of(candidate: &Candidate<'_>) -> Option<String> {
    let shown = worst(&[candidate])?;
    let fact = shown.finding.facts.first()?;
    let evidence = &fact.evidence;
    let text = format!(
        "{} ({}, {}): {}",
        fact.name, evidence.origin, evidence.proof, evidence.source
    );
    Some(layout::shortened(&text))
}

/// The text of a warning: one line, with a note behind the cause that may be empty. Empty if nothing was found.
#[must_use]
pub fn warning(
    subject: &Subject<'_>,
    candidates: &[&Candidate<'_>],
    ruling: &Ruling,
    note: &str,
) -> String {
    let Some(shown) = worst(candidates) else {
        return String::new();
    };
    let (scope, code) = reach(subject, candidates, ruling, &shown);
    let sentence = cause::sentence(shown.finding, shown.host, &subject.thing.noun());
    let way = match subject.place.way() {
        Some(Way::Within(found)) if code == Code::Partial => {
            format!(
                "; nodeAffinity {} keeps it off the others",
                found.requirement
            )
        }
        Some(Way::Within(_) | Way::Elsewhere(_)) | None => String::new(),
    };
    let sentence = format!("{}{sentence}", who(subject));
    layout::warning(&sentence, &[&scope, note, &way], code)
}

/// How far a cause reaches, and the code that the whole then has.
fn reach(
    subject: &Subject<'_>,
    candidates: &[&Candidate<'_>],
    ruling: &Ruling,
    shown: &Shown<'_>,
) -> (String, Code) {
    let code = shown.finding.code;
    if ruling.codes.contains(&Code::Partial) {
        (place::partial(candidates), Code::Partial)
    } else if cause::ends_with_gpu(&shown.finding.cause) {
        let scope = place::scope(subject.place, candidates, code, ruling.decision);
        (scope, code)
    } else {
        (String::new(), code)
    }
}

/// The text where something decisive is not known: what, and how to tell it. Empty if everything was known.
#[must_use]
pub fn unchecked(
    subject: &Subject<'_>,
    candidates: &[&Candidate<'_>],
    suggestion: Option<&Reference>,
) -> String {
    let Some((host, judgement, first)) = open(candidates) else {
        return unplaced(subject, candidates);
    };
    let (noun, gpu) = (subject.thing.noun(), cause::gpu(host));
    let doubt = format!("{}cannot tell whether {noun} runs on {gpu}", who(subject));
    let sentence = format!("{doubt}: {}", reason(&first.gap));
    let whole = layout::fits(&sentence, Code::Unchecked);
    let sentence = if whole { sentence } else { doubt };
    let mut lines = vec![subject.thing.line()];
    lines.extend(reasons(judgement, whole));
    let fix = fix::of_gap(subject.place, first.name, suggestion);
    lines.push(Line::new("fix", fix, Weight::Needed));
    lines.push(more(Code::Unchecked));
    layout::text(layout::headline(&sentence, "", "", Code::Unchecked), lines)
}

/// The same in one line, for a warning.
#[must_use]
pub fn unchecked_warning(subject: &Subject<'_>, candidates: &[&Candidate<'_>]) -> String {
    let doubt = match open(candidates) {
        Some((host, _, first)) => {
            let (noun, gpu) = (subject.thing.noun(), cause::gpu(host));
            format!(
                "cannot tell whether {noun} runs on {gpu}: {}",
                reason(&first.gap)
            )
        }
        None => place::doubt(candidates),
    };
    let sentence = format!("{}admitted unchecked: {doubt}", who(subject));
    layout::warning(&sentence, &[], Code::Unchecked)
}

/// The text where it is the nodes that are not known.
fn unplaced(subject: &Subject<'_>, candidates: &[&Candidate<'_>]) -> String {
    let sentence = format!("{}{}", who(subject), place::doubt(candidates));
    let lines = vec![
        subject.thing.line(),
        Line::new(
            "nodes",
            place::nodes(subject.place, candidates),
            Weight::Evidence,
        ),
        more(Code::Unchecked),
    ];
    layout::text(layout::headline(&sentence, "", "", Code::Unchecked), lines)
}

/// The first host on which the software leaves something open.
fn open<'a>(
    candidates: &[&'a Candidate<'_>],
) -> Option<(&'a Host, &'a Judgement, &'a MissingFact)> {
    let hosts = candidates.iter().flat_map(|candidate| &candidate.hosts);
    hosts
        .filter(|judged| judged.judgement.verdict == Verdict::Unknown)
        .find_map(|judged| {
            let first = judged.judgement.gaps.first()?;
            Some((judged.host, judged.judgement.as_ref(), first))
        })
}

/// Why something is not known; what was meant instead has a line of its own.
fn reason(gap: &Gap) -> String {
    let reason = gap.0.split(": did you mean").next();
    reason.unwrap_or_default().to_owned()
}

/// Why things are not known, each reason once; without the first where line 1 has it.
fn reasons(judgement: &Judgement, first_is_told: bool) -> Vec<Line> {
    let mut reasons: Vec<&Gap> = Vec::new();
    for missing in &judgement.gaps {
        if !reasons.contains(&&missing.gap) {
            reasons.push(&missing.gap);
        }
    }
    let untold = reasons.into_iter().skip(usize::from(first_is_told));
    let line = |gap: &Gap| Line::new("why", reason(gap), Weight::Evidence);
    untold.map(line).collect()
}

/// The finding that a message shows: the worst, on the first host that has it.
fn worst<'a>(candidates: &[&'a Candidate<'_>]) -> Option<Shown<'a>> {
    let hosts = candidates.iter().flat_map(|candidate| &candidate.hosts);
    let findings = hosts.flat_map(|Judged { host, judgement }| {
        judgement.findings.iter().map(move |finding| Shown {
            host,
            judgement,
            finding,
        })
    });
    findings.min_by_key(|shown| shown.finding.code)
}

fn who(subject: &Subject<'_>) -> String {
    subject
        .container
        .map(|name| format!("container \"{name}\": "))
        .unwrap_or_default()
}

fn others(ruling: &Ruling, code: Code) -> String {
    let other = |other: &&Code| **other != code && **other != Code::Partial;
    match ruling.codes.iter().filter(other).count() {
        0 => String::new(),
        1 => ", and 1 other cause".to_owned(),
        more => format!(", and {more} other causes"),
    }
}

fn lines(
    subject: &Subject<'_>,
    candidates: &[&Candidate<'_>],
    shown: &Shown<'_>,
    knowledge: Knowledge<'_>,
) -> Vec<Line> {
    let torch = torch(subject.thing, shown, knowledge);
    let source = evidence::source(shown.finding, subject.thing, torch.as_ref());
    let contents = cause::contents(shown.finding);
    let read = |text: String| {
        if text.is_empty() {
            text
        } else {
            format!("{text}{source}")
        }
    };
    let question = fix::Question {
        thing: subject.thing,
        host: shown.host,
        finding: shown.finding,
        torch: torch.as_ref(),
        way: subject.place.way(),
        knowledge,
    };
    let skip = match subject.skip {
        Skip::Offered => "annotation gpu-capgate.io/mode: warn",
        Skip::Withheld => "",
    };
    let (fix, term) = fix::with_way(fix::of(&question), subject.place.way());
    let needs = cause::needs(shown.finding);
    let nodes = place::nodes(subject.place, candidates);
    let otherwise = evidence::otherwise(shown.finding, knowledge.catalog);
    vec![
        subject.thing.line(),
        Line::new("has", read(contents), Weight::Evidence),
        Line::new("needs", needs, Weight::Detail),
        Line::new("nodes", nodes, Weight::Evidence),
        Line::new("else", otherwise, Weight::Detail),
        Line::new("fix", fix, Weight::Needed).with(term),
        Line::new("skip", skip.to_owned(), Weight::Needed),
        more(shown.finding.code),
    ]
}

fn more(code: Code) -> Line {
    Line::new(
        "more",
        format!("gpu-capgate explain {code}"),
        Weight::Detail,
    )
}

/// Which torch it is, if that is known: by what was found, else by the name.
fn torch(thing: Thing<'_>, shown: &Shown<'_>, knowledge: Knowledge<'_>) -> Option<TorchVersion> {
    if let Some(version) = evidence::torch(shown.judgement) {
        return Some(version.clone());
    }
    match thing {
        Thing::Torch(version) => version.parse().ok(),
        Thing::Image(_) => {
            let architecture = alternative::architecture(shown.host);
            let named = knowledge.named(&thing.reference()?, architecture).ok()?;
            let torch = named.software.torch.value()?;
            // A label of its own is more than the variant; NVIDIA's builds have one.
            let cuda = named
                .software
                .cuda
                .value()
                .filter(|_| torch.local().is_none());
            Some(cuda.map_or_else(
                || torch.clone(),
                |cuda| torch.with_variant(Variant::Cuda(*cuda)),
            ))
        }
        Thing::Declaration(_) => None,
    }
}

#[cfg(test)]
mod tests;
