//! How commands print: tables that fit a terminal, and documents for programs.
//!
//! Standard output carries data only. A table has at most [`WIDTH`] columns, its cells wrapped, unless it is asked
//! for wide: then one line a row, however long. Headings are bold where colours are wanted; nothing else is styled.
//! Knows nothing of what is in the cells.

use std::io::{self, Write};

use anstream::AutoStream;
use anyhow::Context;
use clap::ColorChoice;
use comfy_table::{ColumnConstraint, ContentArrangement, presets};
use serde::Serialize;

/// Most columns of a terminal that a table takes.
pub(super) const WIDTH: u16 = 100;
/// Free columns between two cells.
const GAP: u16 = 2;
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// How wide a table may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    /// At most [`WIDTH`] columns.
    Fitting,
    /// One line a row.
    Wide,
}

/// How a table looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// How wide it may be.
    pub(super) breadth: Breadth,
    /// Whether its first line names the columns.
    pub(super) headings: bool,
    /// Whether that line is bold.
    pub(super) colors: bool,
}

/// Rows of cells under headings.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Number of a column whose words are never cut.
    rigid: Option<usize>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            headings: headings.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
            rigid: None,
        }
    }

    /// The same table, in which the cells of that column are never wrapped.
    pub(super) fn rigid(self, column: usize) -> Self {
        Self {
            rigid: Some(column),
            ..self
        }
    }

    /// Adds a row; cells of a row that is too short stay empty.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text, with a newline at the end; nothing for a table without rows.
    pub(super) fn text(&self, look: Look) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match look.breadth {
            // The gap after the last column is cut off again.
            Breadth::Fitting => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(WIDTH + GAP),
            Breadth::Wide => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if look.headings {
            table.set_header(&self.headings);
        }
        table.add_rows(&self.rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        if let Some(column) = self.rigid.and_then(|number| table.column_mut(number)) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        let lines = table.lines().map(|line| line.trim_end().to_owned());
        lines
            .enumerate()
            .map(|(number, line)| match (number, look.headings) {
                (0, true) => heading(&line, look.colors) + "\n",
                _ => line + "\n",
            })
            .collect()
    }
}

/// A heading: bold where colours are wanted.
pub(super) fn heading(text: &str, colors: bool) -> String {
    if colors {
        format!("{BOLD}{text}{PLAIN}")
    } else {
        text.to_owned()
    }
}

/// Whether standard output gets colours. `auto` means: a terminal that is not dumb, and `NO_COLOR` is not set.
pub(super) fn colors(choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
    }
}

/// A document as indented JSON, with a newline at the end.
///
/// # Errors
/// If the value cannot be written as JSON.
pub(super) fn json(document: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(document).context("cannot write JSON")?;
    Ok(text + "\n")
}

/// A document as YAML, with a newline at the end.
///
/// # Errors
/// If the value cannot be written as YAML.
pub(super) fn yaml(document: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(document).context("cannot write YAML")?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// Writes to standard output. A reader that has gone away (`| head`) has what it wanted: no error.
///
/// # Errors
/// If the text cannot be written for another reason.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        breadth: Breadth::Fitting,
        headings: true,
        colors: false,
    };

    fn table(long: usize) -> Table {
        let mut table = Table::new(["NAME", "TEXT"]);
        table.row(vec!["one".to_owned(), "word ".repeat(long)]);
        table.row(vec!["two".to_owned()]);
        table
    }

    #[test]
    fn cells_are_wrapped_at_the_width_and_lines_have_no_trailing_space() {
        let text = table(60).text(LOOK);
        assert!(text.lines().count() > 3, "{text}");
        for line in text.lines() {
            assert!(line.len() <= usize::from(WIDTH), "{line}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn a_wide_table_has_one_line_a_row_and_headings_can_be_left_out() {
        let wide = Look {
            breadth: Breadth::Wide,
            ..LOOK
        };
        assert_eq!(table(60).text(wide).lines().count(), 3);
        let bare = Look {
            headings: false,
            ..LOOK
        };
        assert_eq!(table(1).text(bare), "one  word\ntwo\n");
    }

    #[test]
    fn only_the_heading_is_bold() {
        let text = table(1).text(Look {
            colors: true,
            ..LOOK
        });
        assert!(
            text.starts_with("\u{1b}[1mNAME  TEXT\u{1b}[0m\none"),
            "{text:?}"
        );
        assert_eq!(text.matches('\u{1b}').count(), 2);
    }
}
