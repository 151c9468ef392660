//! The command `snapshot`: a cluster's GPU nodes as a file that `--nodes` reads back, with the same answers.
//!
//! The nodes are one document, made by [`Snapshot`]; RuntimeClasses, DeviceClasses and NodePools follow as they are,
//! cut down to what decides.

use std::io::{self, Write};
use std::process::ExitCode;

use super::{UNUSABLE_INPUT, source, table};
use crate::cli::SnapshotArguments;
use crate::cluster::fleet::{Listing, Names, Snapshot};
use crate::compat::Catalog;
use crate::telemetry::with_causes;

/// Runs `snapshot` and tells the exit code. What cannot be used is reported here, since it has an exit code of its own.
///
/// # Errors
/// If the answer cannot be written.
pub fn snapshot(arguments: &SnapshotArguments) -> anyhow::Result<ExitCode> {
    let (mut listing, notes) = match source::listing(&arguments.source, Catalog::embedded()) {
        Ok(read) => read,
        Err(error) => {
            chat(&format!("error: {}", with_causes(&error)));
            return Ok(ExitCode::from(UNUSABLE_INPUT));
        }
    };
    let names = if arguments.names {
        Names::Kept
    } else {
        Names::LeftOut
    };
    table::print(&document(&mut listing, names)?)?;
    for note in notes.into_iter().chain(listing.notes()) {
        chat(&note);
    }
    let errors = listing.take_errors();
    for error in &errors {
        chat(&format!("error: {error}"));
    }
    Ok(if errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNUSABLE_INPUT)
    })
}

/// The stream: the nodes, and the other objects that decide.
///
/// # Errors
/// None in practice: all of it can be written as YAML.
pub fn document(listing: &mut Listing<'_>, names: Names) -> anyhow::Result<String> {
    let mut text = format!(
        "# GPU nodes, taken by gpu-capgate {}. Read it with: gpu-capgate nodes --nodes FILE\n",
        env!("CARGO_PKG_VERSION")
    );
    text += &table::yaml(&Snapshot::of(&listing.fleet(), names))?;
    for object in listing.others() {
        text += "---\n";
        text += &table::yaml(object)?;
    }
    Ok(text)
}

/// A line on stderr; where even that is closed, there is nobody to tell.
fn chat(line: &str) {
    let _ = writeln!(io::stderr(), "gpu-capgate: {line}");
}
