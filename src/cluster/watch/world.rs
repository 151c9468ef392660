//! The objects of the cluster as far as they decide, and how each kind of them gets in and out.
//!
//! Knows nothing of lists and failures; that is `state`'s business. Moments are passed in.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::agents::Agents;
use super::seen::{AgentPod, ModeText, NodePool};
use crate::cluster::fleet::{
    Change, DeclaredPool, DeviceClassObject, NodeObject, Roster, SliceObject, UnreadablePool,
};

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) time: Timestamp,
}

/// The objects.
pub(super) struct World<'a> {
    pub(super) roster: Roster<'a>,
    pub(super) namespaces: BTreeMap<String, String>,
    pub(super) agents: Agents,
    /// Names of Karpenter's pools, as far as the roster has them.
    node_pools: BTreeSet<String>,
    /// Names of pools that an operator declares; a NodePool of that name is the same, and less certain.
    declared: BTreeSet<String>,
}

/// How a kind of objects gets into the world, and out of it.
pub(super) struct Kind<T> {
    pub(super) put: fn(&mut World<'_>, &str, T, Moment) -> Result<Change, UnreadablePool>,
    pub(super) remove: fn(&mut World<'_>, &str, Moment) -> Change,
    /// Forgets all whose names a whole list did not tell.
    pub(super) keep: fn(&mut World<'_>, &BTreeSet<String>, Moment) -> Change,
}

impl<'a> World<'a> {
    /// With nothing but the pools that an operator declares.
    pub(super) fn new(mut roster: Roster<'a>, pools: &[DeclaredPool]) -> Self {
        for pool in pools {
            roster.put_declared_pool(pool);
        }
        Self {
            roster,
            namespaces: BTreeMap::new(),
            agents: Agents::default(),
            node_pools: BTreeSet::new(),
            declared: pools.iter().map(|pool| pool.name.clone()).collect(),
        }
    }

    fn remove_node_pool(&mut self, name: &str) -> Change {
        if self.node_pools.remove(name) {
            self.roster.remove_pool(name)
        } else {
            Change::Hidden
        }
    }
}

pub(super) const NODES: Kind<NodeObject> = Kind {
    put: |world, _, node, _| Ok(world.roster.put_node(&node)),
    remove: |world, name, _| world.roster.remove_node(name),
    keep: |world, names, _| world.roster.keep_nodes(names),
};

pub(super) const AGENT_PODS: Kind<AgentPod> = Kind {
    put: |world, name, pod, now| {
        let since = pod.since.as_ref().map_or(now.instant, |since| {
            let before = now.time.duration_since(since.0);
            let before = std::time::Duration::try_from(before).unwrap_or_default();
            now.instant.checked_sub(before).unwrap_or(now.instant)
        });
        world.agents.put(name, pod, since);
        Ok(Change::Hidden)
    },
    remove: |world, name, now| {
        world.agents.remove(name, now.instant);
        Change::Hidden
    },
    keep: |world, names, now| {
        world.agents.keep(names, now.instant);
        Change::Hidden
    },
};

pub(super) const RUNTIME_CLASSES: Kind<Box<RuntimeClass>> = Kind {
    put: |world, _, class, _| Ok(world.roster.put_runtime_class(*class)),
    remove: |world, name, _| world.roster.remove_runtime_class(name),
    keep: |world, names, _| world.roster.keep_runtime_classes(names),
};

pub(super) const NAMESPACES: Kind<ModeText> = Kind {
    put: |world, name, ModeText(mode), _| {
        let before = match mode.clone() {
            Some(mode) => world.namespaces.insert(name.to_owned(), mode),
            None => world.namespaces.remove(name),
        };
        Ok(visible(before != mode))
    },
    remove: |world, name, _| visible(world.namespaces.remove(name).is_some()),
    keep: |world, names, _| {
        let before = world.namespaces.len();
        world.namespaces.retain(|name, _| names.contains(name));
        visible(before != world.namespaces.len())
    },
};

pub(super) const DEVICE_CLASSES: Kind<Option<DeviceClassObject>> = Kind {
    put: |world, name, class, _| {
        Ok(match class {
            Some(class) => world.roster.put_device_class(class),
            None => world.roster.remove_device_class(name),
        })
    },
    remove: |world, name, _| world.roster.remove_device_class(name),
    keep: |world, names, _| world.roster.keep_device_classes(names),
};

pub(super) const SLICES: Kind<Option<SliceObject>> = Kind {
    put: |world, name, slice, _| {
        Ok(match slice {
            Some(slice) => world.roster.put_slice(slice),
            None => world.roster.remove_slice(name),
        })
    },
    remove: |world, name, _| world.roster.remove_slice(name),
    keep: |world, names, _| world.roster.keep_slices(names),
};

pub(super) const NODE_POOLS: Kind<NodePool> = Kind {
    put: |world, name, NodePool(pool), _| {
        if world.declared.contains(name) {
            return Ok(Change::Hidden);
        }
        let change = world.roster.put_node_pool(&pool)?;
        world.node_pools.insert(name.to_owned());
        Ok(change)
    },
    remove: |world, name, _| world.remove_node_pool(name),
    keep: |world, names, _| {
        let gone: Vec<String> = world.node_pools.difference(names).cloned().collect();
        gone.iter().fold(Change::Hidden, |change, name| {
            either(change, world.remove_node_pool(name))
        })
    },
};

pub(super) const fn either(one: Change, other: Change) -> Change {
    match (one, other) {
        (Change::Hidden, Change::Hidden) => Change::Hidden,
        (Change::Visible, _) | (_, Change::Visible) => Change::Visible,
    }
}

const fn visible(condition: bool) -> Change {
    if condition {
        Change::Visible
    } else {
        Change::Hidden
    }
}
