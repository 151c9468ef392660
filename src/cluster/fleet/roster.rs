//! The objects that the cluster has told of, cut down on arrival, from which a [`Fleet`] is made whenever it is asked for.
//!
//! Pure. One for a watch that goes on, one for a file that is read once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use k8s_openapi::api::node::v1::RuntimeClass;

use super::build;
use super::knowledge::{
    self, DeviceClassObject, Doubt, GfdTrust, Knowledge, Models, Reading, SliceFinding,
    SliceObject, Slices,
};
use super::object::{Amount, NodeObject};
use super::pool::{DeclaredPool, Pool, UnreadablePool};
use super::table::{LabelTable, PairId};
use super::{Fleet, RuntimeRules};
use crate::cluster::placement::{OperatingSystem, Toleration};
use crate::cluster::resource::GpuResources;
use crate::cluster::taint::Taint;
use crate::compat::{Catalog, CpuArchitecture, Host};

/// Labels that a node has, about.
const LABELS_A_NODE: usize = 64;

/// What decides how objects are read.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The names under which GPUs are asked for.
    pub resources: GpuResources,
    /// Whether discovery labels are believed.
    pub trust: GfdTrust,
}

/// Whether a [`Fleet`] made now differs from one made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It does.
    Visible,
    /// It does not: a heartbeat, or something that nobody asks about.
    Hidden,
}

/// The objects of a cluster.
#[derive(Debug)]
pub struct Roster<'a> {
    pub(super) settings: Settings,
    pub(super) models: Models<'a>,
    pub(super) table: Arc<LabelTable>,
    pub(super) nodes: BTreeMap<Arc<str>, Record>,
    traits: HashSet<Arc<Traits>>,
    pub(super) slices: Slices,
    pub(super) device_classes: BTreeMap<String, DeviceClassObject>,
    pub(super) runtime_classes: BTreeMap<String, RuntimeRules>,
    pub(super) pools: BTreeMap<String, Pool>,
    pub(super) away: BTreeSet<String>,
    /// Whole GPUs and MIG devices in the ResourceSlices of nodes that a snapshot told of.
    devices: BTreeMap<String, (u64, u64)>,
    /// How many labels of the table were on nodes that have them no longer, at most.
    retired: usize,
}

/// A node: its labels, and what it shares with others of its kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) labels: Box<[PairId]>,
    pub(super) traits: Arc<Traits>,
}

/// Everything about a node but its name and labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Traits {
    pub(super) reading: Reading,
    pub(super) amounts: Box<[(Box<str>, Amount)]>,
    pub(super) taints: Box<[Taint]>,
    pub(super) os: OperatingSystem,
    pub(super) architecture: Option<CpuArchitecture>,
}

impl<'a> Roster<'a> {
    /// No objects yet.
    #[must_use]
    pub fn new(settings: Settings, catalog: &'a Catalog) -> Self {
        Self {
            settings,
            models: Models::new(catalog),
            table: Arc::default(),
            nodes: BTreeMap::new(),
            traits: HashSet::new(),
            slices: Slices::default(),
            device_classes: BTreeMap::new(),
            runtime_classes: BTreeMap::new(),
            pools: BTreeMap::new(),
            away: BTreeSet::new(),
            devices: BTreeMap::new(),
            retired: 0,
        }
    }

    /// How many nodes there are, those without GPUs included.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is a node of that name.
    #[must_use]
    pub fn has_node(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    /// Takes a node that is new, or that has changed.
    pub fn put_node(&mut self, node: &NodeObject) -> Change {
        let traits = self.traits_of(node);
        let record = self.record(&node.labels, traits);
        self.put_record(&node.name, &record)
    }

    /// Takes a node of a snapshot, of which everything is known already. `devices`: whole GPUs and MIG devices of its
    /// ResourceSlices.
    pub(super) fn put_restored(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
        traits: Traits,
        devices: Option<(u64, u64)>,
    ) {
        let traits = self.shared(traits);
        let record = self.record(labels, traits);
        self.put_record(name, &record);
        if let Some(devices) = devices {
            self.devices.insert(name.to_owned(), devices);
        }
    }

    fn record(&mut self, labels: &BTreeMap<String, String>, traits: Arc<Traits>) -> Record {
        Record {
            labels: self.labels_of(labels),
            traits,
        }
    }

    fn put_record(&mut self, name: &str, record: &Record) -> Change {
        let before = match self.nodes.get_mut(name) {
            Some(known) => Some(std::mem::replace(known, record.clone())),
            None => self.nodes.insert(name.into(), record.clone()),
        };
        match before {
            Some(before) if before == *record => Change::Hidden,
            Some(before) => {
                self.retired += before.labels.len();
                Change::Visible
            }
            None => Change::Visible,
        }
    }

    /// The table is shared with the fleets that were made of it, and is only copied for a label that is new.
    fn labels_of(&mut self, labels: &BTreeMap<String, String>) -> Box<[PairId]> {
        let mut pairs = Vec::with_capacity(labels.len());
        for (key, value) in labels {
            let pair = match self.table.find(key, value) {
                Some(known) => Some(known),
                None => Arc::make_mut(&mut self.table).intern(key, value),
            };
            pairs.extend(pair);
        }
        pairs.sort_unstable();
        pairs.into()
    }

    fn traits_of(&mut self, node: &NodeObject) -> Arc<Traits> {
        let reading = knowledge::read(
            node,
            &mut self.models,
            &self.settings.resources,
            self.settings.trust,
        );
        let amounts = node.resources.iter();
        let traits = Traits {
            reading,
            amounts: amounts
                .map(|(name, amount)| (name.as_str().into(), *amount))
                .collect(),
            taints: node.taints.clone().into(),
            os: node.os.unwrap_or_else(|| labelled_os(node)),
            architecture: knowledge::architecture(node),
        };
        self.shared(traits)
    }

    /// The one that all nodes with these traits share.
    fn shared(&mut self, traits: Traits) -> Arc<Traits> {
        if let Some(known) = self.traits.get(&traits) {
            return Arc::clone(known);
        }
        let traits = Arc::new(traits);
        self.traits.insert(Arc::clone(&traits));
        traits
    }

    /// Forgets a node.
    pub fn remove_node(&mut self, name: &str) -> Change {
        match self.nodes.remove(name) {
            Some(before) => {
                self.retired += before.labels.len();
                Change::Visible
            }
            None => Change::Hidden,
        }
    }

    /// Takes a ResourceSlice.
    pub fn put_slice(&mut self, slice: SliceObject) -> Change {
        self.slices.put(slice)
    }

    /// Forgets a ResourceSlice.
    pub fn remove_slice(&mut self, name: &str) -> Change {
        changed(self.slices.remove(name).is_some())
    }

    /// Takes a DeviceClass.
    pub fn put_device_class(&mut self, class: DeviceClassObject) -> Change {
        put(&mut self.device_classes, class.name.clone(), class)
    }

    /// Forgets a DeviceClass.
    pub fn remove_device_class(&mut self, name: &str) -> Change {
        changed(self.device_classes.remove(name).is_some())
    }

    /// Takes a RuntimeClass, whose scheduling rules admission merges into Pods.
    pub fn put_runtime_class(&mut self, class: RuntimeClass) -> Change {
        let scheduling = class.scheduling.unwrap_or_default();
        let rules = RuntimeRules {
            node_selector: scheduling.node_selector.unwrap_or_default(),
            tolerations: scheduling
                .tolerations
                .iter()
                .flatten()
                .map(Toleration::from)
                .collect(),
        };
        let name = class.metadata.name.unwrap_or_default();
        put(&mut self.runtime_classes, name, rules)
    }

    /// Forgets a RuntimeClass.
    pub fn remove_runtime_class(&mut self, name: &str) -> Change {
        changed(self.runtime_classes.remove(name).is_some())
    }

    /// Forgets all nodes but these.
    pub fn keep_nodes(&mut self, names: &BTreeSet<String>) -> Change {
        let before = self.nodes.len();
        self.nodes.retain(|name, _| names.contains(&**name));
        self.retired += (before - self.nodes.len()) * LABELS_A_NODE;
        changed(before != self.nodes.len())
    }

    /// Forgets all ResourceSlices but these.
    pub fn keep_slices(&mut self, names: &BTreeSet<String>) -> Change {
        changed(self.slices.keep(names) > 0)
    }

    /// Forgets all DeviceClasses but these.
    pub fn keep_device_classes(&mut self, names: &BTreeSet<String>) -> Change {
        let before = self.device_classes.len();
        self.device_classes.retain(|name, _| names.contains(name));
        changed(before != self.device_classes.len())
    }

    /// Forgets all RuntimeClasses but these.
    pub fn keep_runtime_classes(&mut self, names: &BTreeSet<String>) -> Change {
        let before = self.runtime_classes.len();
        self.runtime_classes.retain(|name, _| names.contains(name));
        changed(before != self.runtime_classes.len())
    }

    /// Takes a pool that an operator declares.
    pub fn put_declared_pool(&mut self, pool: &DeclaredPool) -> Change {
        let pool = Pool::declared(pool, &mut self.models);
        self.put_pool(pool)
    }

    /// Takes a GPU that a person names: nodes with it may come, whatever their labels.
    pub fn put_host(&mut self, name: &str, host: Host) -> Change {
        self.put_pool(Pool::of_host(name, host))
    }

    /// Takes a NodePool of Karpenter, in JSON.
    ///
    /// # Errors
    /// It is not of the known shape.
    pub fn put_node_pool(&mut self, pool: &serde_json::Value) -> Result<Change, UnreadablePool> {
        let read = Pool::karpenter(pool, &mut self.models)?;
        let name = pool
            .pointer("/metadata/name")
            .and_then(|name| name.as_str());
        Ok(match read {
            Some(pool) => self.put_pool(pool),
            None => self.remove_pool(name.unwrap_or_default()),
        })
    }

    fn put_pool(&mut self, pool: Pool) -> Change {
        put(&mut self.pools, pool.name.clone(), pool)
    }

    /// Forgets a pool.
    pub fn remove_pool(&mut self, name: &str) -> Change {
        changed(self.pools.remove(name).is_some())
    }

    /// Says that the agent of a node has not been ready for a while, so that its inventory is not believed.
    pub fn distrust(&mut self, node: &str) -> Change {
        changed(self.away.insert(node.to_owned()))
    }

    /// Says that the agent of a node is ready again.
    pub fn trust(&mut self, node: &str) -> Change {
        changed(self.away.remove(node))
    }

    /// The nodes and pools as they are now.
    #[must_use]
    pub fn fleet(&mut self) -> Fleet {
        self.sweep();
        build::fleet(self)
    }

    /// Lets go of labels and traits that no node has any more, once they are many.
    fn sweep(&mut self) {
        const PATIENCE: usize = 4096;
        if self.retired <= PATIENCE.max(self.table.pairs() / 2) {
            return;
        }
        let mut table = LabelTable::default();
        for record in self.nodes.values_mut() {
            let labels = record.labels.iter().map(|pair| {
                let (key, value) = self.table.pair(*pair);
                table.intern(self.table.key(key), value)
            });
            let mut labels: Box<[PairId]> = labels.flatten().collect();
            labels.sort_unstable();
            record.labels = labels;
        }
        self.table = Arc::new(table);
        self.traits.retain(|traits| Arc::strong_count(traits) > 1);
        self.retired = 0;
    }

    /// What the newest ResourceSlices say, node by node.
    pub(super) fn sliced(&mut self) -> std::collections::HashMap<String, SliceFinding> {
        let restored = self.devices.iter().map(|(node, (gpus, migs))| {
            let finding = SliceFinding {
                // What is known of the node stands in its own record.
                knowledge: Knowledge::Unknown(Doubt::UnreadableSlices),
                gpus: *gpus,
                migs: *migs,
            };
            (node.clone(), finding)
        });
        let found = self.slices.by_node(&mut self.models);
        let found = found
            .into_iter()
            .map(|(node, finding)| (node.to_owned(), finding));
        restored.chain(found).collect()
    }

    /// Bytes that the records take, near enough, without the table that fleets share.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let record = |(name, record): (&Arc<str>, &Record)| {
            const TREE: usize = 1 + size_of::<Arc<str>>() + size_of::<Record>();
            TREE + 2 * size_of::<usize>() + name.len() + size_of_val(&*record.labels)
        };
        self.nodes.iter().map(record).sum()
    }
}

/// Puts an object where an equal one may be already.
pub(super) fn put<T: PartialEq>(
    objects: &mut BTreeMap<String, T>,
    name: String,
    object: T,
) -> Change {
    if objects.get(&name) == Some(&object) {
        return Change::Hidden;
    }
    objects.insert(name, object);
    Change::Visible
}

fn changed(condition: bool) -> Change {
    if condition {
        Change::Visible
    } else {
        Change::Hidden
    }
}

/// By label where nodeInfo does not tell; Linux where nothing tells.
fn labelled_os(node: &NodeObject) -> OperatingSystem {
    let label = node.labels.get("kubernetes.io/os");
    label
        .and_then(|name| OperatingSystem::named(name))
        .unwrap_or(OperatingSystem::Linux)
}
