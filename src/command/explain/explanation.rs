//! What `explain` knows, for programs. Names in it are a contract: new ones may come, none change.

use serde::Serialize;

use super::PLACE;
use super::document::{Document, Section};
use crate::command::catalog::API_VERSION;
use crate::compat::catalog::ErrorText;
use crate::compat::{Catalog, Code, Proof};

/// What `-o json` and `-o yaml` print.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation<'a> {
    api_version: &'static str,
    kind: &'static str,
    /// Day on which the facts were compiled.
    facts: &'a str,
    /// The error that was asked about, if it is in the catalog.
    error: Option<KnownError<'a>>,
    /// The codes that were asked about, or can lead to that error, the most likely first.
    pub(super) codes: Vec<CodeHelp<'a>>,
}

/// A code. Long texts are Markdown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CodeHelp<'a> {
    pub(super) code: Code,
    level: &'a str,
    meaning: &'a str,
    cause: &'a str,
    raised_when: &'a str,
    message: &'a str,
    /// Errors that people see where this is not checked.
    errors: &'a [&'a str],
    what_to_do: &'a str,
    sources: &'a str,
    /// Where the same can be read.
    more: String,
}

#[derive(Serialize)]
struct KnownError<'a> {
    origin: &'a str,
    name: Option<&'a str>,
    number: Option<u32>,
    text: &'a str,
    meaning: Option<&'a str>,
    source: String,
    proof: Proof,
}

impl<'a> Explanation<'a> {
    pub(super) fn of(
        codes: &[Code],
        error: Option<&'a ErrorText>,
        document: &'a Document<'_>,
    ) -> Self {
        let sections = codes.iter().filter_map(|code| document.section(*code));
        Self {
            api_version: API_VERSION,
            kind: "Explanation",
            facts: Catalog::embedded().date(),
            error: error.map(KnownError::of),
            codes: sections.map(CodeHelp::of).collect(),
        }
    }
}

impl<'a> CodeHelp<'a> {
    fn of(section: &'a Section<'_>) -> Self {
        let anchor = section.code.word().to_ascii_lowercase();
        Self {
            code: section.code,
            level: &section.level,
            meaning: section.summary,
            cause: section.below("Cause"),
            raised_when: section.below("Raised when"),
            message: section.below("Message"),
            errors: &section.errors,
            what_to_do: section.below("What to do"),
            sources: section.below("Sources"),
            more: format!("{PLACE}#{anchor}"),
        }
    }
}

impl<'a> KnownError<'a> {
    fn of(error: &'a ErrorText) -> Self {
        Self {
            origin: &error.origin,
            name: error.name.as_deref(),
            number: error.number,
            text: &error.text,
            meaning: error.meaning.as_deref(),
            source: error.source.to_string(),
            proof: error.proof,
        }
    }
}
