//! What all listings have in common: columns, cells, and how facts are spelt in cells.

use std::fmt::Display;

use serde::Serialize;

use crate::compat::{ComputeCapability, DriverFloor, Suffix, Target, TargetList};

/// Where a column is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// In every table.
    Always,
    /// In wide tables only.
    Wide,
}

/// A column of a listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its heading.
    pub(super) heading: &'static str,
    /// Where it is printed.
    pub(super) shown: Shown,
}

/// A column of every table.
pub(super) const fn column(heading: &'static str) -> Column {
    Column {
        heading,
        shown: Shown::Always,
    }
}

/// A column of wide tables.
pub(super) const fn wide(heading: &'static str) -> Column {
    Column {
        heading,
        shown: Shown::Wide,
    }
}

/// One entry of a listing; serialized, it is an item of the JSON document.
pub(super) trait Row: Serialize {
    /// The columns of its table.
    const COLUMNS: &'static [Column];

    /// What identifies it, for `-o name`.
    fn name(&self) -> String;

    /// One cell for each column.
    fn cells(&self) -> Vec<String>;
}

/// A word that is left out where there is nothing to say.
pub(super) fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Targets as capabilities: `7.5 8.0 9.0a`.
pub(super) fn capabilities(targets: &TargetList) -> String {
    let numbers: Vec<String> = targets.iter().map(|target| capability(*target)).collect();
    if numbers.is_empty() {
        "-".to_owned()
    } else {
        numbers.join(" ")
    }
}

/// Targets as compilers name them: `sm_75`.
pub(super) fn sass_names(targets: &TargetList) -> Vec<String> {
    targets.iter().map(ToString::to_string).collect()
}

/// PTX targets as compilers name them: `compute_75`.
pub(super) fn ptx_names(targets: &TargetList) -> Vec<String> {
    targets.iter().map(|target| target.compute()).collect()
}

/// `580 and newer`, `450 to 580`, or a dash where only Linux for Tegra drives the chip.
pub(super) fn drivers(first: Option<DriverFloor>, last: Option<u16>) -> String {
    match (first, last) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        (Some(first), None) => format!("{first} and newer"),
        (None, _) => "Linux for Tegra".to_owned(),
    }
}

/// Reads a filter word that names a GPU target: `sm_86`.
pub(super) fn target_word(word: &str) -> Option<ComputeCapability> {
    word.starts_with("sm_").then(|| word.parse().ok()).flatten()
}

fn capability(target: Target) -> String {
    let letter = match target.suffix {
        Suffix::Base => "",
        Suffix::FamilySpecific => "f",
        Suffix::ArchSpecific => "a",
    };
    format!("{}{letter}", target.capability)
}
