//! Where objects may land: nodes of a file or of a cluster, or GPUs that a person named; and what becomes of decisions.

use super::WorkloadsError;
use crate::admission::policy::{Autoscaler, Policy, Reaction};
use crate::cli::CheckArguments;
use crate::cluster::fleet::{Fleet, Roster, Settings};
use crate::command::check::hosts;
use crate::command::source;
use crate::image::evidence::Knowledge;

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

pub(super) fn policy(arguments: &CheckArguments) -> Policy {
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

pub(super) fn ground(
    arguments: &CheckArguments,
    knowledge: Knowledge<'_>,
) -> Result<Ground, WorkloadsError> {
    if arguments.source.is_given() || arguments.all {
        let loaded = source::fleet(&arguments.source, knowledge.catalog)?;
        return Ok(Ground {
            fleet: loaded.fleet,
            selectors: Selectors::Count,
            notes: loaded.notes,
            errors: loaded.errors.iter().map(ToString::to_string).collect(),
        });
    }
    let hosts = hosts::hosts(arguments, knowledge.catalog)?;
    let mut roster = Roster::new(Settings::default(), knowledge.catalog);
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
