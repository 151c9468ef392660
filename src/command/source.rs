//! Where nodes come from: files, or a live cluster (`cluster`, by way of `live`, which alone holds a client).
//!
//! Both end in a [`Listing`], so that the same objects give the same fleet. Decides nothing.

mod cluster;
mod live;
mod namespaces;
mod workloads;

use std::path::PathBuf;

use super::files::{self, FileError, Files};
use crate::cli::SourceArguments;
use crate::cluster::fleet::{
    DeclaredPool, Fleet, Listing, ListingError, MAX_SOURCE_BYTES, Settings,
};
use crate::cluster::resource::GpuResources;
use crate::cluster::workload::Kinds;
use crate::compat::Catalog;

pub use live::ClusterError;
pub use namespaces::Namespaces;
pub use workloads::Workloads;

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// The GPU nodes and the pools.
    pub fleet: Fleet,
    /// How many nodes there were, those without GPUs included.
    pub nodes: usize,
    /// What a person may want to know, one line each.
    pub notes: Vec<String>,
    /// Objects that could not be used. All others are in the fleet.
    pub errors: Vec<ListingError>,
}

/// Why there are no nodes.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The cluster cannot be read.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Nothing that was read is a node.
    #[error(
        "--nodes {}: no Node in it{}: make the file with \"kubectl get nodes -o yaml\" or with \"gpu-capgate snapshot\"{}",
        places(.paths), if .errors.is_empty() { "" } else { " that can be used" }, broken(.errors)
    )]
    NoNodes {
        /// What was read.
        paths: Vec<PathBuf>,
        /// What of it could not be used.
        errors: Vec<ListingError>,
    },
}

fn places(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}

fn broken(errors: &[ListingError]) -> String {
    let lines: Vec<String> = errors.iter().map(|error| format!("\n  {error}")).collect();
    lines.concat()
}

/// How nodes are read.
#[derive(Debug, Clone)]
pub(super) struct Terms<'a> {
    /// Resource names, and whose labels are believed.
    pub(super) settings: Settings,
    /// Pools whose nodes may come.
    pub(super) pools: &'a [DeclaredPool],
    /// The knowledge base.
    pub(super) catalog: &'a Catalog,
}

impl<'a> Terms<'a> {
    /// What the arguments alone say.
    fn of(arguments: &SourceArguments, catalog: &'a Catalog) -> Self {
        Self {
            settings: Settings {
                resources: GpuResources::named(arguments.resource.iter().map(String::as_str)),
                ..Settings::default()
            },
            pools: &[],
            catalog,
        }
    }
}

/// The fleet that the arguments name: that of files, else that of a cluster.
///
/// # Errors
/// See [`SourceError`]. An object that cannot be used is none: it is in [`Loaded::errors`].
pub fn fleet(arguments: &SourceArguments, catalog: &Catalog) -> Result<Loaded, SourceError> {
    fleet_by(arguments, Terms::of(arguments, catalog))
}

/// The same on other terms than those of the arguments.
pub(super) fn fleet_by(
    arguments: &SourceArguments,
    terms: Terms<'_>,
) -> Result<Loaded, SourceError> {
    let resources = terms.settings.resources.clone();
    let pools = terms.pools;
    let (mut listing, mut notes) = read(arguments, terms)?;
    for pool in pools {
        listing.put_declared_pool(pool);
    }
    let fleet = listing.fleet();
    notes.extend(listing.notes());
    if fleet.nodes() == 0 && !fleet.has_pools() {
        notes.push(format!(
            "{} nodes, and none of them has GPUs by the name of {}",
            listing.nodes(),
            resources.names().collect::<Vec<_>>().join(" or ")
        ));
    }
    Ok(Loaded {
        nodes: listing.nodes(),
        errors: listing.take_errors(),
        fleet,
        notes,
    })
}

/// What makes Pods in the cluster that `--context` and `--kubeconfig` name, else in that of the current context.
///
/// # Errors
/// The cluster cannot be read.
pub fn workloads(arguments: &SourceArguments, kinds: &Kinds) -> Result<Workloads, SourceError> {
    Ok(workloads::read(arguments, kinds)?)
}

/// The Namespaces of that cluster, and the one that its context chooses.
///
/// # Errors
/// The cluster cannot be read. Namespaces that may not be listed are none, but a note.
pub fn namespaces(arguments: &SourceArguments) -> Result<Namespaces, SourceError> {
    Ok(namespaces::read(arguments)?)
}

/// The objects that the arguments name, and notes on what could not be read.
pub(super) fn listing<'a>(
    arguments: &SourceArguments,
    catalog: &'a Catalog,
) -> Result<(Listing<'a>, Vec<String>), SourceError> {
    read(arguments, Terms::of(arguments, catalog))
}

fn read<'a>(
    arguments: &SourceArguments,
    terms: Terms<'a>,
) -> Result<(Listing<'a>, Vec<String>), SourceError> {
    let mut listing = Listing::new(terms.settings, terms.catalog);
    if arguments.nodes.is_empty() {
        let notes = cluster::read(arguments, &mut listing)?;
        return Ok((listing, notes));
    }
    files::once(&[("--nodes", &arguments.nodes)])?;
    let files = Files {
        option: "--nodes",
        paths: &arguments.nodes,
        limit: MAX_SOURCE_BYTES,
        remedy: "split it, or pass what \"gpu-capgate snapshot\" makes of it",
    };
    files.each(|name, bytes| listing.read(name, &bytes))?;
    if listing.nodes() == 0 && !listing.fleet().has_pools() {
        return Err(SourceError::NoNodes {
            paths: arguments.nodes.clone(),
            errors: listing.take_errors(),
        });
    }
    Ok((listing, Vec::new()))
}
