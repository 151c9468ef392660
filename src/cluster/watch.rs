//! Follows the cluster's nodes and publishes each state as an immutable [`Fleet`].
//!
//! Holds the only long watch of the webhook; survives an API server that is away, with the last state kept.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node as KubernetesNode;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher, watcher::Event};
use tokio_util::sync::CancellationToken;

use super::fleet::{Fleet, Node};
use crate::compat::Catalog;

/// The current fleet; reading it never waits.
pub type SharedFleet = Arc<ArcSwap<Fleet>>;

/// Follows the nodes until `stop`. `synced` is called once, when the first whole list is there.
pub async fn follow_nodes(
    client: kube::Client,
    resource: String,
    catalog: &Catalog,
    fleet: SharedFleet,
    synced: impl FnOnce() + Send,
    stop: CancellationToken,
) {
    let watch = watcher(
        Api::<KubernetesNode>::all(client),
        watcher::Config::default().any_semantic(),
    );
    let events = watch
        .modify(|node| node.metadata.managed_fields = None)
        .inspect_err(|error| tracing::warn!(%error, "cannot watch the nodes; trying again"))
        .default_backoff()
        .take_until(stop.cancelled());
    let mut events = std::pin::pin!(events);
    let mut state = State {
        listed: Fleet::default(),
        current: Fleet::default(),
    };
    let mut synced = Some(synced);
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        if state.take(event, &resource, catalog) == Change::Visible {
            fleet.store(Arc::new(state.current.clone()));
            if let Some(synced) = synced.take() {
                tracing::info!(nodes = state.current.nodes.len(), "nodes listed");
                synced();
            }
        }
    }
}

/// The fleet as told, and the one that a running list is building.
struct State {
    listed: Fleet,
    current: Fleet,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Visible,
    Hidden,
}

impl State {
    fn take(&mut self, event: Event<KubernetesNode>, resource: &str, catalog: &Catalog) -> Change {
        let named = |node: &KubernetesNode| {
            let name = node.metadata.name.clone().unwrap_or_default();
            (name, Node::from_kubernetes(node, resource, catalog))
        };
        match event {
            Event::Init => {
                self.listed = Fleet::default();
                Change::Hidden
            }
            Event::InitApply(node) => {
                self.listed.nodes.extend([named(&node)]);
                Change::Hidden
            }
            Event::InitDone => {
                self.current = std::mem::take(&mut self.listed);
                Change::Visible
            }
            Event::Apply(node) => {
                let (name, node) = named(&node);
                // Heartbeats change nothing that is kept here.
                match self.current.nodes.insert(name.clone(), node) {
                    Some(before) if self.current.nodes.get(&name) == Some(&before) => {
                        Change::Hidden
                    }
                    _ => Change::Visible,
                }
            }
            Event::Delete(node) => {
                let name = node.metadata.name.unwrap_or_default();
                if self.current.nodes.remove(&name).is_some() {
                    Change::Visible
                } else {
                    Change::Hidden
                }
            }
        }
    }
}
