//! What a person reads: a denial of a few lines, a warning of one.
//!
//! Pure. The same words in kubectl, in Events and in the CLI: no Pod name, no time, no order by chance, so that repeated
//! Events aggregate. Line 1 holds the whole cause; the rest is evidence and what to do. `cause` puts the finding into
//! words, `evidence` says where it was read, `alternative` and `fix` look for a way out, `place` counts nodes, and
//! `layout` keeps to the limits.

mod alternative;
mod cause;
mod evidence;
mod fix;
mod layout;
mod place;

use super::decision::{Candidate, Ruling};
use crate::compat::{Code, Finding, Gap, Host, Judgement, TorchVersion, Variant, Verdict};
use crate::image::evidence::Knowledge;
use crate::image::reference::Reference;
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

/// The text of a denial; also, in a shell, that of a warning told at length. Empty if nothing was found.
#[must_use]
pub fn denial(
    subject: &Subject<'_>,
    candidates: &[Candidate],
    ruling: &Ruling,
    knowledge: Knowledge<'_>,
) -> String {
    let Some(shown) = worst(candidates) else {
        return String::new();
    };
    let sentence = cause::sentence(shown.finding, shown.host, &subject.thing.noun());
    let scope = place::scope(subject.place, candidates, shown.host);
    let code = shown.finding.code;
    let headline = layout::headline(
        &format!("{}{sentence}{scope}", who(subject)),
        &others(ruling, code),
        code,
    );
    layout::text(headline, lines(subject, candidates, &shown, knowledge))
}

/// The text of a warning: one line. Empty if nothing was found.
#[must_use]
pub fn warning(subject: &Subject<'_>, candidates: &[Candidate], ruling: &Ruling) -> String {
    let Some(shown) = worst(candidates) else {
        return String::new();
    };
    let some = ruling.codes.contains(&Code::Partial);
    let (scope, code) = if some {
        (place::partial(candidates), Code::Partial)
    } else {
        let scope = place::scope(subject.place, candidates, shown.host);
        (scope, shown.finding.code)
    };
    let sentence = cause::sentence(shown.finding, shown.host, &subject.thing.noun());
    layout::warning(&format!("{}{sentence}{scope}", who(subject)), code)
}

/// The text where something decisive is not known: what, and how to tell it. Empty if everything was known.
#[must_use]
pub fn unchecked(
    subject: &Subject<'_>,
    candidates: &[Candidate],
    suggestion: Option<&Reference>,
) -> String {
    let hosts = candidates.iter().flat_map(|candidate| &candidate.hosts);
    let open = hosts
        .filter(|(_, judgement)| judgement.verdict == Verdict::Unknown)
        .find_map(|(host, judgement)| Some((host, judgement, judgement.gaps.first()?)));
    let Some((host, judgement, first)) = open else {
        return String::new();
    };
    let (noun, gpu) = (subject.thing.noun(), cause::gpu(host));
    let doubt = format!("{}cannot tell whether {noun} runs on {gpu}", who(subject));
    let sentence = format!("{doubt}: {}", reason(&first.gap));
    let whole = layout::fits(&sentence, Code::Unchecked);
    let sentence = if whole { sentence } else { doubt };
    let mut lines = vec![subject.thing.line()];
    lines.extend(reasons(judgement, whole));
    let fix = fix::of_gap(first.name, suggestion);
    lines.push(Line::new("fix", fix, Weight::Needed));
    lines.push(more(Code::Unchecked));
    layout::text(layout::headline(&sentence, "", Code::Unchecked), lines)
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
fn worst(candidates: &[Candidate]) -> Option<Shown<'_>> {
    let hosts = candidates.iter().flat_map(|candidate| &candidate.hosts);
    let findings = hosts.flat_map(|(host, judgement)| {
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
    candidates: &[Candidate],
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
    let way = fix::Question {
        thing: subject.thing,
        host: shown.host,
        finding: shown.finding,
        torch: torch.as_ref(),
        knowledge,
    };
    let skip = match subject.skip {
        Skip::Offered => "annotation gpu-capgate.io/mode: warn",
        Skip::Withheld => "",
    };
    let needs = cause::needs(shown.finding);
    let nodes = place::nodes(subject.place, candidates);
    let otherwise = evidence::otherwise(shown.finding, knowledge.catalog);
    vec![
        subject.thing.line(),
        Line::new("has", read(contents), Weight::Evidence),
        Line::new("needs", needs, Weight::Detail),
        Line::new("nodes", nodes, Weight::Evidence),
        Line::new("else", otherwise, Weight::Detail),
        Line::new("fix", fix::of(&way), Weight::Needed),
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
