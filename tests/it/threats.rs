//! `docs/threats.md` against the repository: what it calls a test is one that exists.

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of the column that names tests, in all tables, with the row that each stands in.
fn cells(document: &str) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    let mut column = None;
    for line in document.lines() {
        // In a table, a bar within a cell would be written \|.
        let row: Option<Vec<&str>> = line
            .strip_prefix('|')
            .and_then(|line| line.strip_suffix('|'))
            .map(|line| line.split('|').map(str::trim).collect());
        let Some(row) = row else {
            column = None;
            continue;
        };
        match column {
            None => column = row.iter().position(|cell| *cell == "test"),
            Some(_) if line.chars().all(|letter| "|- ".contains(letter)) => {}
            Some(column) => cells.push((line.to_owned(), row[column].to_owned())),
        }
    }
    cells
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The text of all Rust files of a folder.
fn source(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_document_names_exists() {
    let mut code = String::new();
    for folder in ["src", "tests"] {
        source(&root().join(folder), &mut code);
    }
    let document = fs::read_to_string(root().join("docs/threats.md")).unwrap();
    let cells = cells(&document);
    assert!(cells.len() > 30, "{} rows", cells.len());
    for (row, cell) in cells {
        let names: Vec<&str> = quoted(&cell).collect();
        let reason = cell == "-" || cell == "not tested";
        assert!(
            reason == names.is_empty(),
            "neither tests nor why none: {row}"
        );
        for name in names {
            let exists = if name.contains('/') {
                root().join(name).is_file()
            } else {
                code.contains(&format!("fn {name}("))
            };
            assert!(exists, "there is no test {name}: {row}");
        }
    }
}

#[test]
fn a_name_in_a_cell_is_found_and_prose_around_it_is_not() {
    let table = "| threat | test |\n|---|---|\n| `a` | `one`, `two` in `three` |\n\n| other | table |\n| x | `y` |\n";
    let cells = cells(table);
    assert_eq!(cells.len(), 1);
    let names: Vec<&str> = quoted(&cells[0].1).collect();
    assert_eq!(names, ["one", "two", "three"]);
}
