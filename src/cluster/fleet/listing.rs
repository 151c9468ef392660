//! Listings of a cluster's objects, as `kubectl get -o yaml` or `-o json` prints them, read into a [`Roster`].
//!
//! Pure: bytes or objects in, a fleet and what went wrong out. An object of a kind that decides nothing is counted and
//! skipped; a broken one is an error with its place, and costs nothing but itself. Memory: the source, the roster, and
//! one object at a time. Opens no file and knows no API server.

mod pieces;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::Resource;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceSlice};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::Fleet;
use super::knowledge::{DeviceClassObject, SliceObject};
use super::object::{NodeObject, UnreadableNode};
use super::pool::{DeclaredPool, UnreadablePool};
use super::roster::{Roster, Settings};
use super::snapshot::{self, Snapshot, UnreadableSnapshot};
use crate::cluster::manifest::{self, Limits, ManifestError, Position, Problem};
use crate::cluster::workload::ObjectKind;
use crate::compat::Catalog;
use pieces::{Form, Piece};

/// Most bytes of one source. 5,000 nodes as `kubectl get nodes -o json` prints them are about 100 MB.
pub const MAX_SOURCE_BYTES: usize = 512 << 20;
/// Most objects of one source.
const MAX_OBJECTS: usize = 200_000;
/// Most faults that are told; sound objects are read all the same.
const MAX_ERRORS: usize = 100;
/// Most names of skipped kinds that a note lists.
const KINDS_SHOWN: usize = 5;

/// Why an object of a listing is not used.
#[derive(Debug, Error)]
pub enum ListingError {
    /// It is no YAML or JSON, or no Kubernetes object.
    #[error(transparent)]
    Manifest(ManifestError),
    /// It is of a kind that decides, and not of its shape.
    #[error("{source_name}:{position}: {kind} {name:?} is not used: {problem}: correct the object, or take it out", kind = kind.kind)]
    Object {
        /// Name of the source.
        source_name: Arc<str>,
        /// Where the object is.
        position: Position,
        /// What it is.
        kind: ObjectKind,
        /// Its name, empty if it has none.
        name: String,
        /// What is wrong with it.
        problem: ObjectProblem,
    },
}

/// What is wrong with an object.
#[derive(Debug, Error)]
pub enum ObjectProblem {
    /// A Node of another shape.
    #[error("{node}{cause}", node = .0, cause = because(.0))]
    Node(#[from] UnreadableNode),
    /// A NodePool of another shape.
    #[error("{pool}{cause}", pool = .0, cause = because(.0))]
    Pool(#[from] UnreadablePool),
    /// A snapshot that is none.
    #[error("{0}")]
    Snapshot(#[from] UnreadableSnapshot),
    /// A field is missing, or holds something else.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
}

fn because(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}"))
}

/// Listings that are being read.
#[derive(Debug)]
pub struct Listing<'a> {
    roster: Roster<'a>,
    errors: Vec<ListingError>,
    names: BTreeSet<String>,
    twice: BTreeSet<String>,
    /// What decides and is no node, cut down, by kind and name.
    others: BTreeMap<(String, String), Value>,
    /// How many objects of each kind were skipped.
    skipped: BTreeMap<String, usize>,
}

impl fmt::Display for ObjectKindName<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKind { group, kind, .. } = self.0;
        match group.as_str() {
            "" => formatter.write_str(kind),
            group => write!(formatter, "{kind}.{group}"),
        }
    }
}

/// A kind as `kubectl` takes it: `NodePool.karpenter.sh`.
struct ObjectKindName<'a>(&'a ObjectKind);

impl<'a> Listing<'a> {
    /// Nothing read yet.
    #[must_use]
    pub fn new(settings: Settings, catalog: &'a Catalog) -> Self {
        Self {
            roster: Roster::new(settings, catalog),
            errors: Vec::new(),
            names: BTreeSet::new(),
            twice: BTreeSet::new(),
            others: BTreeMap::new(),
            skipped: BTreeMap::new(),
        }
    }

    /// Reads a source. `name` is what errors call it.
    pub fn read(&mut self, name: &str, bytes: &[u8]) {
        let name: Arc<str> = name.into();
        if bytes.len() > MAX_SOURCE_BYTES {
            return self.fail(ListingError::Manifest(ManifestError {
                name,
                position: None,
                problem: Problem::TooLong {
                    length: bytes.len(),
                    limit: MAX_SOURCE_BYTES,
                },
            }));
        }
        for (number, piece) in pieces::pieces(bytes).into_iter().enumerate() {
            if number >= MAX_OBJECTS {
                return self.fail(ListingError::Manifest(ManifestError {
                    name,
                    position: Some(piece.start),
                    problem: Problem::TooManyObjects { limit: MAX_OBJECTS },
                }));
            }
            match piece.form {
                Form::Json => self.read_json(&name, &piece),
                Form::Yaml => self.read_yaml(&name, &piece),
            }
        }
    }

    fn read_json(&mut self, name: &Arc<str>, piece: &Piece<'_>) {
        let value: Value = match serde_json::from_slice(&piece.text) {
            Ok(value) => value,
            Err(error) => return self.broken(name, piece.start, malformed(&error)),
        };
        match ObjectKind::of(&value).or_else(|| piece.default.clone()) {
            Some(kind) => self.put_at(name, piece.start, &kind, value),
            None if value.is_object() => self.broken(name, piece.start, Problem::NoKind),
            None => self.broken(name, piece.start, Problem::NoObject),
        }
    }

    fn read_yaml(&mut self, name: &Arc<str>, piece: &Piece<'_>) {
        let limits = Limits {
            bytes: MAX_SOURCE_BYTES,
            ..Limits::default()
        };
        let reading = manifest::read(name, &piece.text, &limits);
        let moved = |position: Position| Position {
            line: position.line + piece.start.line - 1,
            ..position
        };
        for error in reading.errors {
            self.fail(ListingError::Manifest(ManifestError {
                position: error.position.map(moved),
                ..error
            }));
        }
        for document in reading.documents {
            let position = moved(document.position);
            self.put_at(name, position, &document.kind, document.object);
        }
    }

    /// Takes an object that comes from no text. `source` is what errors call the place.
    pub fn put(&mut self, source: &str, kind: &ObjectKind, object: Value) {
        self.put_at(&source.into(), Position::START, kind, object);
    }

    /// Takes a pool that an operator declares, in place of a NodePool of that name.
    pub fn put_declared_pool(&mut self, pool: &DeclaredPool) {
        self.roster.put_declared_pool(pool);
    }

    fn put_at(&mut self, source: &Arc<str>, position: Position, kind: &ObjectKind, object: Value) {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let other = rest::cut_down(kind, &object);
        let taken = match (kind.group.as_str(), kind.kind.as_str()) {
            ("", "Node") => self.put_node(&object),
            ("resource.k8s.io", "ResourceSlice") => self.put_slice(kind, object),
            ("resource.k8s.io", "DeviceClass") => self.put_device_class(object),
            ("node.k8s.io", "RuntimeClass") => read::<RuntimeClass>(object).map(|class| {
                self.roster.put_runtime_class(class);
            }),
            ("karpenter.sh", "NodePool") => self.put_node_pool(&object),
            (snapshot::GROUP, snapshot::KIND) => self.put_snapshot(object),
            _ => {
                let kind = ObjectKindName(kind).to_string();
                *self.skipped.entry(kind).or_default() += 1;
                Ok(())
            }
        };
        if let (Ok(()), Some(other)) = (&taken, other) {
            self.others.insert((kind.kind.clone(), name.clone()), other);
        }
        if let Err(problem) = taken {
            self.fail(ListingError::Object {
                source_name: Arc::clone(source),
                position,
                kind: kind.clone(),
                name,
                problem,
            });
        }
    }

    fn put_node(&mut self, object: &Value) -> Result<(), ObjectProblem> {
        let node = NodeObject::from_json(object)?;
        self.roster.put_node(&node);
        if !self.names.insert(node.name.clone()) {
            self.twice.insert(node.name);
        }
        Ok(())
    }

    fn put_slice(&mut self, kind: &ObjectKind, mut object: Value) -> Result<(), ObjectProblem> {
        if kind.version != "v1" {
            flatten_devices(&mut object);
        }
        if let Some(slice) = SliceObject::read(read::<ResourceSlice>(object)?) {
            self.roster.put_slice(slice);
        }
        Ok(())
    }

    fn put_device_class(&mut self, object: Value) -> Result<(), ObjectProblem> {
        if let Some(class) = DeviceClassObject::read(read::<DeviceClass>(object)?) {
            self.roster.put_device_class(class);
        }
        Ok(())
    }

    fn put_node_pool(&mut self, object: &Value) -> Result<(), ObjectProblem> {
        self.roster.put_node_pool(object)?;
        Ok(())
    }

    fn put_snapshot(&mut self, object: Value) -> Result<(), ObjectProblem> {
        for name in Snapshot::read(object)?.put(&mut self.roster)? {
            if !self.names.insert(name.clone()) {
                self.twice.insert(name);
            }
        }
        Ok(())
    }

    /// How many nodes have been read, those without GPUs included.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.roster.nodes()
    }

    /// The fleet of all that has been read.
    #[must_use]
    pub fn fleet(&mut self) -> Fleet {
        self.roster.fleet()
    }

    /// The RuntimeClasses, DeviceClasses and NodePools, cut down to what decides.
    pub fn others(&self) -> impl Iterator<Item = &Value> {
        self.others.values()
    }

    /// What could not be used. Empty afterwards.
    pub fn take_errors(&mut self) -> Vec<ListingError> {
        std::mem::take(&mut self.errors)
    }

    /// What a reader may want to know of what was read: one line each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let skipped = (!self.skipped.is_empty()).then(|| self.skipped_note());
        let twice = self.twice.first().map(|first| {
            format!(
                "{} node names were read more than once, {first} among them; the last one counts",
                self.twice.len()
            )
        });
        skipped.into_iter().chain(twice).collect()
    }

    fn skipped_note(&self) -> String {
        let shown = self.skipped.iter().take(KINDS_SHOWN);
        let mut names: Vec<String> = shown
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if self.skipped.len() > KINDS_SHOWN {
            names.push(format!("{} other kinds", self.skipped.len() - KINDS_SHOWN));
        }
        let names = names.join(", ");
        match self.skipped.values().sum::<usize>() {
            1 => format!("skipped 1 object that says nothing of nodes: {names}"),
            count => format!("skipped {count} objects that say nothing of nodes: {names}"),
        }
    }

    fn broken(&mut self, name: &Arc<str>, position: Position, problem: Problem) {
        self.fail(ListingError::Manifest(ManifestError {
            name: Arc::clone(name),
            position: Some(position),
            problem,
        }));
    }

    fn fail(&mut self, error: ListingError) {
        let error = match self.errors.len() {
            ..MAX_ERRORS => error,
            MAX_ERRORS => ListingError::Manifest(ManifestError {
                name: error.source_name(),
                position: None,
                problem: Problem::TooManyFaults { limit: MAX_ERRORS },
            }),
            _ => return,
        };
        self.errors.push(error);
    }
}

impl ListingError {
    fn source_name(&self) -> Arc<str> {
        match self {
            Self::Manifest(error) => Arc::clone(&error.name),
            Self::Object { source_name, .. } => Arc::clone(source_name),
        }
    }
}

/// An object of any version of its kind as the version that is known: they differ in nothing that is read.
fn read<T: Resource + DeserializeOwned>(mut object: Value) -> Result<T, ObjectProblem> {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), T::API_VERSION.into());
    }
    Ok(serde_json::from_value(object)?)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::Malformed {
        reason: error.to_string(),
    }
}

/// Devices of resource.k8s.io/v1beta1 have their attributes one level deeper, under `basic`.
fn flatten_devices(slice: &mut Value) {
    let devices = slice.pointer_mut("/spec/devices");
    for device in devices.and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(fields) = device.as_object_mut() else {
            continue;
        };
        if let Some(Value::Object(basic)) = fields.remove("basic") {
            fields.extend(basic);
        }
    }
}

#[cfg(test)]
mod tests;
