//! Tables for people: at most 100 columns, colour on the verdict alone.

use std::fmt::Write as _;

use crate::command::check::report::{CheckResult, ConflictReport, HostReport, Report};
use crate::command::table::{Look, Table, WIDTH};
use crate::compat::ComputeCapability;
use crate::compat::Verdict;
use clap::builder::styling::{AnsiColor, Style};

/// Where the values of a message begin.
const INDENT: usize = 9;

/// A line for each GPU, and the reason for all that does not simply run.
pub(super) fn table(report: &Report, look: Look) -> String {
    let mut text = verdicts(report, look);
    for result in &report.results {
        explain(result, &mut text);
    }
    summary(report, &mut text);
    text
}

/// The same with every fact, gap and conflict.
pub(super) fn wide(report: &Report, look: Look) -> String {
    let mut text = verdicts(report, look);
    for result in &report.results {
        explain(result, &mut text);
        details(result, look, &mut text);
    }
    summary(report, &mut text);
    text
}

/// What a GPU is called.
pub(super) fn gpu(host: &HostReport) -> String {
    match (&host.gpu, host.compute_capability) {
        (Some(gpu), _) => plain(gpu),
        (None, Some(capability)) => capability.sm(),
        (None, None) => "-".to_owned(),
    }
}

fn verdicts(report: &Report, look: Look) -> String {
    let mut table = Table::new(["VERDICT", "GPU", "SM", "DRIVER", "NEEDS", "CODES"]);
    for result in &report.results {
        let host = &result.host;
        let sm = host.compute_capability.map(ComputeCapability::sm);
        table.row(vec![
            result.verdict.to_string(),
            gpu(host),
            sm.unwrap_or_else(dash),
            driver(host),
            needs(result),
            codes(result),
        ]);
    }
    coloured(&table.text(look), report)
}

fn driver(host: &HostReport) -> String {
    let told = match (host.driver, host.cuda) {
        (Some(driver), _) => driver.to_string(),
        (None, Some(cuda)) => format!("CUDA {cuda}"),
        (None, None) => return dash(),
    };
    if host.driver_assumed {
        format!("{told} (assumed)")
    } else {
        told
    }
}

fn needs(result: &CheckResult) -> String {
    let host = &result.host;
    let runs = matches!(result.verdict, Verdict::Runs | Verdict::Degraded);
    match host.least_driver {
        // Only forward-compatibility libraries in the image make that possible.
        Some(floor) if runs && host.driver.is_some_and(|driver| !floor.is_met_by(driver)) => {
            format!(">= {floor}, or compat")
        }
        Some(floor) => format!(">= {floor}"),
        None if host.no_driver_helps => "none helps".to_owned(),
        None => dash(),
    }
}

fn codes(result: &CheckResult) -> String {
    let codes: Vec<String> = result.codes.iter().map(ToString::to_string).collect();
    if codes.is_empty() {
        dash()
    } else {
        codes.join(" ")
    }
}

pub(super) fn dash() -> String {
    "-".to_owned()
}

fn explain(result: &CheckResult, text: &mut String) {
    if result.explanation.is_empty() {
        return;
    }
    text.push('\n');
    for (index, line) in result.explanation.lines().enumerate() {
        let indent = if index == 0 { 2 } else { INDENT };
        wrapped(line, indent, text);
    }
}

/// Breaks a line at spaces where it is too wide; what has no space stays whole, so that it can be copied.
pub(super) fn wrapped(line: &str, indent: usize, text: &mut String) {
    let mut rest = line;
    let mut lead = String::new();
    let limit = usize::from(WIDTH);
    while lead.len() + rest.len() > limit {
        let room = limit - lead.len();
        let head = rest
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= room)
            .last();
        let head = rest.get(..head.unwrap_or(rest.len())).unwrap_or(rest);
        let indented = rest.len() - rest.trim_start().len();
        let cut = head.rfind(' ').filter(|at| *at > indented.max(INDENT));
        let Some((before, behind)) = cut.and_then(|at| rest.split_at_checked(at)) else {
            break;
        };
        let _ = writeln!(text, "{lead}{}", before.trim_end());
        rest = behind.trim_start();
        lead = " ".repeat(indent);
    }
    let _ = writeln!(text, "{lead}{rest}");
}

fn details(result: &CheckResult, look: Look, text: &mut String) {
    let host = &result.host;
    let arch = host.arch.map_or_else(dash, |arch| arch.to_string());
    let runtime = host
        .runtime
        .map_or("not told".to_owned(), |mode| mode.to_string());
    let _ = writeln!(text, "\n{}: arch {arch}, runtime {runtime}", gpu(host));
    if let Some(image) = &result.alias_of {
        let _ = writeln!(text, "an alias of {image}");
    }
    let mut table = Table::new(["FACT", "VALUE", "ORIGIN", "PROOF", "SOURCE"]);
    for fact in &result.facts {
        table.row(vec![
            fact.fact.to_string(),
            fact.value.clone(),
            fact.origin.to_string(),
            fact.proof.to_string(),
            fact.source.clone(),
        ]);
    }
    for gap in &result.gaps {
        table.row(vec![
            gap.fact.to_string(),
            "not known".to_owned(),
            dash(),
            dash(),
            gap.reason.clone(),
        ]);
    }
    text.push_str(&table.text(look));
    for conflict in &result.conflicts {
        disagreement(conflict, text);
    }
}

fn disagreement(conflict: &ConflictReport, text: &mut String) {
    let winner = match &conflict.winner {
        Some(winner) => format!("{winner} counts"),
        None => "so it is not known".to_owned(),
    };
    let [one, other] = &conflict.values;
    let line = format!(
        "sources disagree about {}: {} ({}: {}), {} ({}: {}); {winner}",
        conflict.fact, one.value, one.origin, one.source, other.value, other.origin, other.source
    );
    wrapped(&line, 2, text);
}

/// With several GPUs, what it comes to.
fn summary(report: &Report, text: &mut String) {
    let (all, document) = (report.results.len(), report.documents.first());
    let Some(document) = document.filter(|_| all > 1) else {
        return;
    };
    let runs = |result: &&CheckResult| matches!(result.verdict, Verdict::Runs | Verdict::Degraded);
    let good = report.results.iter().filter(runs).count();
    let _ = writeln!(
        text,
        "\nruns on {good} of {all} GPUs: {}",
        document.decision
    );
}

/// Colours the verdict that a line begins with.
fn coloured(table: &str, report: &Report) -> String {
    let mut text = String::new();
    for line in table.lines() {
        let verdict = Verdict::ALL.iter().find(|verdict| {
            let rest = line.strip_prefix(verdict.word());
            rest.is_some_and(|rest| rest.starts_with(' ')) && !report.results.is_empty()
        });
        let Some(verdict) = verdict else {
            let _ = writeln!(text, "{line}");
            continue;
        };
        let (style, word) = (style(*verdict), verdict.word());
        let rest = line.strip_prefix(word).unwrap_or_default();
        let _ = writeln!(text, "{style}{word}{style:#}{rest}");
    }
    text
}

fn style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Runs => AnsiColor::Green,
        Verdict::Degraded => AnsiColor::Yellow,
        Verdict::Unknown => AnsiColor::Cyan,
        Verdict::Fails => AnsiColor::Red,
    };
    colour.on_default().bold()
}

/// Text that may quote a stranger, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    let letter = |letter: char| if letter.is_control() { '?' } else { letter };
    text.chars().map(letter).collect()
}
