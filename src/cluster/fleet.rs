//! The cluster's GPU nodes at one moment, as far as placing Pods goes: compact, immutable, and indexed.
//!
//! Pure. Nodes stand in the order of what is judged: first by class (what is known of their GPUs), then by what they
//! offer and whom they keep away. A question about labels gives a set of positions, and all the rest is asked once for
//! each run of equal nodes, so that cost hardly grows with their number.

mod bits;
mod build;
mod index;
mod knowledge;
mod listing;
mod object;
mod offer;
mod pool;
mod roster;
mod snapshot;
mod table;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::placement::{OperatingSystem, Operator, Requirement, Term, Toleration};
use super::pod_hints;
use super::resource::GpuResources;
use super::selector;
use super::taint::Taint;
pub use knowledge::{
    DeviceClassObject, Doubt, GfdTrust, Group, Knowledge, Origin, Serves, SliceObject,
};
pub use listing::{Listing, ListingError, MAX_SOURCE_BYTES, ObjectProblem};
pub use object::{Amount, NodeObject, UnreadableNode};
pub use pool::{DeclaredPool, DeclaredTaint, Pool, UnreadablePool};
pub use roster::{Change, Roster, Settings};
pub use snapshot::{Names, Snapshot, UnreadableSnapshot};

pub(in crate::cluster) use bits::Bits;
pub(in crate::cluster) use offer::{Need, Offer};

use index::LabelIndex;

/// The nodes at one moment.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    index: LabelIndex,
    /// By position.
    names: Vec<Arc<str>>,
    /// Positions in the order of the names.
    by_name: Vec<u32>,
    cells: Vec<Cell>,
    classes: Vec<Knowledge>,
    /// By class.
    origins: Vec<BTreeSet<Origin>>,
    offers: Vec<Offer>,
    taints: Vec<Box<[Taint]>>,
    pools: Vec<FleetPool>,
    device_classes: Vec<DeviceClassObject>,
    runtime_classes: BTreeMap<String, RuntimeRules>,
    resources: GpuResources,
}

/// Nodes of which the same is known, by number. Numbers hold for one fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u32);

/// A run of nodes that differ in name and labels only.
#[derive(Debug, Clone, Copy)]
pub(in crate::cluster) struct Cell {
    pub(in crate::cluster) start: u32,
    pub(in crate::cluster) end: u32,
    pub(in crate::cluster) class: ClassId,
    pub(in crate::cluster) offer: u32,
    pub(in crate::cluster) taints: u32,
    pub(in crate::cluster) os: OperatingSystem,
}

impl Cell {
    /// Everything but where it stands.
    fn kind(&self) -> (ClassId, u32, u32, OperatingSystem) {
        (self.class, self.offer, self.taints, self.os)
    }
}

/// A pool, and one of the classes that its nodes may be of.
#[derive(Debug, Clone)]
pub(in crate::cluster) struct FleetPool {
    pub(in crate::cluster) pool: Pool,
    pub(in crate::cluster) class: ClassId,
}

/// What a RuntimeClass adds to a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cluster) struct RuntimeRules {
    pub(in crate::cluster) node_selector: BTreeMap<String, String>,
    pub(in crate::cluster) tolerations: Vec<Toleration>,
}

impl Fleet {
    /// How many nodes have GPUs.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.names.len()
    }

    /// Whether any pool may bring nodes that are not there yet.
    #[must_use]
    pub fn has_pools(&self) -> bool {
        !self.pools.is_empty()
    }

    /// A RuntimeClass by which containers get GPUs, if there is one.
    #[must_use]
    pub fn gpu_runtime_class(&self) -> Option<&str> {
        let mut names = self.runtime_classes.keys().map(String::as_str);
        names.find(|name| pod_hints::is_gpu_runtime_class(name))
    }

    /// The names under which GPUs are asked for.
    #[must_use]
    pub const fn resources(&self) -> &GpuResources {
        &self.resources
    }

    /// What is known of a class; of one from another fleet, nothing.
    #[must_use]
    pub fn class(&self, id: ClassId) -> &Knowledge {
        const NOTHING: &Knowledge = &Knowledge::Unknown(Doubt::Unlabelled);
        self.classes.get(id.0 as usize).unwrap_or(NOTHING)
    }

    /// All classes, with how many nodes are of each.
    pub fn classes(&self) -> impl Iterator<Item = (ClassId, &Knowledge, usize)> {
        let nodes = |id: ClassId| -> usize {
            let same = self.cells.iter().filter(move |cell| cell.class == id);
            same.map(|cell| (cell.end - cell.start) as usize).sum()
        };
        (0..)
            .zip(&self.classes)
            .map(move |(number, knowledge)| (ClassId(number), knowledge, nodes(ClassId(number))))
    }

    /// The names of a class's nodes.
    pub fn names(&self, id: ClassId) -> impl Iterator<Item = &str> {
        let cells = self.cells.iter().filter(move |cell| cell.class == id);
        cells
            .filter_map(|cell| self.names.get(cell.start as usize..cell.end as usize))
            .flatten()
            .map(AsRef::as_ref)
    }

    /// Bytes that the fleet takes, near enough: index, names and labels. Watches add their records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let names = self.names.capacity() * size_of::<Arc<str>>();
        let order = self.by_name.capacity() * size_of::<u32>();
        self.index.bytes() + self.index.table().bytes() + names + order
    }

    pub(in crate::cluster) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub(in crate::cluster) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    pub(in crate::cluster) fn taints(&self) -> &[Box<[Taint]>] {
        &self.taints
    }

    pub(in crate::cluster) fn pools(&self) -> &[FleetPool] {
        &self.pools
    }

    pub(in crate::cluster) fn device_classes(&self) -> &[DeviceClassObject] {
        &self.device_classes
    }

    pub(in crate::cluster) fn runtime_rules(&self, name: &str) -> Option<&RuntimeRules> {
        self.runtime_classes.get(name)
    }

    /// All positions.
    pub(in crate::cluster) fn everywhere(&self) -> Bits {
        self.index.all()
    }

    /// Keeps the nodes that carry exactly that label.
    pub(in crate::cluster) fn keep_labelled(&self, set: &mut Bits, key: &str, value: &str) {
        self.index.keep(set, key, value);
    }

    /// Keeps the node of that name.
    pub(in crate::cluster) fn keep_named(&self, set: &mut Bits, name: &str) {
        let kept = self
            .position(name)
            .filter(|position| set.contains(*position));
        *set = Bits::none(self.nodes());
        if let Some(position) = kept {
            set.insert(position);
        }
    }

    /// Keeps the nodes that one of the terms matches.
    pub(in crate::cluster) fn keep_terms(&self, set: &mut Bits, terms: &[Term]) {
        let mut found = Bits::none(self.nodes());
        for term in terms.iter().filter(|term| selector::is_readable(term)) {
            let mut meeting = set.clone();
            self.index.keep_term(&mut meeting, term);
            for requirement in &term.match_fields {
                self.keep_field(&mut meeting, requirement);
            }
            found.unite(meeting.words());
        }
        *set = found;
    }

    /// The field is the node's name; any other reads as empty, on every node alike.
    fn keep_field(&self, set: &mut Bits, requirement: &Requirement) {
        let name = requirement.values.first().map_or("", String::as_str);
        match (selector::is_name(requirement), requirement.operator) {
            (true, Operator::In) => self.keep_named(set, name),
            (true, Operator::NotIn) => {
                if let Some(position) = self.position(name) {
                    set.remove(position);
                }
            }
            _ if selector::field_meets(requirement, "") => {}
            _ => *set = Bits::none(self.nodes()),
        }
    }

    fn position(&self, name: &str) -> Option<u32> {
        let name_at = |position: &u32| self.names.get(*position as usize).map_or("", AsRef::as_ref);
        let found = self
            .by_name
            .binary_search_by(|position| name_at(position).cmp(name))
            .ok()?;
        self.by_name.get(found).copied()
    }

    /// The values of a label on nodes of a set, with how many have them.
    pub(in crate::cluster) fn values_within<'a>(
        &'a self,
        key: &str,
        set: &'a Bits,
    ) -> impl Iterator<Item = (&'a str, usize)> {
        self.index.values_within(key, set)
    }

    /// The labels that any node carries.
    pub(in crate::cluster) fn label_keys(&self) -> impl Iterator<Item = &str> {
        self.index.keys()
    }
}

#[cfg(test)]
mod tests;
