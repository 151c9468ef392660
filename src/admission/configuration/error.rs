//! What is wrong with a configuration, where, and what to do about it.
//!
//! Pure.

use std::fmt;

use serde_saphyr::{Error, Location};

use super::MAX_CONFIGURATION_BYTES;
use crate::cluster::workload::KindsError;
use crate::compat::catalog::OverlayError;

/// Most letters of the file that a message repeats.
const LONGEST_ECHO: usize = 100;
/// Most letters of the parser's own words.
const LONGEST_REASON: usize = 300;

/// A place in the file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its line.
    pub line: u64,
    /// Its column.
    pub column: u64,
}

impl Position {
    pub(super) fn of(location: Location) -> Self {
        Self {
            line: location.line().max(1),
            column: location.column().max(1),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A configuration that cannot be used. Texts begin with line and column.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// Larger than [`MAX_CONFIGURATION_BYTES`].
    #[error("the configuration has {length} bytes (at most {MAX_CONFIGURATION_BYTES})")]
    TooLong {
        /// Its length in bytes, as far as it was read.
        length: usize,
    },
    /// Not UTF-8.
    #[error("{position}: this byte is not UTF-8: save the file as plain text in UTF-8")]
    NotText {
        /// Where the first bad byte stands.
        position: Position,
    },
    /// Not YAML, or a value of another shape.
    #[error("{position}: {reason}")]
    Shape {
        /// Where.
        position: Position,
        /// The parser's words.
        reason: String,
    },
    /// A key that means nothing there.
    #[error("{position}: key {key:?} is not known here{}; known are {}", meant(.nearest.as_deref()), .known.join(", "))]
    Key {
        /// Where it stands.
        position: Position,
        /// The key.
        key: String,
        /// The known key that is written most alike.
        nearest: Option<String>,
        /// All keys that are known there.
        known: Vec<&'static str>,
    },
    /// A word that means nothing there.
    #[error("{position}: {word:?} is not known here{}; known are {}", meant(.nearest.as_deref()), .known.join(", "))]
    Word {
        /// Where it stands.
        position: Position,
        /// The word.
        word: String,
        /// The known word that is written most alike.
        nearest: Option<String>,
        /// All words that are known there.
        known: Vec<&'static str>,
    },
    /// A value that is not of the sort that its key wants.
    #[error("{position}: {field}: {value:?} is not {expected}")]
    Value {
        /// Where it stands.
        position: Position,
        /// The key.
        field: &'static str,
        /// What stands there, cut.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A declared pool that no node could be of.
    #[error("{position}: pool {pool:?}: {field}: {value:?} is not {expected}")]
    Pool {
        /// Where it begins.
        position: Position,
        /// Its name, cut.
        pool: String,
        /// Which of its keys.
        field: &'static str,
        /// What stands there, cut.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The overlay or an alias; the cause counts lines from the overlay's own first one.
    #[error("{position}: overlay: {source}")]
    Overlay {
        /// Where it begins.
        position: Position,
        /// What is wrong with it.
        source: OverlayError,
    },
    /// The added kinds of workloads.
    #[error("{position}: kinds: {source}")]
    Kinds {
        /// Where they begin.
        position: Position,
        /// What is wrong with them.
        source: KindsError,
    },
}

impl ConfigurationError {
    pub(super) fn not_text(text: &[u8], error: std::str::Utf8Error) -> Self {
        let good = text.get(..error.valid_up_to()).unwrap_or_default();
        let lines = good.split(|byte| *byte == b'\n');
        let last = lines.clone().next_back().unwrap_or_default();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Self::NotText {
            position: Position {
                line: count(lines.count()),
                column: count(last.len() + 1),
            },
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other errors of the parser are its own words"
    )]
    pub(super) fn of_parser(error: &Error) -> Self {
        let position = Position::of(error.location().unwrap_or(Location::UNKNOWN));
        match error.without_snippet() {
            Error::SerdeUnknownField {
                field, expected, ..
            } => Self::Key {
                position,
                key: cut(field),
                nearest: nearest(field, expected),
                known: expected.clone(),
            },
            Error::SerdeUnknownVariant {
                variant, expected, ..
            } => Self::Word {
                position,
                word: cut(variant),
                nearest: nearest(variant, expected),
                known: expected.clone(),
            },
            error => Self::Shape {
                position,
                reason: reason(error),
            },
        }
    }
}

/// The parser's complaint without its place, which stands before it.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    reason
        .chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST_REASON)
        .collect()
}

fn nearest(written: &str, known: &[&'static str]) -> Option<String> {
    let written: String = written.chars().take(LONGEST_ECHO).collect();
    let distance =
        |word: &&&str| strsim::osa_distance(&written.to_lowercase(), &word.to_lowercase());
    let closest = known.iter().min_by_key(distance)?;
    (distance(&closest) <= closest.len().div_ceil(3)).then(|| (*closest).to_owned())
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |word| format!(": did you mean {word}?"))
}

/// A text from the file, as much of it as a message repeats.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LONGEST_ECHO).collect()
}
