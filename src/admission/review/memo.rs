//! Answers that were given a moment ago, to Pods that ask for exactly the same: a controller makes hundreds of them.
//!
//! An answer depends on the demand, the mode, the fleet and the configuration, and on nothing else, so it holds as long
//! as all four are the same. Bounded: a new answer takes the place of whatever stood in its slot. Holds no fleet alive.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::admission::answer::Answer;
use crate::admission::assess::NodeList;
use crate::admission::configuration::Configuration;
use crate::admission::policy::Mode;
use crate::admission::recall::Recall;
use crate::cluster::demand::Demand;
use crate::cluster::fleet::Fleet;

/// How many answers are kept; each takes a few KiB.
const SLOTS: usize = 1024;

/// The answers.
#[derive(Debug)]
pub(super) struct Memo {
    slots: Box<[Mutex<Option<Entry>>]>,
}

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
        Self {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
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
        let Some(slot) = self.slots.get(place(demand)) else {
            return say();
        };
        // An entry is put in whole, so that a panic elsewhere leaves none half done.
        let known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known
            .as_ref()
            .filter(|entry| entry.fits(demand, surroundings))
        {
            return entry.said.clone();
        }
        drop(known);
        let said = say();
        let entry = Entry {
            demand: demand.clone(),
            mode: surroundings.mode,
            fleet: Arc::downgrade(surroundings.fleet),
            nodes: surroundings.nodes,
            configuration: Arc::downgrade(surroundings.configuration),
            said: said.clone(),
        };
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        said
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

/// The slot of a demand: by what tells Pods apart most often.
fn place(demand: &Demand) -> usize {
    let mut hasher = DefaultHasher::new();
    demand.placement.node_name.hash(&mut hasher);
    demand.placement.node_selector.hash(&mut hasher);
    demand.mode.hash(&mut hasher);
    for container in &demand.containers {
        (&container.name, &container.image, &container.gpus).hash(&mut hasher);
        (&container.command, &container.requires).hash(&mut hasher);
    }
    usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or_default()
}
