//! The webhook's configuration: what the administrator chose, read from one YAML file and checked as a whole.
//!
//! Pure, and strict: a key that is not known, a word that means nothing and an entry that contradicts the knowledge
//! base are errors with their lines, and then the whole file counts for nothing. A file that says nothing is the
//! default. Knows nothing of where the file lies or when it changes; that is `reload`'s business.

mod choice;
mod document;
mod error;
mod exemption;

use std::collections::BTreeSet;

use serde_saphyr::Spanned;

use self::document::Document;
use super::policy::Policy;
use crate::cluster::fleet::{DeclaredPool, GfdTrust};
use crate::cluster::resource::{self, GpuResources};
use crate::cluster::workload::{Kind, Kinds, Queue};
use crate::compat::catalog::GpuLookup;
use crate::compat::{Catalog, RuntimeMode};

pub use choice::{Chooser, ChosenMode};
pub use error::{ConfigurationError, Position};
pub use exemption::{Exemption, Exemptions, Glob, GlobError};

/// Largest configuration that is read, in bytes: as much as a ConfigMap holds.
pub const MAX_CONFIGURATION_BYTES: usize = 1024 * 1024;
/// What is written as the source of what an operator adds.
const SOURCE: &str = "the configuration";
/// Effects that a taint may have; the last never keeps a Pod away.
const EFFECTS: [&str; 3] = ["NoSchedule", "NoExecute", "PreferNoSchedule"];

/// Everything that an administrator chooses, parsed and valid.
#[derive(Debug)]
pub struct Configuration {
    /// How checks end.
    pub policy: Policy,
    /// The names under which GPUs are asked for.
    pub resources: GpuResources,
    /// Whether the labels of GPU Feature Discovery are believed.
    pub trust: GfdTrust,
    /// The kinds of objects that make Pods: the program's own, and behind an operator's.
    pub kinds: Kinds,
    /// API groups of the kinds that an operator added.
    pub added_groups: BTreeSet<String>,
    /// Pools whose nodes may come.
    pub pools: Vec<DeclaredPool>,
    /// What is not checked, and why.
    pub exemptions: Exemptions,
    /// The knowledge base with an overlay over it, if there is one.
    overlaid: Option<Box<Catalog>>,
}

impl Default for Configuration {
    /// What a file that says nothing gives.
    ///
    /// # Panics
    /// Never: the program's own list of kinds can be read, which a test holds.
    fn default() -> Self {
        Self::parse(b"").expect("an empty file is a configuration")
    }
}

impl Configuration {
    /// The default for other resources.
    #[must_use]
    pub fn counting(resources: GpuResources) -> Self {
        Self {
            resources,
            ..Self::default()
        }
    }

    /// The same with another knowledge base.
    #[must_use]
    pub fn with_catalog(self, catalog: Catalog) -> Self {
        Self {
            overlaid: Some(Box::new(catalog)),
            ..self
        }
    }

    /// Reads a configuration file (YAML or JSON).
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its line.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigurationError> {
        let document = document::read(text)?;
        let overlaid = overlaid(&document)?;
        let catalog = overlaid.as_deref().unwrap_or_else(|| Catalog::embedded());
        Ok(Self {
            policy: document.policy(),
            resources: resources(&document.resources)?,
            trust: document.trust(),
            pools: pools(&document.pools, catalog)?,
            exemptions: Exemptions::new(document.exemptions)?,
            added_groups: added_groups(&document.kinds.value),
            kinds: kinds(document.kinds, document.queue_labels)?,
            overlaid,
        })
    }

    /// The knowledge base, with the operator's overlay and aliases if there are any.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        self.overlaid
            .as_deref()
            .unwrap_or_else(|| Catalog::embedded())
    }
}

/// The catalog with the overlay and the aliases over it; none if there is neither.
fn overlaid(document: &Document) -> Result<Option<Box<Catalog>>, ConfigurationError> {
    let overlay = &document.overlay;
    let mut text = overlay.value.clone();
    for (image, target) in &document.aliases {
        for name in [image, &target.value] {
            if !is_name(name) {
                return Err(ConfigurationError::Value {
                    position: Position::of(target.referenced),
                    field: "aliases",
                    value: error::cut(name),
                    expected: "the name of an image, with or without * at its end",
                });
            }
        }
        text.push_str("\n[[alias]]\nimage = \"");
        text.push_str(image);
        text.push_str("\"\nis = \"");
        text.push_str(&target.value);
        text.push('"');
    }
    if text.trim().is_empty() {
        return Ok(None);
    }
    Catalog::with_overlay(text.as_bytes())
        .map(|catalog| Some(Box::new(catalog)))
        .map_err(|source| ConfigurationError::Overlay {
            position: Position::of(overlay.referenced),
            source,
        })
}

/// Whether a text may stand for images: nothing in it could end a TOML string.
fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._/:@*-".contains(&byte);
    !text.is_empty() && text.len() <= 512 && text.bytes().all(letter)
}

fn resources(names: &[Spanned<String>]) -> Result<GpuResources, ConfigurationError> {
    let unusable = names.iter().find(|name| {
        let (_, last) = name.value.split_once('/').unwrap_or_default();
        !resource::is_extended_name(&name.value)
            || last.starts_with("mig-")
            || last.ends_with(".shared")
    });
    if let Some(name) = unusable {
        return Err(ConfigurationError::Value {
            position: Position::of(name.referenced),
            field: "resources",
            value: error::cut(&name.value),
            expected: "DOMAIN/NAME outside kubernetes.io that counts whole GPUs, as nvidia.com/gpu; its .shared form and the MIG resources of its domain come with it",
        });
    }
    if names.is_empty() {
        return Ok(GpuResources::default());
    }
    Ok(GpuResources::named(
        names.iter().map(|name| name.value.as_str()),
    ))
}

fn added_groups(kinds: &[Kind]) -> BTreeSet<String> {
    kinds.iter().map(|kind| kind.group.clone()).collect()
}

fn kinds(
    added: Spanned<Vec<Kind>>,
    queue_labels: Vec<String>,
) -> Result<Kinds, ConfigurationError> {
    let queue = |label| Queue {
        label,
        source: SOURCE.to_owned(),
    };
    let queues = queue_labels.into_iter().map(queue).collect();
    let position = Position::of(added.referenced);
    Kinds::bundled()
        .and_then(|bundled| bundled.with_entries(added.value, queues))
        .map_err(|source| ConfigurationError::Kinds { position, source })
}

fn pools(
    declared: &[Spanned<DeclaredPool>],
    catalog: &Catalog,
) -> Result<Vec<DeclaredPool>, ConfigurationError> {
    let mut names = BTreeSet::new();
    for Spanned {
        value: pool,
        referenced,
        ..
    } in declared
    {
        let fault = fault(pool, catalog);
        let twice = !names.insert(&pool.name);
        let fault = fault.or(twice.then(|| ("name", pool.name.clone(), "a name of its own")));
        if let Some((field, value, expected)) = fault {
            return Err(ConfigurationError::Pool {
                position: Position::of(*referenced),
                pool: error::cut(&pool.name),
                field,
                value: error::cut(&value),
                expected,
            });
        }
    }
    Ok(declared.iter().map(|pool| pool.value.clone()).collect())
}

/// What is wrong with a pool: the field, what stands there, and what may.
fn fault(pool: &DeclaredPool, catalog: &Catalog) -> Option<(&'static str, String, &'static str)> {
    if pool.name.is_empty() {
        return Some(("name", String::new(), "a name"));
    }
    if pool.count == Some(0) {
        let expected = "the number of GPUs of a node, or left out";
        return Some(("count", "0".to_owned(), expected));
    }
    if let Some(taint) = pool.taints.iter().find(|taint| taint.key.is_empty()) {
        return Some(("taints", taint.value.clone(), "a taint with a key"));
    }
    if let Some(taint) = pool
        .taints
        .iter()
        .find(|taint| !EFFECTS.contains(&taint.effect.as_str()))
    {
        let expected = "NoSchedule, NoExecute or PreferNoSchedule";
        return Some(("taints", taint.effect.clone(), expected));
    }
    if let Some(word) = &pool.runtime
        && word.parse::<RuntimeMode>().is_err()
    {
        return Some(("runtime", word.clone(), "legacy or cdi, or left out"));
    }
    let gpu = pool.gpu.as_deref()?;
    match catalog.find_gpu(gpu) {
        GpuLookup::Found(_) => None,
        GpuLookup::Ambiguous(_) => Some((
            "gpu",
            gpu.to_owned(),
            "one product: name it as \"gpu-capgate catalog gpu\" does",
        )),
        GpuLookup::Unknown(_) => Some((
            "gpu",
            gpu.to_owned(),
            "a GPU that \"gpu-capgate catalog gpu\" or the overlay lists; leave it out if it is open",
        )),
    }
}

#[cfg(test)]
mod tests;
