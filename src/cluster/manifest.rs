//! Manifests: bytes of YAML or JSON in, Kubernetes objects out, each with the places that a person would look at.
//!
//! Any stream that `kubectl` takes: several documents, lists, the output of helm and kustomize, concatenated JSON. A
//! broken document is one error, and the others are still read. Pure: opens no file, and judges no object.

mod problem;
mod read;
mod split;

use std::sync::Arc;

use serde_json::Value;

pub use problem::{ManifestError, Problem};

use super::workload::{FieldPath, ObjectKind};
use read::{Content, Places};
use split::Chunk;

/// Most mappings and lists in one another. Reading is recursive, so this protects the stack; schemas of custom resources,
/// the deepest objects that there are, stay below half of it.
pub const MAX_DEPTH: usize = 64;

/// Most faults of one source that are told; its sound documents are read all the same.
const MAX_ERRORS: usize = 100;

/// What is at most read of one source. A source beyond them is refused with a clear error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the source.
    pub bytes: usize,
    /// Objects, those of lists counted one by one.
    pub objects: usize,
    /// Mappings, lists and scalars of one document.
    pub nodes: usize,
    /// Nodes that aliases of one document stand for.
    pub alias_nodes: usize,
    /// Bytes of one scalar.
    pub scalar_bytes: usize,
}

impl Default for Limits {
    /// Far above any manifest that the API server would take (1.5 MiB an object), and small enough for any machine.
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            objects: 50_000,
            nodes: 4_000_000,
            alias_nodes: 100_000,
            scalar_bytes: 2 << 20,
        }
    }
}

/// A line and a column of a source, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl Position {
    /// Where a source begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// What a source holds: what could be read of it, and what could not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Its objects, in its order.
    pub documents: Vec<Document>,
    /// Its faults, in its order.
    pub errors: Vec<ManifestError>,
}

/// One object of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Name of the source, as the caller gave it.
    pub source: Arc<str>,
    /// Its number among the source's objects, from 0.
    pub index: usize,
    /// Where it begins: its `kind`.
    pub position: Position,
    /// What it is.
    pub kind: ObjectKind,
    /// Its namespace, if it says one.
    pub namespace: Option<String>,
    /// Its name, or else the beginning that `generateName` gives.
    pub name: Option<String>,
    /// The object.
    pub object: Value,
    images: Places,
}

impl Document {
    /// Where the image at a path is written; of another field, the image of the container that it belongs to; else where
    /// the document begins.
    #[must_use]
    pub fn position_of(&self, field: &FieldPath) -> Position {
        let itself = self.images.iter().find(|(path, _)| path == field);
        let beside = || {
            let around = |(path, _): &&(FieldPath, Position)| {
                let container = path.parent();
                container.is_some_and(|container| field.within(&container).is_some())
            };
            let images = self.images.iter().filter(around);
            images.max_by_key(|(path, _)| path.steps().len())
        };
        let found = itself.or_else(beside);
        found.map_or(self.position, |(_, position)| *position)
    }
}

/// Reads a source. `name` is what errors call it.
#[must_use]
pub fn read(name: &str, bytes: &[u8], limits: &Limits) -> Reading {
    let mut reader = Reader {
        source: name.into(),
        limits,
        reading: Reading::default(),
    };
    if bytes.len() > limits.bytes {
        let problem = Problem::TooLong {
            length: bytes.len(),
            limit: limits.bytes,
        };
        reader.fail(None, problem);
    } else if let Some(encoding) = split::foreign_encoding(bytes) {
        reader.fail(Some(Position::START), Problem::ForeignEncoding { encoding });
    } else {
        for chunk in split::chunks(bytes) {
            reader.chunk(&chunk);
        }
    }
    reader.reading
}

struct Reader<'a> {
    source: Arc<str>,
    limits: &'a Limits,
    reading: Reading,
}

impl Reader<'_> {
    fn chunk(&mut self, chunk: &Chunk<'_>) {
        match read::content(chunk, self.limits) {
            Ok(None) => {}
            Ok(Some(content)) => self.object(content, None),
            Err((position, problem)) => self.fail(Some(position), problem),
        }
    }

    /// Takes an object, or those of a list; `default` is what items of a typed list are if they do not say.
    fn object(&mut self, content: Content, default: Option<&ObjectKind>) {
        let position = content.position();
        let Some(kind) = ObjectKind::of(&content.value).or_else(|| default.cloned()) else {
            let problem = if content.value.is_object() {
                Problem::NoKind
            } else {
                Problem::NoObject
            };
            return self.fail(Some(position), problem);
        };
        match items_of(&kind, content) {
            Ok((item, items)) => items
                .into_iter()
                .for_each(|content| self.object(content, item.as_ref())),
            Err(content) if self.reading.documents.len() >= self.limits.objects => {
                let limit = self.limits.objects;
                self.fail_once(content.position(), Problem::TooManyObjects { limit });
            }
            Err(content) => self.keep(kind, position, content),
        }
    }

    fn keep(&mut self, kind: ObjectKind, position: Position, content: Content) {
        let metadata = content.value.get("metadata");
        let text =
            |key| Some(metadata?.get(key)?.as_str()?.to_owned()).filter(|text| !text.is_empty());
        self.reading.documents.push(Document {
            source: Arc::clone(&self.source),
            index: self.reading.documents.len(),
            position,
            kind,
            namespace: text("namespace"),
            name: text("name").or_else(|| text("generateName")),
            images: content.images,
            object: content.value,
        });
    }

    fn fail(&mut self, position: Option<Position>, problem: Problem) {
        let errors = &mut self.reading.errors;
        let problem = match errors.len() {
            ..MAX_ERRORS => problem,
            MAX_ERRORS => Problem::TooManyFaults { limit: MAX_ERRORS },
            _ => return,
        };
        errors.push(ManifestError {
            name: Arc::clone(&self.source),
            position,
            problem,
        });
    }

    /// A fault that each further object would have: told at the first.
    fn fail_once(&mut self, position: Position, problem: Problem) {
        if !self
            .reading
            .errors
            .iter()
            .any(|error| error.problem == problem)
        {
            self.fail(Some(position), problem);
        }
    }
}

/// The objects of a list and what they are unless they say otherwise; the object itself if it is no list.
fn items_of(
    kind: &ObjectKind,
    content: Content,
) -> Result<(Option<ObjectKind>, Vec<Content>), Content> {
    let Some(item) = kind.kind.strip_suffix("List") else {
        return Err(content);
    };
    if !content.value.get("items").is_some_and(Value::is_array) {
        return Err(content);
    }
    let item = (!item.is_empty()).then(|| ObjectKind {
        kind: item.to_owned(),
        ..kind.clone()
    });
    Ok((item, content.into_items()))
}

#[cfg(test)]
mod tests;
