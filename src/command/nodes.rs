//! The command `nodes`: which GPUs a cluster has, as far as is known, and where that was read.
//!
//! A row is a class: nodes of whose GPUs the same is known ([`row`]). Judges nothing.

pub mod row;

use std::io::{self, Write};
use std::process::ExitCode;

use super::table::{self, Breadth, Look, Table};
use super::{UNUSABLE_INPUT, markdown, source};
use crate::cli::{NodesArguments, NodesOutput};
use crate::compat::Catalog;
use crate::telemetry::with_causes;
use row::Inventory;

/// Runs `nodes` and tells the exit code. What cannot be used is reported here, since it has an exit code of its own.
///
/// # Errors
/// If the answer cannot be written.
pub fn nodes(arguments: &NodesArguments) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::embedded();
    let loaded = match source::fleet(&arguments.source, catalog) {
        Ok(loaded) => loaded,
        Err(error) => {
            chat(&format!("error: {}", with_causes(&error)));
            return Ok(ExitCode::from(UNUSABLE_INPUT));
        }
    };
    let inventory = Inventory::of(&loaded.fleet, loaded.nodes, catalog);
    table::print(&text(&inventory, arguments)?)?;
    for note in &loaded.notes {
        chat(note);
    }
    for error in &loaded.errors {
        chat(&format!("error: {error}"));
    }
    Ok(if loaded.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNUSABLE_INPUT)
    })
}

fn text(inventory: &Inventory, arguments: &NodesArguments) -> anyhow::Result<String> {
    let look = |breadth| Look {
        breadth,
        headings: !arguments.no_headers,
        colors: table::colors(arguments.color),
    };
    Ok(match arguments.output {
        NodesOutput::Table => narrow(inventory).text(look(Breadth::Fitting)),
        NodesOutput::Wide => wide(inventory).text(look(Breadth::Wide)),
        NodesOutput::Json => table::json(inventory)?,
        NodesOutput::Yaml => table::yaml(inventory)?,
        NodesOutput::Name => inventory
            .products()
            .into_iter()
            .map(|product| product + "\n")
            .collect(),
        NodesOutput::Markdown => {
            markdown::table(&NARROW, inventory.classes.iter().map(narrow_cells))
        }
    })
}

const NARROW: [&str; 9] = [
    "NODES", "GPUS", "PRODUCT", "SM", "MEMORY", "DRIVER", "CUDA", "ARCH", "NOTES",
];

fn narrow(inventory: &Inventory) -> Table {
    let mut table = Table::new(NARROW);
    for class in &inventory.classes {
        table.row(narrow_cells(class));
    }
    table
}

fn narrow_cells(class: &row::Class) -> Vec<String> {
    let mut cells = shared_cells(class);
    cells.push(class.remarks().join("; "));
    cells
}

fn shared_cells(class: &row::Class) -> Vec<String> {
    vec![
        class.nodes.to_string(),
        class.devices().to_string(),
        class.product(),
        class.each(|gpu| gpu.target.clone()),
        class.memory(),
        class.each(|gpu| gpu.driver.clone()),
        class.each(|gpu| gpu.cuda.clone()),
        class.each(|gpu| gpu.architecture.clone()),
    ]
}

fn wide(inventory: &Inventory) -> Table {
    let shared = NARROW.iter().take(NARROW.len() - 1).copied();
    let more = [
        "RUNTIME",
        "SHARING",
        "RESOURCES",
        "READ FROM",
        "UNKNOWN BECAUSE",
        "EXAMPLES",
    ];
    let mut table = Table::new(shared.chain(more));
    for class in &inventory.classes {
        let mut cells = shared_cells(class);
        cells.extend([
            class.each(|gpu| gpu.runtime.clone()),
            or_dash(class.sharing.join(", ")),
            or_dash(class.resource_counts()),
            class.read_from.join(", "),
            or_dash(class.unknown.unwrap_or_default().to_owned()),
            class.example_names(),
        ]);
        table.row(cells);
    }
    table
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// A line on stderr; where even that is closed, there is nobody to tell.
fn chat(line: &str) {
    let _ = writeln!(io::stderr(), "gpu-capgate: {line}");
}
