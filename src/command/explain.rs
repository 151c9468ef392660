//! The command `explain`: what a code means, found by its name or by the error that a person saw.
//!
//! The text is docs/codes.md itself, so that terminal and documentation cannot differ.

mod document;
mod explanation;
mod search;
mod terminal;

use std::process::ExitCode;

use super::UNUSABLE_INPUT;
use super::table::{self, Breadth, Look, Table};
use crate::cli::{self, ExplainOutput};
use crate::compat::catalog::ErrorText;
use crate::compat::{Catalog, Code, CudaVersion};
use document::{Document, Section};
use explanation::Explanation;
use search::Found;

const CODES: &str = include_str!("../../docs/codes.md");
/// Where the same text can be read.
const PLACE: &str = "docs/codes.md";

/// Runs `explain` and tells the exit code.
///
/// # Errors
/// Output that cannot be written.
pub fn explain(arguments: &cli::ExplainArguments) -> anyhow::Result<ExitCode> {
    let query = arguments.query.join(" ");
    let document = Document::new(CODES);
    let Some((codes, error)) = asked(&query, &document) else {
        return Ok(ExitCode::from(UNUSABLE_INPUT));
    };
    let explanation = Explanation::of(&codes, error, &document);
    table::print(&match arguments.output {
        ExplainOutput::Table => {
            let colors = table::colors(arguments.color);
            match (query.trim(), codes.first(), error) {
                ("", _, _) => overview(&document, colors),
                (_, Some(code), _) => about(&document, *code, colors),
                (_, None, Some(error)) => uncoded(error),
                (_, None, None) => String::new(),
            }
        }
        ExplainOutput::Json => table::json(&explanation)?,
        ExplainOutput::Yaml => table::yaml(&explanation)?,
        ExplainOutput::Name => names(&codes),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// One code a line.
fn names(codes: &[Code]) -> String {
    let words: Vec<String> = codes.iter().map(ToString::to_string).collect();
    words.join("\n") + "\n"
}

/// The codes and the error that a question is about; `None` if there is nothing like it, which is told.
fn asked(
    query: &str,
    document: &Document<'static>,
) -> Option<(Vec<Code>, Option<&'static ErrorText>)> {
    if query.trim().is_empty() {
        return Some((Code::ALL.to_vec(), None));
    }
    match search::find(query, document, Catalog::embedded()) {
        Found::Code(code) => Some((vec![code], None)),
        Found::Error { codes, error } => {
            for line in hints(query, &codes) {
                eprintln!("gpu-capgate: {line}");
            }
            Some((codes, error))
        }
        Found::Nothing { near } => {
            eprintln!("gpu-capgate: error: {}", not_found(query, &near));
            None
        }
    }
}

fn not_found(query: &str, near: &[String]) -> String {
    let near: String = near
        .iter()
        .flat_map(|text| ["\n  ", text.as_str()])
        .collect();
    let meant = if near.is_empty() {
        ""
    } else {
        "; did you mean one of these?"
    };
    let query: String = query.chars().take(200).collect();
    format!("no code and no known error is like {query:?}{meant}{near}")
}

/// The documentation of a code, for other forms of output.
pub(super) struct Help {
    /// Its level: `deny`, `warn (deny in strict mode)`.
    pub(super) level: String,
    /// What it means, in one line.
    pub(super) summary: &'static str,
    /// Everything below that, in Markdown.
    pub(super) body: &'static str,
}

/// The documentation of a code; a test rules out that there is none.
pub(super) fn help(code: Code) -> Option<Help> {
    let document = Document::new(CODES);
    document.section(code).map(|section| Help {
        level: section.level.clone(),
        summary: section.summary,
        body: section.body,
    })
}

/// All codes, the worst first.
fn overview(document: &Document<'_>, colors: bool) -> String {
    let mut table = Table::new(["CODE", "LEVEL", "MEANING"]).rigid(0);
    for section in document.sections() {
        table.row(vec![
            section.code.to_string(),
            section.level.clone(),
            section.summary.trim_end_matches('.').to_owned(),
        ]);
    }
    table.text(Look {
        breadth: Breadth::Fitting,
        headings: true,
        colors,
    })
}

fn about(document: &Document<'_>, code: Code, colors: bool) -> String {
    let section = document.section(code);
    section.map_or_else(String::new, |section| text_of(section, colors))
}

fn text_of(section: &Section<'_>, colors: bool) -> String {
    let title = table::heading(section.code.word(), colors);
    let anchor = section.code.word().to_ascii_lowercase();
    let facts = Catalog::embedded().date();
    format!(
        "{title}  {}\n{}\n\n{}\nFacts of {facts}. The same text: {PLACE}#{anchor}\n",
        section.level,
        terminal::wrapped(section.summary, ""),
        terminal::text(section.body, colors),
    )
}

/// What an error text tells beside the code.
fn hints(query: &str, codes: &[Code]) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some((first, others)) = codes.split_first() {
        let others: Vec<&str> = others.iter().map(|code| code.word()).collect();
        let also = if others.is_empty() {
            String::new()
        } else {
            format!(" (it can also be {})", others.join(" or "))
        };
        hints.push(format!("that error is what {first} tells beforehand{also}"));
    }
    hints.extend(driver_integer(query));
    hints
}

/// torch prints the CUDA version that a driver offers as an integer, which is often taken for a driver's number.
fn driver_integer(query: &str) -> Option<String> {
    let (_, behind) = query.split_once("found version ")?;
    let end = behind
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(behind.len());
    let number = behind.get(..end)?;
    let cuda = CudaVersion::from_api_integer(number.parse().ok()?)?;
    Some(format!(
        "version {number} is not a driver: it says that the driver offers CUDA {cuda}"
    ))
}

/// An error of the table that none of the codes is about.
fn uncoded(error: &ErrorText) -> String {
    let name = error.name.as_deref().map(|name| format!(" ({name})"));
    let meaning = error
        .meaning
        .as_deref()
        .unwrap_or("no version problem is known behind it");
    let number = error.number.map(|number| format!(" {number}"));
    format!(
        "{}{}{}: {}\n\n{}\n\nSource: {} ({}). Facts of {}.\n",
        error.origin,
        number.unwrap_or_default(),
        name.unwrap_or_default(),
        error.text,
        terminal::wrapped(
            &format!(
                "{meaning}. gpu-capgate has no code for it: it cannot be told from an image and a GPU."
            ),
            "  "
        ),
        error.source,
        error.proof,
        Catalog::embedded().date(),
    )
}
