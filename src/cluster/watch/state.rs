//! What has been told so far, and the state of the cluster that follows from it.
//!
//! Talks to nobody; moments are passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use tokio::time::Instant;

use super::ClusterState;
use super::agents;
use super::seen::{Content, Seen};
use super::told::{Standing, Synced, Told};
use super::watched::Watched;
use super::world::{
    AGENT_PODS, DEVICE_CLASSES, Kind, Moment, NAMESPACES, NODE_POOLS, NODES, RUNTIME_CLASSES,
    SLICES, World, either,
};
use crate::cluster::fleet::{Change, DeclaredPool, Fleet, Roster};
use crate::cluster::namespaces::NamespaceModes;

/// How often a kind may fail before the others no longer wait for it.
const FAILURES: u32 = 3;
/// Most unreadable objects that are remembered.
const UNREADABLE_LIMIT: usize = 1000;

/// What has been told so far.
pub(super) struct State<'a> {
    world: World<'a>,
    /// Names that running lists have told.
    listed: BTreeMap<Watched, BTreeSet<String>>,
    standings: BTreeMap<Watched, Standing>,
    unreadable: BTreeSet<(Watched, String)>,
    /// What differs from the state that was made last.
    fleet: Change,
    rest: Change,
    last: (Arc<Fleet>, Arc<NamespaceModes>),
}

impl<'a> State<'a> {
    pub(super) fn new(roster: Roster<'a>, pools: &[DeclaredPool]) -> Self {
        Self {
            world: World::new(roster, pools),
            listed: BTreeMap::new(),
            standings: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            fleet: Change::Visible,
            rest: Change::Visible,
            last: Default::default(),
        }
    }

    /// How many nodes there are, those without GPUs included.
    pub(super) fn nodes(&self) -> usize {
        self.world.roster.nodes()
    }

    /// Whether a state made now differs from the one made last.
    pub(super) fn change(&self) -> Change {
        either(self.fleet, self.rest)
    }

    /// Whether everything has been listed, as far as it can be.
    pub(super) fn synced(&self) -> Synced {
        let listed = |watched| match self.standing(watched) {
            Standing::Followed | Standing::Outdated => true,
            Standing::NotServed | Standing::Forbidden | Standing::Failing => {
                watched != Watched::Nodes
            }
            Standing::Pending => false,
        };
        if Watched::ALL.into_iter().all(listed) {
            Synced::Whole
        } else {
            Synced::NotYet
        }
    }

    fn standing(&self, watched: Watched) -> Standing {
        self.standings.get(&watched).copied().unwrap_or_default()
    }

    /// When something will change although nothing is told.
    pub(super) fn next(&self) -> Option<Instant> {
        self.world.agents.next()
    }

    /// Sees what has changed by time alone, and by what was told of agents.
    pub(super) fn pass_time(&mut self, now: Instant) {
        let World { roster, agents, .. } = &mut self.world;
        agents.forget(|node| roster.has_node(node));
        for (node, standing) in agents.changed(now) {
            let change = match standing {
                agents::Standing::Present => roster.trust(node),
                agents::Standing::Away => {
                    tracing::warn!(
                        node,
                        "the agent there is not ready: its inventory is not believed"
                    );
                    roster.distrust(node)
                }
            };
            self.fleet = either(self.fleet, change);
        }
    }

    /// The state as it is now.
    pub(super) fn publish(&mut self) -> ClusterState {
        if self.fleet == Change::Visible {
            self.last.0 = Arc::new(self.world.roster.fleet());
        }
        if self.rest == Change::Visible {
            let modes = self.world.namespaces.clone();
            self.last.1 = Arc::new(modes.into_iter().collect());
        }
        (self.fleet, self.rest) = (Change::Hidden, Change::Hidden);
        ClusterState {
            fleet: Arc::clone(&self.last.0),
            namespaces: Arc::clone(&self.last.1),
            synced: self.synced(),
            standings: self.standings.clone(),
            unreadable: self.unreadable.len(),
        }
    }

    pub(super) fn take(&mut self, told: Told, now: Moment) {
        match told {
            Told::Node(event) => self.step(Watched::Nodes, event, &NODES, now),
            Told::AgentPod(event) => self.step(Watched::AgentPods, event, &AGENT_PODS, now),
            Told::RuntimeClass(event) => {
                self.step(Watched::RuntimeClasses, event, &RUNTIME_CLASSES, now);
            }
            Told::Namespace(event) => self.step(Watched::Namespaces, event, &NAMESPACES, now),
            Told::DeviceClass(event) => {
                self.step(Watched::DeviceClasses, event, &DEVICE_CLASSES, now);
            }
            Told::Slice(event) => self.step(Watched::ResourceSlices, event, &SLICES, now),
            Told::NodePool(event) => self.step(Watched::NodePools, event, &NODE_POOLS, now),
            Told::Standing(watched, standing, failures) => {
                self.fail(watched, standing, failures, now);
            }
            Told::Again(watched) => self.stand_again(watched),
        }
    }

    /// Takes a failure. Objects of a kind that is served no longer are gone; all others hold as they were.
    fn fail(&mut self, watched: Watched, failure: Standing, failures: u32, now: Moment) {
        if failure == Standing::NotServed {
            self.listed.remove(&watched);
            self.end_list(watched, Standing::NotServed, now);
            return;
        }
        let standing = match self.standing(watched) {
            Standing::Followed | Standing::Outdated => Standing::Outdated,
            Standing::Pending if failure == Standing::Failing && failures < FAILURES => {
                Standing::Pending
            }
            Standing::Pending | Standing::Failing | Standing::NotServed | Standing::Forbidden => {
                failure
            }
        };
        self.stand(watched, standing);
    }

    /// Forgets what a list has not told.
    fn end_list(&mut self, watched: Watched, standing: Standing, now: Moment) {
        let names = self.listed.remove(&watched).unwrap_or_default();
        let keep = match watched {
            Watched::Nodes => NODES.keep,
            Watched::AgentPods => AGENT_PODS.keep,
            Watched::RuntimeClasses => RUNTIME_CLASSES.keep,
            Watched::Namespaces => NAMESPACES.keep,
            Watched::DeviceClasses => DEVICE_CLASSES.keep,
            Watched::ResourceSlices => SLICES.keep,
            Watched::NodePools => NODE_POOLS.keep,
        };
        let change = keep(&mut self.world, &names, now);
        let before = self.unreadable.len();
        self.unreadable
            .retain(|(kind, name)| *kind != watched || names.contains(name));
        self.note(watched, change);
        if self.unreadable.len() != before {
            self.rest = Change::Visible;
        }
        self.stand(watched, standing);
    }

    fn stand(&mut self, watched: Watched, standing: Standing) {
        if self.standings.insert(watched, standing) != Some(standing) {
            self.rest = Change::Visible;
        }
    }

    fn note(&mut self, watched: Watched, change: Change) {
        match watched {
            Watched::Namespaces => self.rest = either(self.rest, change),
            Watched::Nodes
            | Watched::AgentPods
            | Watched::RuntimeClasses
            | Watched::DeviceClasses
            | Watched::ResourceSlices
            | Watched::NodePools => self.fleet = either(self.fleet, change),
        }
    }

    fn step<T>(&mut self, watched: Watched, event: Event<Seen<T>>, kind: &Kind<T>, now: Moment) {
        match event {
            Event::Init => {
                self.listed.insert(watched, BTreeSet::new());
            }
            Event::InitApply(object) => {
                let listed = self.listed.entry(watched).or_default();
                listed.insert(object.name().to_owned());
                self.put(watched, object, kind, now);
            }
            Event::InitDone => self.end_list(watched, Standing::Followed, now),
            Event::Apply(object) => self.put(watched, object, kind, now),
            Event::Delete(object) => {
                let change = (kind.remove)(&mut self.world, object.name(), now);
                self.note(watched, change);
                self.readable(watched, object.name());
            }
        }
    }

    fn stand_again(&mut self, watched: Watched) {
        if self.standing(watched) == Standing::Outdated {
            self.stand(watched, Standing::Followed);
        }
    }

    fn put<T>(&mut self, watched: Watched, object: Seen<T>, kind: &Kind<T>, now: Moment) {
        let name = object.name().to_owned();
        let cause = match object.content {
            Content::Read(content) => match (kind.put)(&mut self.world, &name, content, now) {
                Ok(change) => {
                    self.note(watched, change);
                    self.readable(watched, &name);
                    return;
                }
                Err(error) => error.to_string().into(),
            },
            Content::Unreadable(cause) => cause,
        };
        // What was known of it before holds on, for want of better.
        let known = self.unreadable.len();
        if known < UNREADABLE_LIMIT && self.unreadable.insert((watched, name.clone())) {
            tracing::warn!(resource = %watched, name, %cause, "an object cannot be read");
            self.rest = Change::Visible;
        }
    }

    fn readable(&mut self, watched: Watched, name: &str) {
        if !self.unreadable.is_empty() && self.unreadable.remove(&(watched, name.to_owned())) {
            self.rest = Change::Visible;
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::fleet::{NodeObject, Settings};
    use crate::compat::Catalog;

    fn seen<T: super::super::seen::Subject>(mut object: Value) -> Seen<T> {
        object["metadata"]["resourceVersion"] = json!("1");
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn node(name: &str, gpus: u32) -> Seen<NodeObject> {
        seen(
            json!({"metadata": {"name": name}, "status": {"capacity": {"nvidia.com/gpu": gpus.to_string()}}}),
        )
    }

    fn state() -> State<'static> {
        let mut state = State::new(Roster::new(Settings::default(), Catalog::embedded()), &[]);
        state.publish();
        state
    }

    fn now() -> Moment {
        Moment {
            instant: Instant::now(),
            time: Timestamp::now(),
        }
    }

    /// What an event changes.
    fn take(state: &mut State<'_>, told: Told) -> Change {
        let before = state.change();
        assert_eq!(before, Change::Hidden);
        state.take(told, now());
        state.change()
    }

    fn nodes(state: &mut State<'_>) -> usize {
        state.publish().fleet.nodes()
    }

    #[test]
    fn a_new_list_replaces_what_was_known() {
        let mut state = state();
        assert_eq!(take(&mut state, Told::Node(Event::Init)), Change::Hidden);
        for name in ["a", "b"] {
            state.take(Told::Node(Event::InitApply(node(name, 1))), now());
        }
        state.take(Told::Node(Event::InitDone), now());
        assert_eq!(nodes(&mut state), 2);
        state.take(Told::Node(Event::Init), now());
        state.take(Told::Node(Event::InitApply(node("b", 1))), now());
        assert_eq!(
            take(&mut state, Told::Node(Event::InitDone)),
            Change::Visible
        );
        assert_eq!(nodes(&mut state), 1);
    }

    #[test]
    fn a_heartbeat_is_not_published() {
        let mut state = state();
        let mut changes = |event| {
            let change = take(&mut state, Told::Node(event));
            state.publish();
            change
        };
        assert_eq!(changes(Event::Apply(node("a", 1))), Change::Visible);
        assert_eq!(changes(Event::Apply(node("a", 1))), Change::Hidden);
        assert_eq!(changes(Event::Apply(node("a", 2))), Change::Visible);
        assert_eq!(changes(Event::Delete(node("a", 2))), Change::Visible);
        assert_eq!(changes(Event::Delete(node("a", 2))), Change::Hidden);
    }

    #[test]
    fn a_change_of_namespaces_leaves_the_fleet_as_it_is() {
        let mut state = state();
        state.take(Told::Node(Event::Apply(node("a", 1))), now());
        let before = state.publish().fleet;
        let namespace =
            seen(json!({"metadata": {"name": "ml", "labels": {"gpu-capgate.io/mode": "warn"}}}));
        state.take(Told::Namespace(Event::Apply(namespace)), now());
        let after = state.publish();
        assert_eq!(after.namespaces.mode("ml"), Some("warn"));
        assert!(Arc::ptr_eq(&before, &after.fleet));
    }

    #[test]
    fn a_node_that_cannot_be_read_stays_as_it_was_and_is_counted() {
        let mut state = state();
        state.take(Told::Node(Event::Apply(node("a", 1))), now());
        let broken = seen(json!({"metadata": {"name": "a", "labels": ["x"]}}));
        state.take(Told::Node(Event::Apply(broken)), now());
        let published = state.publish();
        assert_eq!((published.fleet.nodes(), published.unreadable), (1, 1));
        state.take(Told::Node(Event::Apply(node("a", 1))), now());
        assert_eq!(state.publish().unreadable, 0);
    }

    #[test]
    fn the_state_is_whole_when_every_kind_is_listed_or_cannot_be() {
        let mut state = state();
        for watched in Watched::ALL {
            assert_eq!(state.synced(), Synced::NotYet, "before {watched}");
            let told = match watched {
                Watched::Nodes => Told::Node(Event::InitDone),
                Watched::AgentPods => Told::AgentPod(Event::InitDone),
                Watched::RuntimeClasses => Told::RuntimeClass(Event::InitDone),
                Watched::Namespaces => Told::Standing(watched, Standing::Forbidden, 1),
                Watched::DeviceClasses => Told::DeviceClass(Event::InitDone),
                Watched::ResourceSlices => Told::Standing(watched, Standing::Failing, FAILURES),
                Watched::NodePools => Told::Standing(watched, Standing::NotServed, 1),
            };
            state.take(told, now());
        }
        assert_eq!(state.synced(), Synced::Whole);
    }

    #[test]
    fn nothing_is_whole_without_nodes() {
        let mut state = state();
        for watched in Watched::ALL {
            state.take(Told::Standing(watched, Standing::Forbidden, 9), now());
        }
        assert_eq!(state.synced(), Synced::NotYet);
    }

    #[test]
    fn a_declared_pool_is_not_replaced_by_karpenters_of_the_same_name() {
        let declared = DeclaredPool {
            name: "gpu".to_owned(),
            ..DeclaredPool::default()
        };
        let roster = Roster::new(Settings::default(), Catalog::embedded());
        let mut state = State::new(roster, &[declared]);
        state.publish();
        let pool = |name: &str| {
            seen(
                json!({"metadata": {"name": name}, "spec": {"template": {"spec": {"requirements": [
                {"key": "karpenter.k8s.aws/instance-gpu-name", "operator": "In", "values": ["t4"]}]}}}}),
            )
        };
        let told = |name| Told::NodePool(Event::Apply(pool(name)));
        assert_eq!(take(&mut state, told("gpu")), Change::Hidden);
        let gone = Told::NodePool(Event::Delete(pool("gpu")));
        assert_eq!(take(&mut state, gone), Change::Hidden);
        assert_eq!(take(&mut state, told("other")), Change::Visible);
        state.publish();
        let gone = Told::Standing(Watched::NodePools, Standing::NotServed, 1);
        state.take(gone, now());
        assert_eq!(state.fleet, Change::Visible, "the CRD has been removed");
    }
}
