//! Follows the cluster's nodes, and what else decides about candidates, and publishes each state as an immutable
//! [`Fleet`].
//!
//! Holds the only long watches of the webhook; survives an API server that is away, with the last state kept. Objects
//! are cut down on arrival; what a burst of events changes is published once.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::stream::{BoxStream, select_all};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node as KubernetesNode;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceSlice};
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher, watcher::Event};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::fleet::{Change, DeviceClassObject, Fleet, NodeObject, Roster, Settings, SliceObject};
use super::resource::GpuResources;
use crate::compat::Catalog;

/// Most events that are taken before the state is published.
const BURST: usize = 1024;

/// The current fleet; reading it never waits.
pub type SharedFleet = Arc<ArcSwap<Fleet>>;

/// Follows the nodes until `stop`. `synced` is called once, when the first whole list of nodes is there.
pub async fn follow_nodes(
    client: kube::Client,
    resource: String,
    catalog: &Catalog,
    fleet: SharedFleet,
    synced: impl FnOnce() + Send,
    stop: CancellationToken,
) {
    let streams = [
        told(&client, |event| Told::Node(Box::new(event))),
        told(&client, Told::Slice),
        told(&client, Told::DeviceClass),
        told(&client, Told::RuntimeClass),
    ];
    let bursts = select_all(streams)
        .ready_chunks(BURST)
        .take_until(stop.cancelled());
    let mut bursts = std::pin::pin!(bursts);
    let settings = Settings {
        resources: GpuResources::named([resource.as_str()]),
        ..Settings::default()
    };
    let mut state = State::new(Roster::new(settings, catalog));
    let mut synced = Some(synced);
    while let Some(burst) = bursts.next().await {
        let mut change = Change::Hidden;
        for event in burst {
            if state.take(event) == Change::Visible {
                change = Change::Visible;
            }
        }
        if change == Change::Hidden || state.nodes == Listed::NotYet {
            continue;
        }
        fleet.store(Arc::new(state.roster.fleet()));
        if let Some(synced) = synced.take() {
            tracing::info!(nodes = state.roster.nodes(), "nodes listed");
            synced();
        }
    }
}

/// Something that the API server told.
enum Told {
    Node(Box<Event<KubernetesNode>>),
    Slice(Event<ResourceSlice>),
    DeviceClass(Event<DeviceClass>),
    RuntimeClass(Event<RuntimeClass>),
}

/// The events of one kind of objects. A kind that the cluster does not serve, or that we may not read, stays silent.
fn told<K>(client: &kube::Client, tell: fn(Event<K>) -> Told) -> BoxStream<'static, Told>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().any_semantic();
    watcher(Api::<K>::all(client.clone()), config)
        .inspect_err(|error| {
            tracing::warn!(%error, kind = %K::kind(&()), "cannot watch; trying again");
        })
        .default_backoff()
        .filter_map(move |event| std::future::ready(event.ok().map(tell)))
        .boxed()
}

/// Whether a kind of objects has been listed whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    NotYet,
    Whole,
}

/// What has been told so far.
struct State<'a> {
    roster: Roster<'a>,
    nodes: Listed,
    /// Names of the objects that running lists have told of.
    node_names: BTreeSet<String>,
    slice_names: BTreeSet<String>,
    device_class_names: BTreeSet<String>,
    runtime_class_names: BTreeSet<String>,
}

impl<'a> State<'a> {
    fn new(roster: Roster<'a>) -> Self {
        Self {
            roster,
            nodes: Listed::NotYet,
            node_names: BTreeSet::new(),
            slice_names: BTreeSet::new(),
            device_class_names: BTreeSet::new(),
            runtime_class_names: BTreeSet::new(),
        }
    }

    fn take(&mut self, told: Told) -> Change {
        let roster = &mut self.roster;
        match told {
            Told::Node(event) => {
                let done = matches!(*event, Event::InitDone);
                let change = step(roster, &mut self.node_names, *event, &NODES);
                if done && self.nodes == Listed::NotYet {
                    self.nodes = Listed::Whole;
                    return Change::Visible;
                }
                change
            }
            Told::Slice(event) => step(roster, &mut self.slice_names, event, &SLICES),
            Told::DeviceClass(event) => {
                step(roster, &mut self.device_class_names, event, &DEVICE_CLASSES)
            }
            Told::RuntimeClass(event) => step(
                roster,
                &mut self.runtime_class_names,
                event,
                &RUNTIME_CLASSES,
            ),
        }
    }
}

/// How a kind of objects gets into the roster, and out of it.
struct Kind<K> {
    put: fn(&mut Roster<'_>, K) -> Change,
    remove: fn(&mut Roster<'_>, &str) -> Change,
    /// Forgets all whose names a whole list did not tell.
    keep: fn(&mut Roster<'_>, &BTreeSet<String>) -> Change,
}

const NODES: Kind<KubernetesNode> = Kind {
    put: |roster, node| roster.put_node(&NodeObject::from(node)),
    remove: |roster, name| roster.remove_node(name),
    keep: |roster, names| roster.keep_nodes(names),
};

const SLICES: Kind<ResourceSlice> = Kind {
    put: |roster, slice| match SliceObject::read(slice) {
        Some(slice) => roster.put_slice(slice),
        None => Change::Hidden,
    },
    remove: |roster, name| roster.remove_slice(name),
    keep: |roster, names| roster.keep_slices(names),
};

const DEVICE_CLASSES: Kind<DeviceClass> = Kind {
    put: |roster, class| {
        let name = class.name_any();
        match DeviceClassObject::read(class) {
            Some(class) => roster.put_device_class(class),
            None => roster.remove_device_class(&name),
        }
    },
    remove: |roster, name| roster.remove_device_class(name),
    keep: |roster, names| roster.keep_device_classes(names),
};

const RUNTIME_CLASSES: Kind<RuntimeClass> = Kind {
    put: |roster, class| roster.put_runtime_class(class),
    remove: |roster, name| roster.remove_runtime_class(name),
    keep: |roster, names| roster.keep_runtime_classes(names),
};

fn step<K: ResourceExt>(
    roster: &mut Roster<'_>,
    names: &mut BTreeSet<String>,
    event: Event<K>,
    kind: &Kind<K>,
) -> Change {
    match event {
        Event::Init => {
            names.clear();
            Change::Hidden
        }
        Event::InitApply(object) => {
            names.insert(object.name_any());
            (kind.put)(roster, object)
        }
        Event::InitDone => (kind.keep)(roster, &std::mem::take(names)),
        Event::Apply(object) => (kind.put)(roster, object),
        Event::Delete(object) => (kind.remove)(roster, &object.name_any()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, gpus: u32) -> KubernetesNode {
        let node = json!({"metadata": {"name": name}, "status": {"capacity": {"nvidia.com/gpu": gpus.to_string()}}});
        serde_json::from_value(node).unwrap()
    }

    fn nodes(state: &mut State<'_>) -> usize {
        state.roster.fleet().nodes()
    }

    #[test]
    fn a_new_list_replaces_what_was_known() {
        let mut state = State::new(Roster::new(Settings::default(), Catalog::embedded()));
        let mut take = |event| state.take(Told::Node(Box::new(event)));
        assert_eq!(take(Event::Init), Change::Hidden);
        take(Event::InitApply(node("a", 1)));
        take(Event::InitApply(node("b", 1)));
        assert_eq!(take(Event::InitDone), Change::Visible);
        assert_eq!(nodes(&mut state), 2);
        let mut take = |event| state.take(Told::Node(Box::new(event)));
        take(Event::Init);
        take(Event::InitApply(node("b", 1)));
        assert_eq!(take(Event::InitDone), Change::Visible);
        assert_eq!(nodes(&mut state), 1);
    }

    #[test]
    fn a_heartbeat_is_not_published() {
        let mut state = State::new(Roster::new(Settings::default(), Catalog::embedded()));
        let mut take = |event| state.take(Told::Node(Box::new(event)));
        assert_eq!(take(Event::Apply(node("a", 1))), Change::Visible);
        assert_eq!(take(Event::Apply(node("a", 1))), Change::Hidden);
        assert_eq!(take(Event::Apply(node("a", 2))), Change::Visible);
        assert_eq!(take(Event::Delete(node("a", 2))), Change::Visible);
        assert_eq!(take(Event::Delete(node("a", 2))), Change::Hidden);
    }
}
