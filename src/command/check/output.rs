//! Prints an answer in the form that was asked for. Decides nothing.

pub mod github;
pub mod junit;
pub(super) mod located;
pub mod markdown;
mod objects;
mod records;
pub mod sarif;
mod table;

use std::io::{self, Write};

use anstream::AutoStream;

use self::located::Located;
use self::records::Record;
use super::report::Report;
use crate::cli::{CheckArguments, CheckOutput};
use crate::command::table::{Breadth, Look};
use crate::compat::Verdict;

/// Writes the answer to stdout.
pub(super) fn write(report: &Report, arguments: &CheckArguments) -> io::Result<()> {
    let mut out = AutoStream::new(io::stdout().lock(), choice(arguments.color));
    // Colours are on the verdicts alone, and the stream takes them out again where they are not wanted.
    let look = Look {
        breadth: Breadth::Fitting,
        headings: !arguments.no_headers,
        colors: false,
    };
    match arguments.output {
        CheckOutput::Table if arguments.is_about_objects() => {
            out.write_all(objects::table(report, look).as_bytes())?;
        }
        CheckOutput::Wide if arguments.is_about_objects() => {
            out.write_all(objects::wide(report, look).as_bytes())?;
        }
        CheckOutput::Name if arguments.is_about_objects() => {
            out.write_all(objects::names(report).as_bytes())?;
        }
        CheckOutput::Table => out.write_all(table::table(report, look).as_bytes())?,
        CheckOutput::Wide => out.write_all(table::wide(report, look).as_bytes())?,
        CheckOutput::Json => {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
        }
        CheckOutput::Yaml => {
            let text = serde_saphyr::to_string(report).map_err(io::Error::other)?;
            out.write_all(text.as_bytes())?;
        }
        CheckOutput::Name => write_names(report, &mut out)?,
        CheckOutput::Sarif => out.write_all(for_ci(report, arguments, sarif::write).as_bytes())?,
        CheckOutput::Junit => out.write_all(for_ci(report, arguments, junit::write).as_bytes())?,
        CheckOutput::Github => {
            out.write_all(for_ci(report, arguments, github::write).as_bytes())?;
        }
        CheckOutput::Markdown => {
            out.write_all(for_ci(report, arguments, markdown::write).as_bytes())?;
        }
    }
    out.flush()
}

fn for_ci(
    report: &Report,
    arguments: &CheckArguments,
    write: fn(&[Located<'_>]) -> String,
) -> String {
    let records = if arguments.is_about_objects() {
        records::of_objects(report)
    } else {
        records::of_hosts(report)
    };
    let located: Vec<Located<'_>> = records.iter().map(Record::located).collect();
    write(&located)
}

/// The GPUs that it runs on.
fn write_names(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for result in &report.results {
        if matches!(result.verdict, Verdict::Runs | Verdict::Degraded) {
            writeln!(out, "{}", table::gpu(&result.host))?;
        }
    }
    Ok(())
}

fn choice(color: clap::ColorChoice) -> anstream::ColorChoice {
    match color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
}
