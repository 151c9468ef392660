//! Answers that were given a moment ago, to Pods that ask for exactly the same: a controller makes hundreds of them.
//!
//! An answer depends on the demand, the mode, the fleet and the configuration, and on nothing else, so it holds as long
//! as all four are the same. Bounded: a new answer takes the place of whatever stood in its slot. Holds no fleet alive.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use crate::admission::answer::Answer;
use crate::admission::assess::NodeList;
use crate::admission::configuration::Configuration;
use crate::admission::policy::Mode;
use crate::admission::recall::Recall;
use crate::admission::slots::Slots;
use crate::cluster::demand::Demand;
use crate::cluster::fleet::Fleet;

/// How many answers are kept; each takes a few KiB.
const SLOTS: usize = 1024;

/// The answers.
#[derive(Debug)]
pub(super) struct Memo(Slots<Entry>);

/// An answer, and everything that it depends on.
#[derive(Debug)]
struct Entry {
    demand: Demand,
    mode: Mode,
    fleet: Weak<Fleet>,
    nodes: NodeList,
    configuration: Weak<Configuration>,
    said: Said,
}

/// What was said about a Pod, and what its author's declaration overrode.
pub(super) type Said = (Arc<Answer>, Option<String>);

/// What was found under a configuration, whatever the fleet.
#[derive(Debug, Default)]
pub(super) struct Findings {
    of: Weak<Configuration>,
    pub(super) recall: Recall,
}

/// What an answer depends on beside the demand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) mode: Mode,
    pub(super) fleet: &'a Arc<Fleet>,
    pub(super) nodes: NodeList,
    pub(super) configuration: &'a Arc<Configuration>,
}

impl Findings {
    pub(super) fn none_of(configuration: &Arc<Configuration>) -> Self {
        Self {
            of: Arc::downgrade(configuration),
            recall: Recall::default(),
        }
    }

    pub(super) fn are_of(&self, configuration: &Arc<Configuration>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(configuration))
    }
}

impl Default for Memo {
    fn default() -> Self {
        Self(Slots::new(SLOTS))
    }
}

impl Memo {
    /// The answer to a demand: the one that was given before, or else a new one.
    pub(super) fn said(
        &self,
        demand: &Demand,
        surroundings: Surroundings<'_>,
        say: impl FnOnce() -> Said,
    ) -> Said {
        let entry = self.0.find(
            Key(demand),
            |entry| entry.fits(demand, surroundings),
            || Entry {
                demand: demand.clone(),
                mode: surroundings.mode,
                fleet: Arc::downgrade(surroundings.fleet),
                nodes: surroundings.nodes,
                configuration: Arc::downgrade(surroundings.configuration),
                said: say(),
            },
        );
        entry.said.clone()
    }
}

impl Entry {
    /// A weak reference keeps the address from being given to another, so that equal addresses are the same thing.
    fn fits(&self, demand: &Demand, surroundings: Surroundings<'_>) -> bool {
        self.mode == surroundings.mode
            && self.nodes == surroundings.nodes
            && std::ptr::eq(self.fleet.as_ptr(), Arc::as_ptr(surroundings.fleet))
            && std::ptr::eq(
                self.configuration.as_ptr(),
                Arc::as_ptr(surroundings.configuration),
            )
            && self.demand == *demand
    }
}

/// What tells Pods apart most often.
struct Key<'a>(&'a Demand);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self(demand) = self;
        demand.placement.node_name.hash(hasher);
        demand.placement.node_selector.hash(hasher);
        demand.mode.hash(hasher);
        for container in &demand.containers {
            (&container.name, &container.image, &container.gpus).hash(hasher);
            (&container.command, &container.requires).hash(hasher);
        }
    }
}
