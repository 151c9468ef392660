//! Tables about objects on nodes: a line for each, and for all that are not simply allowed where, what and why.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};

use super::table::{dash, gpu, plain, wrapped};
use crate::admission::decision::Decision;
use crate::command::check::report::{self, CheckResult, Document, Report};
use crate::command::table::{Look, Table};
use crate::compat::Code;

/// All decisions, the worst first.
const DECISIONS: [(Decision, &str); 4] = [
    (Decision::Deny, "denied"),
    (Decision::Undecided, "undecided"),
    (Decision::Warn, "warned"),
    (Decision::Allow, "allowed"),
];

/// A line for each object, the reasons, and a count.
pub(super) fn table(report: &Report, look: Look) -> String {
    let mut text = decisions(report, look);
    for document in &report.documents {
        explain(document, &mut text);
    }
    summary(report, &mut text);
    text
}

/// The same with how each container fares on each kind of nodes, and what was not judged.
pub(super) fn wide(report: &Report, look: Look) -> String {
    let mut text = decisions(report, look);
    for (number, document) in report.documents.iter().enumerate() {
        explain(document, &mut text);
        let of_document = |result: &&CheckResult| result.document == number;
        let results: Vec<&CheckResult> = report.results.iter().filter(of_document).collect();
        if !results.is_empty() {
            let _ = writeln!(text, "\n{} {}", at(document), named(document));
            text.push_str(&classes(&results, look));
        }
    }
    for skipped in &report.skipped {
        let _ = writeln!(text, "\n{}: not judged: {}", skipped.source, skipped.reason);
    }
    summary(report, &mut text);
    text
}

/// The objects that are not refused, one a line.
pub(super) fn names(report: &Report) -> String {
    let admitted = |document: &&Document| document.decision != Decision::Deny;
    let documents = report.documents.iter().filter(admitted);
    documents.map(|document| named(document) + "\n").collect()
}

/// An object in words: `Deployment ml/train`.
pub(super) fn named(document: &Document) -> String {
    let Document {
        kind,
        namespace,
        name,
        ..
    } = document;
    let words = report::named(kind, namespace.as_deref(), name);
    let pods = document.pods.as_deref();
    let pods = pods.map_or_else(String::new, |path| format!(" ({path})"));
    plain(&format!("{words}{pods}"))
}

fn decisions(report: &Report, look: Look) -> String {
    let mut table = Table::new(["DECISION", "OBJECT", "RUNS ON", "CODES"]);
    for document in &report.documents {
        let runs_on = match document.runs_on {
            Some(0) if document.decision == Decision::Undecided => {
                format!("? of {}", document.candidates)
            }
            Some(good) if !document.containers.is_empty() => {
                format!("{good} of {}", document.candidates)
            }
            Some(_) | None => dash(),
        };
        table.row(vec![
            document.decision.to_string(),
            named(document),
            runs_on,
            codes(&document.codes),
        ]);
    }
    coloured(&table.text(look))
}

fn codes(codes: &[Code]) -> String {
    let words: Vec<&str> = codes.iter().map(|code| code.word()).collect();
    if words.is_empty() {
        dash()
    } else {
        words.join(" ")
    }
}

/// Where an object, or the image that the message is about, is written.
fn at(document: &Document) -> String {
    let (position, _) = document.worst();
    let place = position.map_or_else(String::new, |place| {
        format!("{}:{}:", place.line, place.column)
    });
    plain(&format!("{}:{place}", document.source))
}

fn explain(document: &Document, text: &mut String) {
    let is_silent = document.message.is_empty() && document.advice.is_empty();
    if is_silent && document.exemption.is_none() {
        return;
    }
    let _ = writeln!(text, "\n{} {}", at(document), named(document));
    for line in document.message.lines() {
        // Keys stand below the first line, and what belongs to a key below its value.
        let indent = if line.starts_with(' ') { 9 } else { 0 };
        wrapped(line, indent, text);
    }
    if !document.note.is_empty() {
        let _ = writeln!(text, "  note   {}", document.note);
    }
    if let Some(mode) = &document.mode {
        let _ = writeln!(text, "  mode   {} ({})", mode.is, mode.by);
    }
    if let Some(reason) = &document.exemption {
        wrapped(&format!("  exempt {reason}"), 9, text);
    }
    for line in &document.advice {
        wrapped(line.strip_prefix("gpu-capgate: ").unwrap_or(line), 2, text);
    }
}

fn classes(results: &[&CheckResult], look: Look) -> String {
    let mut table = Table::new([
        "CONTAINER",
        "VERDICT",
        "NODES",
        "GPU",
        "DRIVER",
        "CODES",
        "NOT KNOWN",
    ]);
    for result in results {
        let host = &result.host;
        let driver = host.driver.map(|driver| driver.to_string());
        table.row(vec![
            result.container.clone().unwrap_or_default(),
            result.verdict.to_string(),
            host.nodes.to_string(),
            gpu(host),
            driver.unwrap_or_else(dash),
            codes(&result.codes),
            result
                .gaps
                .first()
                .map(|gap| gap.reason.clone())
                .unwrap_or_default(),
        ]);
    }
    table.text(look)
}

/// What all of it comes to.
fn summary(report: &Report, text: &mut String) {
    let all = report.documents.len();
    if all == 0 {
        let _ = writeln!(text, "nothing asks for a GPU");
        return;
    }
    let counts = DECISIONS.iter().filter_map(|(decision, word)| {
        let of_it = report
            .documents
            .iter()
            .filter(|one| one.decision == *decision);
        let count = of_it.count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    let counts: Vec<String> = counts.collect();
    let noun = if all == 1 { "object" } else { "objects" };
    let _ = writeln!(text, "\n{all} {noun}: {}", counts.join(", "));
}

/// Colours the decision that a line begins with.
fn coloured(table: &str) -> String {
    let mut text = String::new();
    for line in table.lines() {
        let decision = DECISIONS.iter().find_map(|(decision, _)| {
            let word = decision.to_string();
            let rest = line.strip_prefix(&word)?;
            rest.starts_with(' ')
                .then(|| (style(*decision), word, rest.to_owned()))
        });
        let _ = match decision {
            Some((style, word, rest)) => writeln!(text, "{style}{word}{style:#}{rest}"),
            None => writeln!(text, "{line}"),
        };
    }
    text
}

fn style(decision: Decision) -> Style {
    let colour = match decision {
        Decision::Allow => AnsiColor::Green,
        Decision::Warn => AnsiColor::Yellow,
        Decision::Undecided => AnsiColor::Cyan,
        Decision::Deny => AnsiColor::Red,
    };
    colour.on_default().bold()
}
