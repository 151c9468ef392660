//! The command `check`: does this run there?
//!
//! Of an image, arguments become hosts (`hosts`) and software, and the engine judges each pair (`judgements`); manifests
//! are judged on nodes as the webhook does it (`workloads`), by its `configuration`. [`report`] is the answer, and `output`
//! prints it. The answer goes to stdout and everything else to stderr.

mod configuration;
mod hosts;
mod judgements;
mod output;
mod report;
mod workloads;

use std::io::{self, Write};
use std::process::ExitCode;

use super::{UNUSABLE_INPUT, files};
use crate::admission::decision::Decision;
use crate::cli::CheckArguments;
use crate::image::evidence::Knowledge;
use crate::image::repositories::{Repositories, RepositoriesError};
use crate::telemetry::with_causes;

pub use configuration::ConfigurationError;
pub use hosts::HostError;
pub use judgements::{JudgementError, report};
pub use output::located::Located;
pub use output::{github, junit, markdown, sarif};
pub use report::{CheckResult, Document, FactReport, GapReport, HostReport, Report};
pub use workloads::WorkloadsError;

/// Exit status for "it does not run".
const INCOMPATIBLE: u8 = 1;
/// Exit status for "not known", where that was asked for.
const NOT_KNOWN: u8 = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The configuration, or what stands for it.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The built-in catalog of repositories cannot be used.
    #[error(transparent)]
    Repositories(#[from] RepositoriesError),
    /// GPUs, software or both cannot be judged as asked.
    #[error(transparent)]
    Judgement(#[from] JudgementError),
    /// Manifests or nodes cannot be read.
    #[error(transparent)]
    Workloads(#[from] WorkloadsError),
    /// The answer cannot be written.
    #[error("cannot write the answer")]
    Write(#[source] io::Error),
}

/// Runs `check` and tells the exit code. What cannot be used is reported here, since it has an exit code of its own.
///
/// # Errors
/// None today; the signature is that of all commands.
pub fn check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let code = run(arguments).unwrap_or_else(|error| {
        chat(&format!("error: {}", with_causes(&error)));
        UNUSABLE_INPUT
    });
    Ok(ExitCode::from(code))
}

fn run(arguments: &CheckArguments) -> Result<u8, CheckError> {
    files::once(&[
        ("--filename", &arguments.filename),
        ("--nodes", &arguments.source.nodes),
        ("--config", arguments.config.as_slice()),
    ])
    .map_err(WorkloadsError::File)?;
    let configuration = configuration::chosen(arguments)?;
    let repositories = Repositories::bundled()?;
    let knowledge = Knowledge {
        catalog: configuration.catalog(),
        repositories: &repositories,
    };
    let report = if arguments.is_about_objects() {
        workloads::report(arguments, &configuration, knowledge)?
    } else {
        report(arguments, knowledge)?
    };
    match output::write(&report, arguments) {
        // Whoever reads has seen enough; the exit status still tells the decision.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.map_err(CheckError::Write)?,
    }
    if !arguments.quiet {
        for note in &report.notes {
            chat(note);
        }
    }
    for error in &report.errors {
        chat(&format!("error: {error}"));
    }
    if report.errors.is_empty() {
        Ok(exit_code(report.decision, arguments))
    } else {
        Ok(UNUSABLE_INPUT)
    }
}

fn exit_code(decision: Decision, arguments: &CheckArguments) -> u8 {
    match decision {
        Decision::Deny => INCOMPATIBLE,
        Decision::Undecided => match arguments.on_unknown {
            crate::cli::OnUnknown::Ok => 0,
            crate::cli::OnUnknown::Fail => NOT_KNOWN,
        },
        Decision::Allow | Decision::Warn => 0,
    }
}

/// A line on stderr; where even that is closed, there is nobody to tell.
fn chat(line: &str) {
    let _ = writeln!(io::stderr(), "gpu-capgate: {line}");
}
