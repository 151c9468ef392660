//! The command `catalog`: what the knowledge base holds.
//!
//! Picks entries by a filter and prints them; each table has its file, which says what its words mean. What runs on
//! a GPU is asked of the engine; nothing is decided here. Like grep: 0 something was shown, 1 nothing matches, 2
//! input that cannot be used.

mod driver;
mod gpu;
mod image;
mod product;
mod row;
mod toolkit;
mod torch;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::UNUSABLE_INPUT;
use super::overlay;
use super::table::{self, Breadth, Look, Table};
use crate::cli::{self, CatalogKind, CatalogOutput};
use crate::compat::Catalog;
use crate::compat::catalog::OverlayError;
use crate::image::repositories::RepositoriesError;
use row::Row;

/// Version of the documents that commands print for programs.
pub(super) const API_VERSION: &str = "gpu-capgate.io/v1";
/// Most letters of the input that a message repeats.
const LONGEST_ECHO: usize = 100;
/// Nothing in the table is like that.
const NOTHING_MATCHES: u8 = 1;

/// Input that cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// A filter word that means nothing in that table.
    #[error("{word:?} does not say which {table} is meant: expected {expected}")]
    Word {
        /// The word.
        word: String,
        /// What the table holds.
        table: &'static str,
        /// Words that would be understood.
        expected: &'static str,
    },
    /// A GPU that is not known.
    #[error("no GPU {name:?} is known{}", nearest(.near))]
    Gpu {
        /// Its name.
        name: String,
        /// Names that are written most alike.
        near: Vec<String>,
    },
    /// A tag that a known repository cannot have.
    #[error("{name} should not exist: {reason}; did you mean tag {suggestion}?")]
    Tag {
        /// The image.
        name: String,
        /// Why there is no such tag.
        reason: String,
        /// The tag that was probably meant.
        suggestion: String,
    },
    /// An overlay that cannot be read.
    #[error("cannot read overlay {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// An overlay that cannot be used.
    #[error("overlay {}", .path.display())]
    Overlay {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        #[source]
        cause: OverlayError,
    },
    /// The embedded catalog of repositories, which the tests read.
    #[error(transparent)]
    Repositories(#[from] RepositoriesError),
}

/// What goes to standard output, and whether it is anything.
struct Shown {
    text: String,
    entries: usize,
    /// A word to the person at the terminal, for standard error.
    hint: Option<String>,
}

/// Everything that the tables need to print.
struct Request<'a> {
    catalog: &'a Catalog,
    filter: &'a [String],
    output: CatalogOutput,
    look: Look,
}

/// What `-o json` and `-o yaml` print.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, R> {
    api_version: &'static str,
    kind: &'static str,
    table: &'static str,
    facts: &'a str,
    overlay: Option<&'a str>,
    items: &'a [R],
}

/// Runs `catalog` and tells the exit code.
///
/// # Errors
/// Output that cannot be written.
pub fn catalog(arguments: &cli::CatalogArguments) -> anyhow::Result<ExitCode> {
    let shown = match show(arguments) {
        Ok(shown) => shown,
        Err(error) if error.is::<Unusable>() => {
            eprintln!("gpu-capgate: error: {error:#}");
            return Ok(ExitCode::from(UNUSABLE_INPUT));
        }
        Err(error) => return Err(error),
    };
    table::print(&shown.text)?;
    if let Some(hint) = &shown.hint {
        eprintln!("gpu-capgate: {hint}");
    }
    if shown.entries == 0 {
        return Ok(ExitCode::from(NOTHING_MATCHES));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &cli::CatalogArguments) -> anyhow::Result<Shown> {
    let overlaid = arguments.overlay.as_deref().map(with_overlay).transpose()?;
    let words = words(&arguments.filter);
    let request = Request {
        catalog: overlaid.as_ref().unwrap_or(Catalog::embedded()),
        filter: &words,
        output: arguments.output,
        look: look(arguments),
    };
    match arguments.kind {
        CatalogKind::Torch => request.listing("torch", &torch::rows(&request)?),
        CatalogKind::Cuda => request.listing("cuda", &toolkit::rows(&request)?),
        CatalogKind::Driver => request.listing("driver", &driver::rows(&request)?),
        CatalogKind::Gpu => gpu::show(&request),
        CatalogKind::Image => image::show(&request),
    }
}

fn look(arguments: &cli::CatalogArguments) -> Look {
    Look {
        breadth: match arguments.output {
            CatalogOutput::Wide => Breadth::Wide,
            CatalogOutput::Table
            | CatalogOutput::Json
            | CatalogOutput::Yaml
            | CatalogOutput::Name => Breadth::Fitting,
        },
        headings: !arguments.no_headers,
        colors: table::colors(arguments.color),
    }
}

fn with_overlay(path: &Path) -> Result<Catalog, Unusable> {
    let bytes = overlay::read(path).map_err(|cause| Unusable::Read {
        path: path.to_owned(),
        cause,
    })?;
    Catalog::with_overlay(&bytes).map_err(|cause| Unusable::Overlay {
        path: path.to_owned(),
        cause,
    })
}

/// What a person typed, as far as a message repeats it.
fn cut(text: &str) -> String {
    text.chars().take(LONGEST_ECHO).collect()
}

fn words(filter: &[String]) -> Vec<String> {
    filter
        .iter()
        .flat_map(|text| text.split_whitespace())
        .map(str::to_owned)
        .collect()
}

fn nearest(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(", "))
    }
}

impl Request<'_> {
    fn filter_text(&self) -> String {
        self.filter.join(" ")
    }

    /// Rows in the form that was asked for.
    fn listing<R: Row>(&self, table: &'static str, rows: &[R]) -> anyhow::Result<Shown> {
        let text = match self.output {
            CatalogOutput::Table | CatalogOutput::Wide => self.table(rows),
            CatalogOutput::Json => table::json(&self.document(table, rows))?,
            CatalogOutput::Yaml => table::yaml(&self.document(table, rows))?,
            CatalogOutput::Name => names(rows),
        };
        let nothing = || {
            format!(
                "nothing in catalog {table} matches {:?}",
                cut(&self.filter_text())
            )
        };
        Ok(Shown {
            text,
            entries: rows.len(),
            hint: rows.is_empty().then(nothing),
        })
    }

    fn document<'d, R>(&'d self, table: &'static str, items: &'d [R]) -> Document<'d, R> {
        Document {
            api_version: API_VERSION,
            kind: "Catalog",
            table,
            facts: self.catalog.date(),
            overlay: self.catalog.overlay_date(),
            items,
        }
    }

    fn table<R: Row>(&self, rows: &[R]) -> String {
        let shown = |column: &row::Column| {
            self.look.breadth == Breadth::Wide || column.shown == row::Shown::Always
        };
        let columns = R::COLUMNS.iter().filter(|column| shown(column));
        let mut table = Table::new(columns.map(|column| column.heading)).rigid(0);
        for row in rows {
            let cells = R::COLUMNS.iter().zip(row.cells());
            let cells = cells.filter(|(column, _)| shown(column));
            table.row(cells.map(|(_, cell)| cell).collect());
        }
        table.text(self.look)
    }
}

fn names<R: Row>(rows: &[R]) -> String {
    let mut names: Vec<String> = rows.iter().map(Row::name).collect();
    names.dedup();
    names.into_iter().map(|name| name + "\n").collect()
}
