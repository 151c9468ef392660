//! What is wrong with a manifest, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::Position;

/// A fault of a source. Written as compilers do: `train.yaml:12:5: what is wrong: what to do`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ManifestError {
    /// Name of the source, as the caller gave it.
    pub name: Arc<str>,
    /// Where the fault is; none if the source as a whole has it.
    pub position: Option<Position>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(formatter, "{}:{position}: {}", self.name, self.problem),
            None => write!(formatter, "{}: {}", self.name, self.problem),
        }
    }
}

/// What is wrong with a manifest. Each text says what to do as well.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The source has more bytes than are read.
    #[error("{length} bytes are too many (at most {limit}): split the file, or raise the limit")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// The most that are read.
        limit: usize,
    },
    /// The source is in an encoding that Kubernetes does not read either.
    #[error("this is {encoding}: save it as plain text in UTF-8")]
    ForeignEncoding {
        /// The encoding.
        encoding: &'static str,
    },
    /// A document is not UTF-8.
    #[error("this byte is not UTF-8: save the file as plain text in UTF-8")]
    NotUtf8,
    /// The parser's complaint about a document.
    #[error("{reason}: correct the YAML or JSON; the file's other documents are read all the same")]
    Malformed {
        /// What the parser says.
        reason: String,
    },
    /// A template engine's source, not its output.
    #[error(
        "this is a template that nobody has filled in ({{{{ ... }}}}): pass what it renders to, as \"helm template . | gpu-capgate check -f -\" does"
    )]
    Unrendered,
    /// Mappings and lists in one another.
    #[error(
        "more than {limit} mappings and lists inside of one another: no Kubernetes object is so deep, correct the indentation or brackets"
    )]
    TooDeep {
        /// The most that are read.
        limit: usize,
    },
    /// A document has more in it than is read.
    #[error("a document with more than {limit} values: split it, or raise the limit")]
    TooManyNodes {
        /// The most that are read.
        limit: usize,
    },
    /// Aliases that stand for more and more.
    #[error("aliases (*name) that stand for more than {limit} values: write them out")]
    Aliases {
        /// The most that are read.
        limit: usize,
    },
    /// A scalar that is longer than the API server would take.
    #[error("a text of {length} bytes (at most {limit}): no Kubernetes object may be so large")]
    ScalarTooLong {
        /// Its bytes.
        length: usize,
        /// The most that are read.
        limit: usize,
    },
    /// The source has more objects than are read.
    #[error(
        "more than {limit} objects: split the file, or raise the limit; those before this one are read"
    )]
    TooManyObjects {
        /// The most that are read.
        limit: usize,
    },
    /// The source has more faults than are told.
    #[error(
        "more than {limit} faults: correct those above first; sound documents are read all the same"
    )]
    TooManyFaults {
        /// The most that are told.
        limit: usize,
    },
    /// A document that is no mapping.
    #[error("this is no Kubernetes object: it must be a mapping with apiVersion and kind")]
    NoObject,
    /// A mapping that does not say what it is.
    #[error("this object does not say what it is: add apiVersion and kind, or leave the file out")]
    NoKind,
}
