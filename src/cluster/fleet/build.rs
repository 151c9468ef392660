//! Making a fleet: nodes that are equal in everything but name and labels are put beside each other.
//!
//! Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::index::LabelIndex;
use super::knowledge::{Doubt, Knowledge, Listed, Origin, SliceFinding};
use super::offer::{Offer, Registered};
use super::roster::{Record, Roster, Traits};
use super::{Cell, ClassId, Fleet, FleetPool};
use crate::cluster::taint::Taint;

/// Different values, numbered in the order in which they are first seen.
struct Numbered<T>(HashMap<T, u32>);

impl<T: Hash + Eq> Numbered<T> {
    fn number(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(value).or_insert(next)
    }

    /// All of them, by number.
    fn into_values(self) -> Vec<T> {
        let mut values: Vec<(T, u32)> = self.0.into_iter().collect();
        values.sort_by_key(|(_, number)| *number);
        values.into_iter().map(|(value, _)| value).collect()
    }
}

/// What cells refer to.
struct Parts {
    classes: Numbered<Knowledge>,
    offers: Numbered<Offer>,
    taints: Numbered<Box<[Taint]>>,
}

/// A fleet of all nodes of a roster that have GPUs, and of all its pools.
pub(super) fn fleet(roster: &mut Roster<'_>) -> Fleet {
    let mut parts = Parts {
        classes: Numbered(HashMap::new()),
        offers: Numbered(HashMap::new()),
        taints: Numbered(HashMap::new()),
    };
    let sliced = roster.sliced();
    let roster = &*roster;
    let mut placed = place(roster, &sliced, &mut parts);
    let pools: Vec<(String, u32)> = roster
        .pools
        .values()
        .flat_map(|pool| {
            pool.alternatives
                .iter()
                .map(|knowledge| (&pool.name, knowledge))
        })
        .map(|(name, knowledge)| (name.clone(), parts.classes.number(knowledge.clone())))
        .collect();
    let (classes, order) = sorted(parts.classes.into_values());
    let class = |number: u32| ClassId(order.get(number as usize).copied().unwrap_or_default());
    for node in &mut placed {
        node.cell.class = class(node.cell.class.0);
    }
    placed.sort_by(|one, other| (one.cell.kind(), one.name).cmp(&(other.cell.kind(), other.name)));
    let names: Vec<Arc<str>> = placed.iter().map(|node| Arc::clone(node.name)).collect();
    let labels = placed.iter().map(|node| &*node.record.labels);
    Fleet {
        origins: origins(&placed, classes.len()),
        index: LabelIndex::build(Arc::clone(&roster.table), labels),
        by_name: by_name(&names),
        names,
        cells: cells(placed.iter().map(|node| node.cell)),
        classes,
        offers: parts.offers.into_values(),
        taints: parts.taints.into_values(),
        pools: pools
            .into_iter()
            .filter_map(|(name, number)| {
                let pool = roster.pools.get(&name)?.clone();
                Some(FleetPool {
                    pool,
                    class: class(number),
                })
            })
            .collect(),
        device_classes: roster.device_classes.values().cloned().collect(),
        runtime_classes: roster.runtime_classes.clone(),
        resources: roster.settings.resources.clone(),
    }
}

/// A node that has GPUs.
struct Placed<'a> {
    cell: Cell,
    origin: Origin,
    name: &'a Arc<str>,
    record: &'a Record,
}

/// Where what is known of each class was read, by the class's number.
fn origins(placed: &[Placed<'_>], classes: usize) -> Vec<BTreeSet<Origin>> {
    let mut origins = vec![BTreeSet::new(); classes];
    for node in placed {
        if let Some(of_class) = origins.get_mut(node.cell.class.0 as usize) {
            of_class.insert(node.origin);
        }
    }
    origins
}

/// The cell of each node that has GPUs. Nodes that share all traits share the work.
fn place<'a>(
    roster: &'a Roster<'_>,
    sliced: &HashMap<String, SliceFinding>,
    parts: &mut Parts,
) -> Vec<Placed<'a>> {
    let mut seen: HashMap<*const Traits, Option<(Cell, Origin)>> = HashMap::new();
    let mut placed = Vec::with_capacity(roster.nodes.len());
    for (name, record) in &roster.nodes {
        let slice = sliced.get(&**name);
        let away = roster.away.contains(&**name);
        let found = if slice.is_some() || away {
            cell(&record.traits, slice, standing(away), roster, parts)
        } else {
            *seen
                .entry(Arc::as_ptr(&record.traits))
                .or_insert_with(|| cell(&record.traits, None, Agent::Ready, roster, parts))
        };
        placed.extend(found.map(|(cell, origin)| Placed {
            cell,
            origin,
            name,
            record,
        }));
    }
    placed
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    Ready,
    Away,
}

const fn standing(away: bool) -> Agent {
    if away { Agent::Away } else { Agent::Ready }
}

/// The cell of a node, and where that was read; `None` if it has no GPUs.
fn cell(
    traits: &Traits,
    slice: Option<&SliceFinding>,
    agent: Agent,
    roster: &Roster<'_>,
    parts: &mut Parts,
) -> Option<(Cell, Origin)> {
    let gpus = traits
        .amounts
        .iter()
        .any(|(name, _)| roster.settings.resources.kind(name).is_some());
    let registered = if gpus {
        Registered::Yes
    } else {
        Registered::No
    };
    let (origin, knowledge, listed) = resolve(traits, slice, agent, registered)?;
    let offer = Offer {
        amounts: traits.amounts.clone(),
        listed,
        sliced_gpus: slice.map_or(0, |slice| slice.gpus),
        sliced_migs: slice.map_or(0, |slice| slice.migs),
        registered,
    };
    let cell = Cell {
        start: 0,
        end: 0,
        class: ClassId(parts.classes.number(knowledge)),
        offer: parts.offers.number(offer),
        taints: parts.taints.number(traits.taints.clone()),
        os: traits.os,
    };
    Some((cell, origin))
}

/// What is known of a node by the source that goes before the others; `None` if it has no GPUs.
fn resolve(
    traits: &Traits,
    slice: Option<&SliceFinding>,
    agent: Agent,
    registered: Registered,
) -> Option<(Origin, Knowledge, Listed)> {
    let Some(first) = &traits.reading.first else {
        let last = traits.reading.last.as_ref();
        let listed = last.map(|finding| finding.listed).unwrap_or_default();
        if let Some(slice) = slice {
            let knowledge = slice.on(traits.architecture);
            return Some((Origin::ResourceSlices, knowledge, listed));
        }
        let said = last.map(|finding| (Origin::Cloud, finding.knowledge.clone(), listed));
        let unlabelled = Knowledge::Unknown(Doubt::Unlabelled);
        let offered = (registered == Registered::Yes).then_some((
            Origin::Resource,
            unlabelled,
            Listed::Nothing,
        ));
        return said.or(offered);
    };
    let knowledge = match agent {
        Agent::Ready => first.knowledge.clone(),
        Agent::Away => Knowledge::Unknown(Doubt::AgentAway),
    };
    let origin = traits.reading.origin.unwrap_or(Origin::Labels);
    Some((origin, knowledge, first.listed))
}

/// Classes in an order that depends on nothing but themselves, and the new number of each.
fn sorted(classes: Vec<Knowledge>) -> (Vec<Knowledge>, Vec<u32>) {
    let mut classes: Vec<(u32, Knowledge)> = (0..).zip(classes).collect();
    classes.sort_by_cached_key(|(_, knowledge)| (knowledge.doubt(), format!("{knowledge:?}")));
    let mut order = vec![0; classes.len()];
    for (new, (old, _)) in (0..).zip(&classes) {
        if let Some(slot) = order.get_mut(*old as usize) {
            *slot = new;
        }
    }
    (classes.into_iter().map(|(_, class)| class).collect(), order)
}

/// Positions in the order of the names.
fn by_name(names: &[Arc<str>]) -> Vec<u32> {
    let mut numbered: Vec<(u32, &Arc<str>)> = (0..).zip(names).collect();
    numbered.sort_unstable_by_key(|(_, name)| *name);
    numbered.into_iter().map(|(position, _)| position).collect()
}

/// Neighbours of one kind, put together.
fn cells(nodes: impl Iterator<Item = Cell>) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for (position, node) in (0_u32..).zip(nodes) {
        match cells.last_mut() {
            Some(last) if last.kind() == node.kind() => last.end = position + 1,
            _ => cells.push(Cell {
                start: position,
                end: position + 1,
                ..node
            }),
        }
    }
    cells
}
