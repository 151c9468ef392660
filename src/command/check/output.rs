//! Prints an answer in the form that was asked for. Decides nothing.

mod table;

use std::io::{self, Write};

use anstream::AutoStream;

use super::report::Report;
use crate::cli::{CheckArguments, CheckOutput};
use crate::compat::Verdict;

/// Writes the answer to stdout.
pub(super) fn write(report: &Report, arguments: &CheckArguments) -> io::Result<()> {
    let mut out = AutoStream::new(io::stdout().lock(), choice(arguments.color));
    let shape = table::Shape {
        headers: !arguments.no_headers,
    };
    match arguments.output {
        CheckOutput::Table => out.write_all(table::table(report, shape).as_bytes())?,
        CheckOutput::Wide => out.write_all(table::wide(report, shape).as_bytes())?,
        CheckOutput::Json => {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
        }
        CheckOutput::Yaml => {
            let text = serde_saphyr::to_string(report).map_err(io::Error::other)?;
            out.write_all(text.as_bytes())?;
        }
        CheckOutput::Name => write_names(report, &mut out)?,
    }
    out.flush()
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
