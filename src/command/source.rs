//! Where nodes come from: files (`files`), or a live cluster.
//!
//! Both end in a [`Listing`], so that the same objects give the same fleet. Decides nothing.

mod files;

use std::path::PathBuf;

use crate::cli::SourceArguments;
use crate::cluster::fleet::{Fleet, Listing, ListingError, Settings};
use crate::cluster::resource::GpuResources;
use crate::compat::Catalog;

pub use files::FileError;

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
    /// Nothing that was read is a node.
    #[error(
        "--nodes {}: no Node in it{}: make the file with \"kubectl get nodes -o yaml\" or with \"gpu-capgate snapshot\"",
        places(.paths), broken(.errors)
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
    if lines.is_empty() {
        String::new()
    } else {
        format!(" that can be used:{}\n", lines.concat())
    }
}

/// The fleet that the arguments name: that of files, else that of a cluster.
///
/// # Errors
/// See [`SourceError`]. An object that cannot be used is none: it is in [`Loaded::errors`].
pub fn fleet(arguments: &SourceArguments, catalog: &Catalog) -> Result<Loaded, SourceError> {
    let mut listing = listing(arguments, catalog)?;
    let fleet = listing.fleet();
    let mut notes = listing.notes();
    if fleet.nodes() == 0 && !fleet.has_pools() {
        notes.push(format!(
            "{} nodes, and none of them has GPUs by the name of {}",
            listing.nodes(),
            arguments.resource.join(" or ")
        ));
    }
    Ok(Loaded {
        nodes: listing.nodes(),
        errors: listing.take_errors(),
        fleet,
        notes,
    })
}

/// The objects that the arguments name.
pub(super) fn listing<'a>(
    arguments: &SourceArguments,
    catalog: &'a Catalog,
) -> Result<Listing<'a>, SourceError> {
    let settings = Settings {
        resources: GpuResources::named(arguments.resource.iter().map(String::as_str)),
        ..Settings::default()
    };
    let mut listing = Listing::new(settings, catalog);
    files::read(&arguments.nodes, &mut listing)?;
    if listing.nodes() == 0 && !listing.fleet().has_pools() {
        return Err(SourceError::NoNodes {
            paths: arguments.nodes.clone(),
            errors: listing.take_errors(),
        });
    }
    Ok(listing)
}
