//! What the webhook watches, against an API server on a socket: how it follows, and what it survives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gpu_capgate::cluster::fleet::{self, Doubt};
use gpu_capgate::cluster::placement::Placement;
use gpu_capgate::cluster::watch::{
    ClusterState, Freshness, Settings, SharedCluster, Standing, Synced, Watched, follow,
};
use gpu_capgate::compat::Catalog;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::watch_server::{
    AGENT_PODS, Lists, NAMESPACES, NODE_POOLS, NODES, RUNTIME_CLASSES, SLICES, WatchServer,
    bookmark,
};
use crate::support::within;

mod survival;

/// A follower of a server.
struct Follower {
    published: SharedCluster,
    freshness: Arc<Freshness>,
    synced: Option<oneshot::Receiver<()>>,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Follower {
    fn of(server: &WatchServer) -> Self {
        let (published, freshness) = (SharedCluster::default(), Arc::<Freshness>::default());
        let settings = Settings {
            fleet: fleet::Settings::default(),
            pools: Vec::new(),
            namespace: "gpu-capgate".to_owned(),
            agents: "app.kubernetes.io/component=agent".to_owned(),
            freshness: Arc::clone(&freshness),
        };
        let stop = CancellationToken::new();
        let (sender, synced) = oneshot::channel();
        let following = follow(
            server.client(),
            settings,
            Catalog::embedded(),
            Arc::clone(&published),
            move || sender.send(()).unwrap(),
            stop.clone(),
        );
        let task = tokio::spawn(following);
        Self {
            published,
            freshness,
            synced: Some(synced),
            stop: stop.drop_guard(),
            task,
        }
    }

    /// A follower that has synced.
    async fn synced(server: &WatchServer) -> Self {
        let mut follower = Self::of(server);
        follower.sync().await;
        follower
    }

    async fn sync(&mut self) {
        let synced = self.synced.take().unwrap();
        within("the first whole state", synced).await.unwrap();
    }

    fn state(&self) -> Arc<ClusterState> {
        self.published.load_full()
    }

    /// Waits for a state; all states that were seen on the way.
    async fn until(
        &self,
        event: &str,
        wanted: impl Fn(&ClusterState) -> bool,
    ) -> Arc<ClusterState> {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        let found = async {
            loop {
                let state = self.state();
                if wanted(&state) {
                    return state;
                }
                look.tick().await;
            }
        };
        within(event, found).await
    }
}

fn node(name: &str, gpus: u32) -> Value {
    let gpus = json!({"cpu": "8", "nvidia.com/gpu": gpus.to_string()});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "nvidia.com/gpu.product": "Tesla-T4",
            "nvidia.com/gpu.compute.major": "7", "nvidia.com/gpu.compute.minor": "5"},
            "managedFields": [{"manager": "kubelet", "operation": "Update"}]},
        "status": {"capacity": gpus, "allocatable": gpus, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The doubts about the nodes' GPUs.
fn doubts(state: &ClusterState) -> Vec<Option<Doubt>> {
    let everywhere = Placement::anywhere();
    let found = gpu_capgate::cluster::schedule::possible(&everywhere, &state.fleet);
    found
        .classes
        .iter()
        .map(|class| class.knowledge.doubt())
        .collect()
}

#[tokio::test]
async fn nodes_are_followed_by_a_streamed_list() {
    let server = WatchServer::start(Lists::Streamed).await;
    server.put(NODES, node("a", 1));
    let follower = Follower::synced(&server).await;
    let state = follower.state();
    assert_eq!((state.synced, state.fleet.nodes()), (Synced::Whole, 1));
    assert_eq!(state.standing(Watched::Nodes), Standing::Followed);
    assert_eq!(server.requests(NODES), 1, "the list is the watch");
    server.put(NODES, node("b", 1));
    follower
        .until("two nodes", |state| state.fleet.nodes() == 2)
        .await;
    server.delete(NODES, "a");
    follower
        .until("one node", |state| state.fleet.nodes() == 1)
        .await;
    assert!(follower.freshness.age(Watched::Nodes).unwrap() < Duration::from_secs(30));
    assert_eq!(follower.freshness.failures(Watched::Nodes), 0);
}

#[tokio::test]
async fn a_server_that_does_not_stream_lists_is_asked_in_pages() {
    let server = WatchServer::start(Lists::InPages).await;
    for number in 0..250 {
        server.put(NODES, node(&format!("n{number}"), 1));
    }
    let follower = Follower::synced(&server).await;
    assert_eq!(follower.state().fleet.nodes(), 250);
    server.put(NODES, node("late", 1));
    follower
        .until("one more", |state| state.fleet.nodes() == 251)
        .await;
    assert_eq!(
        server.requests(NODES),
        5,
        "a refusal, three pages and a watch"
    );
}

#[tokio::test]
async fn a_heartbeat_publishes_nothing() {
    let server = WatchServer::start(Lists::Streamed).await;
    server.put(NODES, node("a", 1));
    let follower = Follower::synced(&server).await;
    let before = follower.state();
    let mut beating = node("a", 1);
    beating["status"]["conditions"][0]["lastHeartbeatTime"] = json!("2026-01-01T00:00:00Z");
    server.put(NODES, beating);
    // What comes later on another watch shows that the heartbeat has long been taken.
    server.put(NODES, node("b", 1));
    let after = follower
        .until("another node", |state| state.fleet.nodes() == 2)
        .await;
    server.put(NODES, node("b", 1));
    server.put(NAMESPACES, namespace("ml", Some("warn")));
    let last = follower
        .until("a mode", |state| state.namespaces.mode("ml").is_some())
        .await;
    assert!(!Arc::ptr_eq(&before.fleet, &after.fleet));
    assert!(
        Arc::ptr_eq(&after.fleet, &last.fleet),
        "modes and heartbeats make no new fleet"
    );
}

#[tokio::test]
async fn a_burst_is_published_ten_times_a_second_at_most() {
    let server = WatchServer::start(Lists::Streamed).await;
    let follower = Follower::synced(&server).await;
    let start = Instant::now();
    for number in 0..2000 {
        server.put(NODES, node(&format!("n{number}"), 1));
    }
    let mut last = follower.state();
    let mut states = 0_u128;
    let mut look = tokio::time::interval(Duration::from_millis(1));
    let all = async {
        while last.fleet.nodes() < 2000 {
            look.tick().await;
            let state = follower.state();
            states += u128::from(!Arc::ptr_eq(&state, &last));
            last = state;
        }
    };
    within("all nodes", all).await;
    let most = start.elapsed().as_millis() / 100 + 2;
    assert!(
        states <= most,
        "{states} states for 2000 events, {most} would do"
    );
}

fn namespace(name: &str, mode: Option<&str>) -> Value {
    let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": "a"}}});
    if let Some(mode) = mode {
        namespace["metadata"]["labels"]["gpu-capgate.io/mode"] = json!(mode);
    }
    namespace
}

#[tokio::test]
async fn modes_of_namespaces_are_kept() {
    let server = WatchServer::start(Lists::Streamed).await;
    server.put(NAMESPACES, namespace("ml", Some("audit")));
    server.put(NAMESPACES, namespace("web", None));
    let follower = Follower::synced(&server).await;
    let modes = Arc::clone(&follower.state().namespaces);
    assert_eq!(
        (modes.mode("ml"), modes.mode("web"), modes.len()),
        (Some("audit"), None, 1)
    );
    server.put(NAMESPACES, namespace("ml", Some("off")));
    follower
        .until("another mode", |state| {
            state.namespaces.mode("ml") == Some("off")
        })
        .await;
    server.delete(NAMESPACES, "ml");
    follower
        .until("no mode", |state| state.namespaces.is_empty())
        .await;
}

fn agent_pod(node: &str, ready: &str, since: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("agent-{node}"), "labels": {"app.kubernetes.io/component": "agent"}},
        "spec": {"nodeName": node},
        "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}]},
    })
}

#[tokio::test]
async fn an_inventory_is_not_believed_while_its_agent_has_long_been_unready() {
    let server = WatchServer::start(Lists::Streamed).await;
    server.put(NODES, node("a", 1));
    server.put(AGENT_PODS, agent_pod("a", "False", "2026-01-01T00:00:00Z"));
    let follower = Follower::synced(&server).await;
    assert_eq!(doubts(&follower.state()), [Some(Doubt::AgentAway)]);
    server.put(AGENT_PODS, agent_pod("a", "True", "2026-01-01T00:00:00Z"));
    follower
        .until("belief", |state| doubts(state) == [None])
        .await;
    // A Pod of somebody else in that namespace says nothing.
    let mut other = agent_pod("a", "False", "2026-01-01T00:00:00Z");
    other["metadata"] = json!({"name": "other"});
    server.delete(AGENT_PODS, "agent-a");
    server.put(NODES, node("b", 1));
    follower
        .until("another node", |state| state.fleet.nodes() == 2)
        .await;
    assert!(
        doubts(&follower.state()).iter().all(Option::is_none),
        "gone for a moment only"
    );
}

#[tokio::test]
async fn a_stop_ends_every_watch_at_once() {
    let server = WatchServer::start(Lists::Streamed).await;
    server.refuse(RUNTIME_CLASSES, 403);
    let follower = Follower::synced(&server).await;
    drop(follower.stop);
    within("the end", follower.task).await.unwrap();
}
