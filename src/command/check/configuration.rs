//! The configuration by which objects are judged: that of `--config`, read as the webhook reads it, or else what the
//! other flags say.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::admission::configuration::{self, Configuration};
use crate::admission::policy::{Autoscaler, Policy, Reaction};
use crate::cli::CheckArguments;
use crate::cluster::manifest::{self, Document, Limits};
use crate::cluster::resource::GpuResources;
use crate::command::files::{FileError, Files};
use crate::command::overlay;
use crate::compat::Catalog;
use crate::compat::catalog::OverlayError;

/// Where the chart's ConfigMap holds the configuration.
const KEY: &str = "config.yaml";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file of `--config`.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds nothing at all, which is more likely a mistake than a wish.
    #[error("--config {name}: nothing in it: leave --config out to judge by the defaults")]
    Empty {
        /// The file.
        name: String,
    },
    /// It holds Kubernetes objects, and no configuration.
    #[error(
        "--config {name}: no ConfigMap with {KEY} among its objects: pass the webhook's configuration file, or its ConfigMap, as \"kubectl --namespace gpu-capgate get configmap gpu-capgate-webhook -o yaml\" prints it"
    )]
    NoConfigMap {
        /// The file.
        name: String,
    },
    /// It holds several.
    #[error("--config {name}: {KEY} is in several ConfigMaps ({}): pass one of them", .found.join(", "))]
    Several {
        /// The file.
        name: String,
        /// What these are called.
        found: Vec<String>,
    },
    /// The configuration cannot be used. Its problem begins with line and column.
    #[error("--config {place}:{problem}")]
    Unusable {
        /// The file, or which text of it.
        place: String,
        /// What is wrong with it.
        problem: Box<configuration::ConfigurationError>,
    },
    /// The overlay cannot be read.
    #[error("--overlay {path}: cannot be read", path = path.display())]
    ReadOverlay {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The overlay is not what it should be.
    #[error("--overlay {path}", path = path.display())]
    Overlay {
        /// The file.
        path: PathBuf,
        /// Line, key, and what was expected.
        #[source]
        source: OverlayError,
    },
}

/// The configuration that the arguments choose.
pub(super) fn chosen(arguments: &CheckArguments) -> Result<Configuration, ConfigurationError> {
    match &arguments.config {
        Some(path) => read(path),
        None => of_flags(arguments),
    }
}

fn of_flags(arguments: &CheckArguments) -> Result<Configuration, ConfigurationError> {
    let resources = arguments.source.resource.iter().map(String::as_str);
    let mut configuration = Configuration::counting(GpuResources::named(resources));
    configuration.policy = policy(arguments);
    Ok(match &arguments.overlay {
        Some(path) => configuration.with_catalog(overlaid(path)?),
        None => configuration,
    })
}

fn policy(arguments: &CheckArguments) -> Policy {
    let strictly = if arguments.strict {
        Reaction::Deny
    } else {
        Reaction::Warn
    };
    Policy {
        partial_fit: strictly,
        cpu_build: strictly,
        autoscaler: if arguments.source.autoscaled {
            Autoscaler::Undeclared
        } else {
            Autoscaler::Settled
        },
        ..Policy::default()
    }
}

fn overlaid(path: &Path) -> Result<Catalog, ConfigurationError> {
    let document = overlay::read(path).map_err(|source| ConfigurationError::ReadOverlay {
        path: path.to_owned(),
        source,
    })?;
    Catalog::with_overlay(&document).map_err(|source| ConfigurationError::Overlay {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Configuration, ConfigurationError> {
    let limits = Limits::default();
    let files = Files {
        option: "--config",
        paths: &[],
        limit: limits.bytes,
        remedy: "pass the webhook's configuration file, or its ConfigMap",
    };
    let (name, bytes) = files.one(path)?;
    if bytes.trim_ascii().is_empty() {
        return Err(ConfigurationError::Empty { name });
    }
    let objects = manifest::read(&name, &bytes, &limits).documents;
    if objects.is_empty() {
        return parsed(name, &bytes);
    }
    let (place, text) = of_objects(name, &objects)?;
    parsed(place, text.as_bytes())
}

fn parsed(place: String, text: &[u8]) -> Result<Configuration, ConfigurationError> {
    Configuration::parse(text).map_err(|problem| ConfigurationError::Unusable {
        place,
        problem: Box::new(problem),
    })
}

/// The text of the only ConfigMap that holds a configuration, and what errors call it.
fn of_objects(name: String, objects: &[Document]) -> Result<(String, &str), ConfigurationError> {
    let found: Vec<(String, &str)> = objects.iter().filter_map(text).collect();
    match found.as_slice() {
        [] => Err(ConfigurationError::NoConfigMap { name }),
        [(map, text)] => Ok((format!("{name}: ConfigMap {map}: {KEY}"), text)),
        several => Err(ConfigurationError::Several {
            name,
            found: several.iter().map(|(map, _)| map.clone()).collect(),
        }),
    }
}

fn text(document: &Document) -> Option<(String, &str)> {
    let is_map = document.kind.group.is_empty() && document.kind.kind == "ConfigMap";
    let data = document.object.get("data").filter(|_| is_map)?;
    let text = data.get(KEY).and_then(Value::as_str)?;
    let name = document.name.as_deref().unwrap_or("(no name)");
    let map = match &document.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    Some((map, text))
}
