//! What a node offers: how much of each resource, and what is there without being a resource yet.
//!
//! Pure. Source of the arithmetic: pkg/scheduler/framework/plugins/noderesources (`fitsRequest`), and
//! dynamicresources for resources that a DeviceClass serves.

use super::knowledge::{DeviceClassObject, Listed, Picks};
use super::object::Amount;
use crate::cluster::resource::ResourceKind;

/// What a node offers. Nodes that offer the same share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::cluster) struct Offer {
    /// Extended resources, sorted by name.
    pub(super) amounts: Box<[(Box<str>, Amount)]>,
    /// GPUs that an inventory or a label lists.
    pub(super) listed: Listed,
    /// Whole GPUs in its ResourceSlices.
    pub(super) sliced_gpus: u64,
    /// MIG devices in its ResourceSlices.
    pub(super) sliced_migs: u64,
    /// Whether any GPU is offered as a resource.
    pub(super) registered: Registered,
}

/// Whether a device plugin has registered GPUs on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(in crate::cluster) enum Registered {
    /// It has not, or has none.
    #[default]
    No,
    /// It has.
    Yes,
}

/// A resource that a Pod needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct Need<'a> {
    pub(in crate::cluster) resource: &'a str,
    pub(in crate::cluster) amount: u64,
    /// What it counts, if it is a GPU.
    pub(in crate::cluster) kind: Option<ResourceKind>,
    /// What the DeviceClasses that serve it pick.
    pub(in crate::cluster) picks: Vec<Picks>,
}

impl<'a> Need<'a> {
    pub(in crate::cluster) fn new(
        resource: &'a str,
        amount: u64,
        kind: Option<ResourceKind>,
        classes: &[DeviceClassObject],
    ) -> Self {
        let serving = classes.iter().filter(|class| class.is_for(resource));
        Self {
            resource,
            amount,
            kind,
            picks: serving.map(|class| class.picks).collect(),
        }
    }
}

impl Offer {
    /// Whether the scheduler would find enough of a resource, were all of it free.
    pub(in crate::cluster) fn has_now(&self, need: &Need<'_>) -> bool {
        match self.amount(need.resource).allocatable {
            0 => self.is_sliced(need),
            allocatable => allocatable >= need.amount,
        }
    }

    /// Whether there may ever be enough of a resource, by all that is known.
    pub(in crate::cluster) fn may_have(&self, need: &Need<'_>) -> bool {
        let Amount {
            capacity,
            allocatable,
        } = self.amount(need.resource);
        capacity.max(allocatable) >= need.amount || self.is_sliced(need) || self.lists(need)
    }

    /// Whether devices of its ResourceSlices could serve.
    pub(in crate::cluster) const fn has_devices(&self) -> bool {
        self.sliced_gpus + self.sliced_migs > 0
    }

    fn amount(&self, resource: &str) -> Amount {
        let found = self.amounts.iter().find(|(name, _)| **name == *resource);
        found.map(|(_, amount)| *amount).unwrap_or_default()
    }

    fn is_sliced(&self, need: &Need<'_>) -> bool {
        need.picks.iter().any(|picks| {
            let devices = match picks {
                Picks::Gpus => self.sliced_gpus,
                Picks::Migs => self.sliced_migs,
                Picks::Some => self.sliced_gpus + self.sliced_migs,
            };
            devices >= need.amount
        })
    }

    /// Whether an inventory lists what is not a resource yet. Profiles of MIG are not listed anywhere; shares are,
    /// until GPUs are registered under whichever name.
    fn lists(&self, need: &Need<'_>) -> bool {
        match (&need.kind, self.listed) {
            (None | Some(ResourceKind::Mig(_)), _) | (_, Listed::Nothing) => false,
            (Some(ResourceKind::Whole), Listed::Count(count)) => count >= need.amount,
            (Some(ResourceKind::Whole | ResourceKind::Shared), Listed::Uncounted)
            | (Some(ResourceKind::Shared), Listed::Count(_)) => self.registered == Registered::No,
        }
    }
}
