//! Follows the cluster's nodes, and what else decides about candidates and modes, and publishes each state of them as
//! an immutable [`ClusterState`].
//!
//! Holds the only long watches of the webhook; survives an API server that is away, with the last state kept and its
//! age known. Objects are cut down on arrival; what a burst of events changes is published once, and what changes
//! nothing is not. Each watch is a `source`; what they tell goes into one `state`.

mod agents;
mod contact;
mod seen;
mod source;
mod state;
mod told;
mod watched;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::fleet::{self, Change, DeclaredPool, Fleet, Roster};
use super::namespaces::NamespaceModes;
use crate::compat::Catalog;
use source::Source;
use state::State;
use told::Told;
use world::Moment;

pub use contact::Freshness;
pub use told::{Standing, Synced};
pub use watched::Watched;

/// Events that wait to be taken, some 16 KB each. A watch that tells faster waits.
const WAITING: usize = 64;
/// How long a change waits for others before they are published together; longer where making a fleet takes long, so
/// that it takes a tenth of the time at most.
const SETTLE: Duration = Duration::from_millis(100);

/// The current state; reading it never waits.
pub type SharedCluster = Arc<ArcSwap<ClusterState>>;

/// What is known of the cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct ClusterState {
    /// The nodes and what goes with them.
    pub fleet: Arc<Fleet>,
    /// The modes that namespaces choose.
    pub namespaces: Arc<NamespaceModes>,
    /// Whether all of it has been listed: before that, nothing may be judged.
    pub synced: Synced,
    standings: BTreeMap<Watched, Standing>,
    /// How many objects cannot be read. What was known of them before holds on; one that was not known before may
    /// be a node that could run anything.
    pub unreadable: usize,
}

impl ClusterState {
    /// A cluster with those nodes, listed whole.
    #[must_use]
    pub fn of(fleet: Fleet) -> Self {
        Self {
            fleet: Arc::new(fleet),
            synced: Synced::Whole,
            ..Self::default()
        }
    }

    /// Whether all that may bring a node is known: nothing unreadable, and no kind that we may not or cannot list.
    #[must_use]
    pub fn knows_all_nodes(&self) -> bool {
        let kinds = [
            Watched::DeviceClasses,
            Watched::ResourceSlices,
            Watched::NodePools,
        ];
        let lost = |kind| match self.standing(kind) {
            Standing::Forbidden | Standing::Failing => true,
            Standing::Pending | Standing::Followed | Standing::Outdated | Standing::NotServed => {
                false
            }
        };
        self.unreadable == 0 && !kinds.into_iter().any(lost)
    }

    /// What is known of a kind of objects.
    #[must_use]
    pub fn standing(&self, watched: Watched) -> Standing {
        self.standings.get(&watched).copied().unwrap_or_default()
    }
}

/// What is watched, and how it is read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How nodes are read.
    pub fleet: fleet::Settings,
    /// Pools that an operator declares.
    pub pools: Vec<DeclaredPool>,
    /// The namespace of our agents.
    pub namespace: String,
    /// Label selector of our agents' Pods.
    pub agents: String,
    /// Where contact with the API server is noted.
    pub freshness: Arc<Freshness>,
}

/// Follows the cluster until `stop`. `synced` is called once, when everything has been listed as far as it can be.
pub async fn follow(
    client: kube::Client,
    settings: Settings,
    catalog: &Catalog,
    published: SharedCluster,
    synced: impl FnOnce() + Send,
    stop: CancellationToken,
) {
    let (told, events) = mpsc::channel(WAITING);
    let sources = sources(&client, &settings, &told);
    // Sources end when nobody listens any more; the channel may not be held open here.
    drop(told);
    let state = State::new(Roster::new(settings.fleet, catalog), &settings.pools);
    let taking = stop.run_until_cancelled_owned(take(state, events, published, synced));
    tokio::join!(taking, sources);
}

/// All watches, together.
fn sources(
    client: &kube::Client,
    settings: &Settings,
    told: &mpsc::Sender<Told>,
) -> impl Future<Output = ()> + Send + use<> {
    macro_rules! source {
        ($watched:ident, $told:ident) => {
            tokio::spawn(
                Source::new(Watched::$watched, Told::$told, client, settings, told).follow(),
            )
        };
    }
    let sources = [
        source!(Nodes, Node),
        source!(AgentPods, AgentPod),
        source!(RuntimeClasses, RuntimeClass),
        source!(Namespaces, Namespace),
        source!(DeviceClasses, DeviceClass),
        source!(ResourceSlices, Slice),
        source!(NodePools, NodePool),
    ];
    async {
        join_all(sources).await;
    }
}

/// Takes what is told and publishes what comes of it.
async fn take(
    mut state: State<'_>,
    mut events: mpsc::Receiver<Told>,
    published: SharedCluster,
    synced: impl FnOnce() + Send,
) {
    let mut synced = Some(synced);
    let mut due: Option<Instant> = None;
    let mut settle = SETTLE;
    let mut burst = Vec::with_capacity(WAITING);
    loop {
        tokio::select! {
            count = events.recv_many(&mut burst, WAITING) => {
                if count == 0 {
                    return;
                }
            }
            () = until(state.next()) => {}
            () = until(due) => {}
        }
        let now = Moment {
            instant: Instant::now(),
            time: Timestamp::now(),
        };
        for told in burst.drain(..) {
            state.take(told, now);
        }
        state.pass_time(now.instant);
        if state.synced() == Synced::NotYet || state.change() == Change::Hidden {
            continue;
        }
        let first = synced.take();
        let at = *due.get_or_insert(now.instant + settle);
        if first.is_none() && now.instant < at {
            continue;
        }
        published.store(Arc::new(state.publish()));
        due = None;
        settle = SETTLE.max(now.instant.elapsed() * 10);
        if let Some(synced) = first {
            tracing::info!(nodes = state.nodes(), "nodes listed");
            synced();
        }
    }
}

/// Waits for a moment, for ever if there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
