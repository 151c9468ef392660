//! Where objects may land: nodes of a file or of a cluster, or GPUs that a person named.

use super::WorkloadsError;
use crate::admission::configuration::Configuration;
use crate::cli::CheckArguments;
use crate::cluster::fleet::{Fleet, Roster, Settings};
use crate::command::check::hosts;
use crate::command::source::{self, Terms};

/// Where objects may land, and how they are placed there.
pub(super) struct Ground {
    pub(super) fleet: Fleet,
    pub(super) selectors: Selectors,
    pub(super) notes: Vec<String>,
    pub(super) errors: Vec<String>,
}

/// Whether an object's own placement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selectors {
    /// On nodes, it does.
    Count,
    /// On GPUs that a person named, it does not.
    Ignored,
}

pub(super) fn ground(
    arguments: &CheckArguments,
    configuration: &Configuration,
) -> Result<Ground, WorkloadsError> {
    let catalog = configuration.catalog();
    let settings = Settings {
        resources: configuration.resources.clone(),
        trust: configuration.trust,
    };
    if arguments.source.is_given() || arguments.all {
        let terms = Terms {
            settings,
            pools: &configuration.pools,
            catalog,
        };
        let loaded = source::fleet_by(&arguments.source, terms)?;
        return Ok(Ground {
            fleet: loaded.fleet,
            selectors: Selectors::Count,
            notes: loaded.notes,
            errors: loaded.errors.iter().map(ToString::to_string).collect(),
        });
    }
    let hosts = hosts::hosts(arguments, catalog)?;
    let mut roster = Roster::new(settings, catalog);
    for (number, asked) in hosts.into_iter().enumerate() {
        let name = asked.host.product.as_deref().unwrap_or("GPU");
        roster.put_host(&format!("{number} {name}"), asked.host.clone());
    }
    Ok(Ground {
        fleet: roster.fleet(),
        selectors: Selectors::Ignored,
        notes: Vec::new(),
        errors: Vec::new(),
    })
}
