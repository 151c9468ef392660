//! The commands `completion`, `man` and `version`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;
use serde::Serialize;

use super::table;
use crate::cli::{Cli, CompletionArguments, ManArguments, VersionArguments, VersionOutput};
use crate::compat::Catalog;

/// What `version` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionDocument {
    api_version: &'static str,
    kind: &'static str,
    version: &'static str,
    facts: &'static str,
    overlay: Option<&'static str>,
}

/// Runs `completion` and tells the exit code.
///
/// # Errors
/// Output that cannot be written.
pub fn completion(arguments: &CompletionArguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    let script = String::from_utf8(script).context("the completion script is not UTF-8")?;
    table::print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `man`, one page for all commands, and tells the exit code.
///
/// # Errors
/// Output that cannot be written.
pub fn man(_arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let page = page().context("cannot write the manual page")?;
    let page = String::from_utf8(page).context("the manual page is not UTF-8")?;
    table::print(&page)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `version` and tells the exit code.
///
/// # Errors
/// Output that cannot be written.
pub fn version(arguments: &VersionArguments) -> anyhow::Result<ExitCode> {
    let document = VersionDocument {
        api_version: super::catalog::API_VERSION,
        kind: "Version",
        version: env!("CARGO_PKG_VERSION"),
        facts: Catalog::embedded().date(),
        overlay: None,
    };
    let text = match arguments.output {
        VersionOutput::Text => format!(
            "gpu-capgate  {}\nfacts        {}\noverlay      none\n",
            document.version, document.facts
        ),
        VersionOutput::Json => table::json(&document)?,
        VersionOutput::Yaml => table::yaml(&document)?,
    };
    table::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> std::io::Result<Vec<u8>> {
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for command in command.get_subcommands() {
        if command.get_name() != "help" {
            write_command(command.clone(), &mut page)?;
        }
    }
    writeln!(
        page,
        ".SH \"SEE ALSO\"\ndocs/codes.md, docs/compatibility.md"
    )?;
    Ok(page)
}

/// One command as a section of its own; what would be sections of its own page become subsections.
fn write_command(command: clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let title = command.get_name().to_uppercase();
    let extra = command.get_after_help().map(ToString::to_string);
    let man = Man::new(command);
    let mut section = Vec::new();
    man.render_synopsis_section(&mut section)?;
    man.render_description_section(&mut section)?;
    man.render_options_section(&mut section)?;
    writeln!(page, ".SH \"{title}\"")?;
    for line in String::from_utf8_lossy(&section).lines() {
        match line.strip_prefix(".SH ") {
            Some(heading) => writeln!(page, ".SS {heading}")?,
            // Each part defines its apostrophe anew.
            None if line.starts_with(".ie ") || line.starts_with(".el ") => {}
            None => writeln!(page, "{line}")?,
        }
    }
    match extra {
        Some(extra) => writeln!(page, ".PP\n{extra}"),
        None => Ok(()),
    }
}
