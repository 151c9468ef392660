//! The webhook's life: certificate, nodes, server, health endpoint, and an orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use futures::FutureExt;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::certificates::{CertificateCounts, Identity, Shown, Source, keep_files, keep_own};
use super::configuration::Configuration;
use super::drift::{Drift, Webhook};
use super::events::Events;
use super::hearing::{Hearing, Installed};
use super::http::{self, Capacity, Limits, ReviewCounts};
use super::installation::Installation;
use super::measured::Measured;
use super::owner::Owners;
use super::reload::{Failing, Follower, ReloadError, SharedConfiguration};
use super::review::{Reviewer, Steering};
use super::tls::{Bounds, ConnectionCounts, Served, Server};
use crate::cluster::fleet;
use crate::cluster::resource::GpuResources;
use crate::cluster::watch::{self, Freshness, SharedCluster};
use crate::image::repositories::{Repositories, RepositoriesError};
use crate::lifecycle::{Health, ListenError, Readiness, ReadyToken, listen, stop_on_signal};
use crate::telemetry::metrics::Registry;

/// The part of readiness that waits for the first list of nodes.
const NODES: &str = "nodes";

/// What the webhook was told to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where reviews are served.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub health: SocketAddr,
    /// Who it is in the cluster.
    pub identity: Identity,
    /// Where its certificate comes from.
    pub certificate: Source,
    /// How long new connections are still served once it is told to stop.
    pub shutdown_delay: Duration,
    /// The configuration file, if there is one.
    pub config: Option<PathBuf>,
    /// The extended resource that counts GPUs, if there is no configuration file.
    pub resource: String,
    /// Label selector of the agents' Pods, in the webhook's namespace.
    pub agents: String,
}

/// Why the webhook could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// One of its addresses.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its configuration file.
    #[error(transparent)]
    Configuration(#[from] ReloadError),
    /// No way to the API server is known.
    #[error(
        "cannot tell where the API server is: run in a Pod with a ServiceAccount, or set KUBECONFIG"
    )]
    Client(#[source] Box<kube::Error>),
    /// Service and namespace give no DNS name.
    #[error("service {service:?} in namespace {namespace:?} gives no DNS name")]
    Name {
        /// As given.
        service: String,
        /// As given.
        namespace: String,
        /// What is wrong with them.
        source: rustls::pki_types::InvalidDnsNameError,
    },
    /// The data that the program carries are broken.
    #[error("the catalog of repositories in this program is broken")]
    Repositories(#[from] RepositoriesError),
    /// The system refused something that every process may do.
    #[error("cannot run")]
    System(#[from] std::io::Error),
    /// A part of the webhook ended though nobody asked it to.
    #[error("a task of the webhook broke down")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs the webhook until SIGTERM or SIGINT.
///
/// # Errors
/// See [`WebhookError`]. An absent API server is none: it is waited for.
pub async fn run(settings: Settings) -> Result<(), WebhookError> {
    let repositories = Repositories::bundled()?;
    let (configuration, follower) = configuration(&settings)?;
    let listener = listen(settings.listen, "--listen").await?;
    let health = listen(settings.health, "--health-listen").await?;
    let clients = Clients::new().await?;
    let stop = stop_on_signal()?;
    let (readiness, registry) = (Readiness::default(), Registry::default());
    let listed = readiness.wait_for(NODES);
    let served = Arc::new(Served::default());
    let shown = shown(&settings.identity, &served, &readiness, &registry)?;
    let parts = Parts {
        cluster: SharedCluster::default(),
        configuration: Arc::clone(&configuration),
        drift: Arc::new(drift(&settings.identity)),
        installed: Installed::default(),
        freshness: Arc::default(),
    };
    let (events, recorder) = Events::new(clients.impatient.clone(), &settings.identity.service);
    let failing = follower.as_ref().map(Follower::failing);
    parts.measure(&registry, &events, failing);
    let owners = Owners::new(clients.impatient.clone());
    let hearing = Hearing::new(owners, Arc::clone(&parts.installed), events, &registry);
    let cluster = Arc::clone(&parts.cluster);
    let reviewer = Arc::new(Reviewer::new(cluster, configuration, repositories));
    let steering = settings.identity.steering.as_ref();
    let steering = steering.map(|_| Steering::new(Arc::clone(&reviewer), &registry));
    let webhook = Server {
        listener,
        served,
        router: routes((reviewer, steering), hearing, &readiness, &registry),
        bounds: Bounds::default(),
        counts: ConnectionCounts::new(&registry),
    };

    let end = CancellationToken::new();
    let told = Health::new(readiness, registry, stop.clone()).serve(health, end.clone());
    let mut tasks: JoinSet<Result<(), WebhookError>> = JoinSet::new();
    tasks.spawn(told.map(|ended| Ok(ended?)));
    tasks.spawn(recorder.run(stop.clone()).map(Ok));
    let installation = parts.installation(&settings.identity);
    tasks.spawn(
        installation
            .follow(clients.impatient.clone(), stop.clone())
            .map(Ok),
    );
    if let Some(follower) = follower {
        tasks.spawn(follower.follow(stop.clone()).map(Ok));
    }
    let watched = parts.watch(&settings);
    let following = follow(clients.impatient, watched, parts, listed, stop.clone());
    tasks.spawn(following.map(Ok));
    let certificate = keep_certificate(shown, clients.patient, settings.certificate, stop.clone());
    tasks.spawn(certificate.map(Ok));
    tasks.spawn(webhook.serve(settings.shutdown_delay, stop).map(Ok));
    ended(tasks, end).await
}

/// Waits for all tasks. Each ends when it is told to stop; one that panics or fails before takes the webhook down. The
/// last one tells of the others.
async fn ended(
    mut tasks: JoinSet<Result<(), WebhookError>>,
    end: CancellationToken,
) -> Result<(), WebhookError> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
        if tasks.len() == 1 {
            end.cancel();
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// The configuration in force, and who keeps it that of its file, if there is one.
fn configuration(
    settings: &Settings,
) -> Result<(SharedConfiguration, Option<Follower>), WebhookError> {
    if let Some(path) = &settings.config {
        let follower = Follower::open(path)?;
        return Ok((follower.configuration(), Some(follower)));
    }
    let resources = GpuResources::named([settings.resource.as_str()]);
    let configuration = Configuration::counting(resources);
    Ok((Arc::new(ArcSwap::from_pointee(configuration)), None))
}

/// Two ways to the API server.
struct Clients {
    /// Tries again by itself.
    patient: kube::Client,
    /// For those who wait by themselves, and know why: the other would try again for minutes, and say nothing.
    impatient: kube::Client,
}

impl Clients {
    async fn new() -> Result<Self, WebhookError> {
        let unreachable = |error| WebhookError::Client(Box::new(error));
        let mut config = kube::Config::infer()
            .await
            .map_err(|error| unreachable(kube::Error::InferConfig(error)))?;
        let patient = kube::Client::try_from(config.clone()).map_err(unreachable)?;
        config.default_retry = false;
        let impatient = kube::Client::try_from(config).map_err(unreachable)?;
        Ok(Self { patient, impatient })
    }
}

/// What the tasks share.
struct Parts {
    cluster: SharedCluster,
    configuration: SharedConfiguration,
    drift: Arc<Drift>,
    installed: Installed,
    freshness: Arc<Freshness>,
}

impl Parts {
    fn installation(&self, identity: &Identity) -> Installation {
        Installation {
            checking: identity.configuration.clone(),
            steering: identity.steering.clone(),
            configuration: Arc::clone(&self.configuration),
            drift: Arc::clone(&self.drift),
            installed: Arc::clone(&self.installed),
        }
    }

    fn watch(&self, settings: &Settings) -> watch::Settings {
        let configuration = self.configuration.load();
        watch::Settings {
            fleet: fleet::Settings {
                resources: configuration.resources.clone(),
                trust: configuration.trust,
            },
            pools: configuration.pools.clone(),
            namespace: settings.identity.namespace.clone(),
            agents: settings.agents.clone(),
            freshness: Arc::clone(&self.freshness),
        }
    }

    /// What is measured when somebody asks.
    fn measure(&self, registry: &Registry, events: &Events, failing: Option<Arc<Failing>>) {
        Measured {
            cluster: Arc::clone(&self.cluster),
            freshness: Arc::clone(&self.freshness),
            drift: Arc::clone(&self.drift),
            events: Arc::clone(events.counts()),
            failing,
        }
        .register(registry);
    }
}

/// Of the registrations that there should be.
fn drift(identity: &Identity) -> Drift {
    let steering = identity.steering.as_ref().map(|_| Webhook::Steer);
    Drift::of([Webhook::Check].into_iter().chain(steering))
}

/// Follows the cluster with the knowledge base of the configuration; pools, resources and trust hold as they were at the
/// start.
async fn follow(
    client: kube::Client,
    watched: watch::Settings,
    parts: Parts,
    listed: ReadyToken,
    stop: CancellationToken,
) {
    let configuration = parts.configuration.load_full();
    let synced = move || drop(listed);
    let catalog = configuration.catalog();
    watch::follow(client, watched, catalog, parts.cluster, synced, stop).await;
}

/// Reviews, and how Pods are steered if they are.
fn routes(
    (reviewer, steering): (Arc<Reviewer>, Option<Steering>),
    hearing: Hearing,
    readiness: &Readiness,
    registry: &Registry,
) -> Router {
    let (waiting, hearing) = (readiness.clone(), Arc::new(hearing));
    let (capacity, counts) = (
        Capacity::from(Limits::default()),
        ReviewCounts::new(registry),
    );
    let reviews = http::router(
        move |body: &[u8]| reviewer.answer(body),
        move |judged, deadline| {
            let hearing = Arc::clone(&hearing);
            async move { hearing.end(judged, deadline).await }.boxed()
        },
        move || !waiting.waits_for(NODES),
        capacity.clone(),
        counts.clone(),
    );
    let Some(steering) = steering else {
        return reviews;
    };
    let waiting = readiness.clone();
    reviews.merge(http::mutations(
        move |body: &[u8]| steering.answer(body),
        move || !waiting.waits_for(NODES),
        capacity,
        counts,
    ))
}

fn shown(
    identity: &Identity,
    served: &Arc<Served>,
    readiness: &Readiness,
    registry: &Registry,
) -> Result<Shown, WebhookError> {
    let shown = Shown::new(
        identity.clone(),
        Arc::clone(served),
        readiness.clone(),
        Arc::new(OffsetDateTime::now_utc),
        CertificateCounts::new(registry),
    );
    shown.map_err(|source| WebhookError::Name {
        service: identity.service.clone(),
        namespace: identity.namespace.clone(),
        source,
    })
}

async fn keep_certificate(
    shown: Shown,
    client: kube::Client,
    source: Source,
    stop: CancellationToken,
) {
    match source {
        Source::Own { ca_secret } => keep_own(shown, client, ca_secret, stop).await,
        Source::Files(files) => keep_files(shown, client, files, stop).await,
    }
}
