//! Holds the program to the verdicts that were written by hand: every case and every table of `tests/cases`, through
//! the same path as `check`. All that differs is told at once.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use gpu_capgate::cli::{CheckArguments, Cli, Command};
use gpu_capgate::command::check;
use gpu_capgate::compat::Catalog;
use gpu_capgate::image::evidence::Knowledge;
use gpu_capgate::image::repositories::Repositories;
use serde::Deserialize;

/// A file of single cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

/// One question, and what is right by its source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    image: Option<String>,
    torch: Option<String>,
    requires: Option<String>,
    gpu: Option<String>,
    compute_capability: Option<String>,
    driver: Option<String>,
    jetpack: Option<String>,
    arch: Option<String>,
    runtime: Option<String>,
    count: Option<u16>,
    verdict: String,
    codes: Vec<String>,
    decision: String,
    source: String,
}

/// One image on many GPUs at several drivers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    image: String,
    source: String,
    drivers: Vec<String>,
    row: Vec<Row>,
}

/// One GPU: a verdict and codes for each driver.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    gpu: String,
    cells: Vec<String>,
    why: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// The TOML files in a folder, by name, each as `T`.
fn read<T: for<'de> Deserialize<'de>>(folder: &Path) -> Vec<(String, T)> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    paths.sort();
    let parsed = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let value = toml::from_str(&text);
        (
            name,
            value.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
    };
    paths.into_iter().map(parsed).collect()
}

/// What is answered to a command line: verdict and codes, and the decision.
fn answer(knowledge: Knowledge<'_>, options: &[(&str, Option<String>)]) -> (String, String) {
    let given = options
        .iter()
        .filter_map(|(name, value)| Some([format!("--{name}"), value.clone()?]));
    let command = ["gpu-capgate".to_owned(), "check".to_owned()];
    let command: Vec<String> = command.into_iter().chain(given.flatten()).collect();
    let arguments = match Cli::try_parse_from(&command) {
        Ok(Cli {
            command: Command::Check(arguments),
        }) => arguments,
        Ok(_) => panic!("{command:?} is no check"),
        Err(error) => return (format!("cannot be read: {error}"), String::new()),
    };
    told(&arguments, knowledge)
}

fn told(arguments: &CheckArguments, knowledge: Knowledge<'_>) -> (String, String) {
    let report = match check::report(arguments, knowledge) {
        Ok(report) => report,
        Err(error) => return (format!("cannot be judged: {error}"), String::new()),
    };
    let [result] = report.results.as_slice() else {
        panic!("{} results for one GPU", report.results.len());
    };
    let words = std::iter::once(result.verdict.to_string())
        .chain(result.codes.iter().map(ToString::to_string));
    let gaps: Vec<String> = result
        .gaps
        .iter()
        .map(|gap| format!("{}: {}", gap.fact, gap.reason))
        .collect();
    let verdict = words.collect::<Vec<_>>().join(" ");
    (
        verdict,
        format!(
            "{}{}",
            report.decision,
            if gaps.is_empty() {
                String::new()
            } else {
                format!("   gaps: {}", gaps.join("; "))
            }
        ),
    )
}

/// Mismatches, told so that a person can decide who is right.
#[derive(Default)]
struct Mismatches {
    checked: usize,
    text: String,
    found: usize,
}

impl Mismatches {
    fn compare(&mut self, place: &str, expected: &str, answered: &(String, String), source: &str) {
        self.checked += 1;
        let decision = expected.split_once(" / ").map(|(_, decision)| decision);
        let wanted = expected
            .split_once(" / ")
            .map_or(expected, |(verdict, _)| verdict);
        let (verdict, rest) = answered;
        let (got, gaps) = rest.split_once("   ").unwrap_or((rest, ""));
        if verdict == wanted && decision.is_none_or(|decision| decision == got) {
            return;
        }
        self.found += 1;
        let _ = writeln!(
            self.text,
            "{place}\n    expected {expected}\n    answered {verdict} / {got}   {gaps}\n    source   {source}"
        );
    }

    fn end(self) {
        println!("{} checked", self.checked);
        assert!(
            self.found == 0,
            "{} of {} differ:\n{}",
            self.found,
            self.checked,
            self.text
        );
    }
}

fn with_knowledge(run: impl FnOnce(Knowledge<'_>)) {
    let repositories = Repositories::bundled().unwrap();
    run(Knowledge {
        catalog: Catalog::embedded(),
        repositories: &repositories,
    });
}

#[test]
fn every_case_is_answered_as_its_source_says() {
    let mut mismatches = Mismatches::default();
    with_knowledge(|knowledge| {
        for (file, Cases { case }) in read::<Cases>(&folder()) {
            for case in case {
                let place = format!("{file}: {}", case.name);
                let expected = format!(
                    "{} / {}",
                    std::iter::once(case.verdict)
                        .chain(case.codes)
                        .collect::<Vec<_>>()
                        .join(" "),
                    case.decision
                );
                let options = [
                    ("image", case.image),
                    ("torch", case.torch),
                    ("requires", case.requires),
                    ("gpu", case.gpu),
                    ("compute-capability", case.compute_capability),
                    ("driver", case.driver),
                    ("jetpack", case.jetpack),
                    ("arch", case.arch),
                    ("runtime", case.runtime),
                    ("count", case.count.map(|count| count.to_string())),
                ];
                mismatches.compare(
                    &place,
                    &expected,
                    &answer(knowledge, &options),
                    &case.source,
                );
            }
        }
    });
    mismatches.end();
}

#[test]
fn every_cell_of_the_tables_is_answered_as_its_source_says() {
    let mut mismatches = Mismatches::default();
    with_knowledge(|knowledge| {
        for (file, sheet) in read::<Sheet>(&folder().join("tables")) {
            assert!(!sheet.source.is_empty(), "{file}");
            for row in &sheet.row {
                assert_eq!(row.cells.len(), sheet.drivers.len(), "{file}: {}", row.gpu);
                for (driver, cell) in sheet.drivers.iter().zip(&row.cells) {
                    let place = format!("{file}: {} with driver {driver}", row.gpu);
                    let options = cell_options(&sheet.image, &row.gpu, driver);
                    mismatches.compare(&place, cell, &answer(knowledge, &options), &row.why);
                }
            }
        }
    });
    mismatches.end();
}

fn cell_options(image: &str, gpu: &str, driver: &str) -> [(&'static str, Option<String>); 3] {
    [
        ("image", Some(image.to_owned())),
        ("gpu", Some(gpu.to_owned())),
        ("driver", Some(driver.to_owned())),
    ]
}
