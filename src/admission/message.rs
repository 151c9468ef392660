//! What a person reads: a denial of a few lines, a warning of one.
//!
//! Pure. The same words in kubectl, in Events and in the CLI: no Pod name, no time, no order by chance, so that repeated
//! Events aggregate. Line 1 holds the whole cause; the rest is evidence and what to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

mod cause;

use self::cause::Told;
use super::decision::{Candidate, Ruling};
use crate::compat::{Catalog, Code, Finding, Host, Verdict};

/// Longest first line, in characters.
const HEADLINE_LIMIT: usize = 160;
/// Longest denial, in bytes: with a controller's own words before it, it fits the 1024 bytes of an Event.
const DENIAL_LIMIT: usize = 900;
/// Longest warning, in characters: the API server cuts longer ones to 256.
const WARNING_LIMIT: usize = 250;

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The container, if the document has several.
    pub container: Option<&'a str>,
    /// The image, in full.
    pub image: &'a str,
    /// Where the GPUs come from.
    pub place: Place<'a>,
    /// Whether the user may choose another mode for this document.
    pub skip: Skip,
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

/// The text of a denial.
#[must_use]
pub fn denial(
    subject: &Subject<'_>,
    candidates: &[Candidate],
    ruling: &Ruling,
    catalog: &Catalog,
) -> String {
    let Some((host, finding)) = worst(candidates) else {
        return String::new();
    };
    let told = cause::told(finding, host, catalog);
    let scope = scope(subject.place, candidates, host);
    let mut text = headline(
        subject,
        &format!("{}{scope}", told.sentence),
        ruling,
        finding.code,
    );
    let mut put = |key: &str, value: &str| {
        // The cause and what to do come first in `lines`; what no longer fits is left out whole.
        if !value.is_empty() && text.len() + value.len() + 10 <= DENIAL_LIMIT {
            let _ = write!(text, "\n  {key:<6} {value}");
        }
    };
    for (key, value) in lines(subject, candidates, finding, &told, catalog) {
        put(key, &value);
    }
    text
}

/// The text of a warning: one line.
#[must_use]
pub fn warning(
    subject: &Subject<'_>,
    candidates: &[Candidate],
    ruling: &Ruling,
    catalog: &Catalog,
) -> String {
    let Some((host, finding)) = worst(candidates) else {
        return String::new();
    };
    let told = cause::told(finding, host, catalog);
    let some = ruling.codes.contains(&Code::Partial);
    let scope = if some {
        partial(candidates)
    } else {
        scope(subject.place, candidates, host)
    };
    let code = if some { Code::Partial } else { finding.code };
    let who = who(subject);
    let line = format!("gpu-capgate: {who}{}{scope}", told.sentence);
    clipped(&line, WARNING_LIMIT - 3 - code.word().len()) + &format!(" [{code}]")
}

/// The finding that a message shows: the worst, on the first host that has it.
fn worst(candidates: &[Candidate]) -> Option<(&Host, &Finding)> {
    let hosts = candidates.iter().flat_map(|candidate| &candidate.hosts);
    let findings = hosts.flat_map(|(host, judgement)| {
        judgement
            .findings
            .iter()
            .map(move |finding| (host, finding))
    });
    findings.min_by_key(|(_, finding)| finding.code)
}

fn headline(subject: &Subject<'_>, sentence: &str, ruling: &Ruling, code: Code) -> String {
    let others = ruling
        .codes
        .iter()
        .filter(|other| **other != code && **other != Code::Partial)
        .count();
    let others = match others {
        0 => String::new(),
        1 => " and 1 other cause".to_owned(),
        more => format!(" and {more} other causes"),
    };
    let tail = format!("{others} [{code}]");
    let line = format!("{}{sentence}", who(subject));
    clipped(&line, HEADLINE_LIMIT - tail.len()) + &tail
}

fn who(subject: &Subject<'_>) -> String {
    subject
        .container
        .map(|name| format!("container \"{name}\": "))
        .unwrap_or_default()
}

/// Cuts to that many characters, at the end, and says so.
fn clipped(line: &str, limit: usize) -> String {
    if line.chars().count() <= limit {
        return line.to_owned();
    }
    line.chars().take(limit - 3).chain("...".chars()).collect()
}

/// How far the cause reaches: over all that the Pod can get.
fn scope(place: Place<'_>, candidates: &[Candidate], host: &Host) -> String {
    if matches!(place, Place::Named) {
        return String::new();
    }
    let kinds = kinds(candidates, |_| true);
    match kinds.len() {
        1 => ", the only GPU type this Pod can land on".to_owned(),
        kinds => {
            let others = kinds - usize::from(host.product.is_some());
            let type_s = if others == 1 { "type" } else { "types" };
            format!(", nor for the {others} other GPU {type_s} this Pod can land on")
        }
    }
}

fn partial(candidates: &[Candidate]) -> String {
    let fits =
        |candidate: &Candidate| matches!(candidate.verdict(), Verdict::Runs | Verdict::Degraded);
    let all: usize = candidates.iter().map(|candidate| candidate.nodes).sum();
    let good: usize = candidates
        .iter()
        .filter(|candidate| fits(candidate))
        .map(|candidate| candidate.nodes)
        .sum();
    format!(", and this Pod can land there: it runs on {good} of {all} nodes")
}

/// Kinds of GPUs among the candidates, with the number of nodes that have them.
fn kinds(candidates: &[Candidate], wanted: impl Fn(&Candidate) -> bool) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for candidate in candidates.iter().filter(|candidate| wanted(candidate)) {
        for (host, _) in &candidate.hosts {
            *kinds.entry(cause::gpu(host)).or_default() += candidate.nodes;
        }
    }
    kinds
}

fn lines(
    subject: &Subject<'_>,
    candidates: &[Candidate],
    finding: &Finding,
    told: &Told,
    catalog: &Catalog,
) -> Vec<(&'static str, String)> {
    let otherwise = catalog
        .errors_of(finding.code)
        .next()
        .map(|error| error.text.to_string());
    let otherwise = otherwise.map(|text| format!("{} \"{text}\"", cause::moment(finding.code)));
    let skip = match subject.skip {
        Skip::Offered => "annotation gpu-capgate.io/mode: warn".to_owned(),
        Skip::Withheld => String::new(),
    };
    vec![
        ("image", subject.image.to_owned()),
        ("has", told.has.clone()),
        ("needs", told.needs.clone()),
        ("nodes", nodes(subject.place, candidates)),
        ("else", otherwise.unwrap_or_default()),
        ("fix", told.fix.clone()),
        ("skip", skip),
        ("more", format!("gpu-capgate explain {}", finding.code)),
    ]
}

fn nodes(place: Place<'_>, candidates: &[Candidate]) -> String {
    let Place::Nodes { selection } = place else {
        return String::new();
    };
    let total: usize = candidates.iter().map(|candidate| candidate.nodes).sum();
    let fits =
        |candidate: &&Candidate| matches!(candidate.verdict(), Verdict::Runs | Verdict::Degraded);
    let good: usize = candidates
        .iter()
        .filter(fits)
        .map(|candidate| candidate.nodes)
        .sum();
    let kinds: Vec<String> = kinds(candidates, |_| true)
        .iter()
        .map(|(gpu, count)| format!("{count}x {gpu}"))
        .collect();
    let matching = if selection.is_empty() {
        "possible".to_owned()
    } else {
        format!("match {selection}")
    };
    let shown: Vec<String> = kinds.iter().take(4).cloned().collect();
    let more = kinds.len().saturating_sub(shown.len());
    let more = if more > 0 {
        format!(" and {more} other kinds")
    } else {
        String::new()
    };
    format!(
        "{total} {matching}: {}{more} -> {good} of {total} can run it",
        shown.join(", ")
    )
}
