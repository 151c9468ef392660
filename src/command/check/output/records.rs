//! A report as the forms for CI take it: a record for each object, at the line of the image that it is about.

use super::located::Located;
use super::objects::named;
use super::table::gpu;
use crate::admission::decision::Decision;
use crate::command::check::report::{CheckResult, Document, Report};
use crate::compat::{Code, Verdict};

/// The name of standard input in those forms.
const STANDARD_INPUT: &str = "-";

/// One record with the texts that it is made of.
pub(super) struct Record {
    file: String,
    line: usize,
    column: usize,
    object: String,
    code: Option<Code>,
    decision: Decision,
    message: String,
    warning: String,
}

impl Record {
    pub(super) fn located(&self) -> Located<'_> {
        Located {
            file: &self.file,
            line: self.line,
            column: self.column,
            object: &self.object,
            code: self.code,
            decision: self.decision,
            message: &self.message,
            warning: &self.warning,
        }
    }
}

/// The records of a report about objects.
pub(super) fn of_objects(report: &Report) -> Vec<Record> {
    report.documents.iter().map(of_object).collect()
}

/// The records of a report about one image: one for each GPU.
pub(super) fn of_hosts(report: &Report) -> Vec<Record> {
    let name = report
        .documents
        .first()
        .map(|document| document.name.clone());
    let name = name.unwrap_or_default();
    report
        .results
        .iter()
        .map(|result| of_host(result, &name))
        .collect()
}

fn of_object(document: &Document) -> Record {
    let (place, container) = document.worst();
    let object = match container {
        Some(container) => format!("{}, container {}", named(document), container.name),
        None => named(document),
    };
    let number = |number: u64| usize::try_from(number).unwrap_or_default();
    let standard_input = document.source == "standard input";
    Record {
        file: if standard_input {
            STANDARD_INPUT.to_owned()
        } else {
            document.source.clone()
        },
        line: place.map_or(0, |place| number(place.line)),
        column: place.map_or(0, |place| number(place.column)),
        object,
        code: document.codes.first().copied(),
        decision: document.decision,
        message: document.message.clone(),
        warning: document.warnings.join("\n"),
    }
}

fn of_host(result: &CheckResult, name: &str) -> Record {
    let decision = match result.verdict {
        Verdict::Fails => Decision::Deny,
        Verdict::Unknown => Decision::Undecided,
        Verdict::Runs if result.codes.is_empty() => Decision::Allow,
        Verdict::Runs | Verdict::Degraded => Decision::Warn,
    };
    Record {
        file: STANDARD_INPUT.to_owned(),
        line: 0,
        column: 0,
        object: format!("{name} on {}", gpu(&result.host)),
        code: result.codes.first().copied(),
        decision,
        message: result.explanation.clone(),
        warning: String::new(),
    }
}
