//! The webhook's life: certificate, nodes, server, health endpoint, and an orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::certificates::{CertificateCounts, Identity, Shown, Source, keep_files, keep_own};
use super::http::{self, Limits, ReviewCounts};
use super::policy::Policy;
use super::reload::{Follower, ReloadError};
use super::review::Reviewer;
use super::tls::{Bounds, ConnectionCounts, Served, Server};
use crate::cluster::fleet;
use crate::cluster::resource::GpuResources;
use crate::cluster::watch::{self, Freshness, Published};
use crate::cluster::workload::{Kinds, KindsError};
use crate::compat::Catalog;
use crate::image::repositories::{Repositories, RepositoriesError};
use crate::lifecycle::{Health, ListenError, Metrics, Readiness, listen, stop_on_signal};
use crate::telemetry::metrics::{CONTENT_TYPE, Registry};

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
    /// The data that the program carries are broken.
    #[error("the list of workload kinds in this program is broken")]
    Kinds(#[from] KindsError),
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
    let kinds = Kinds::bundled()?;
    let follower = settings.config.as_deref().map(Follower::open).transpose()?;
    let resources = follower.as_ref().map_or_else(
        || GpuResources::named([settings.resource.as_str()]),
        |follower| follower.configuration().load().resources.clone(),
    );
    let listener = listen(settings.listen, "--listen").await?;
    let health = listen(settings.health, "--health-listen").await?;
    let unreachable = |error| WebhookError::Client(Box::new(error));
    let config = kube::Config::infer()
        .await
        .map_err(|error| unreachable(kube::Error::InferConfig(error)))?;
    let client = kube::Client::try_from(config.clone()).map_err(unreachable)?;
    let impatient = kube::Client::try_from(without_retries(config)).map_err(unreachable)?;
    let stop = stop_on_signal()?;
    let (readiness, registry) = (Readiness::default(), Registry::default());
    tell_build(&registry);
    let listed = readiness.wait_for(NODES);
    let published = Published::default();
    let served = Arc::new(Served::default());
    let shown = shown(&settings.identity, &served, &readiness, &registry)?;
    let reviewer = Reviewer {
        fleet: Arc::clone(&published.fleet),
        resources: resources.clone(),
        kinds,
        catalog: Catalog::embedded(),
        repositories,
        policy: Policy::default(),
    };
    let webhook = Server {
        listener,
        served,
        router: routes(reviewer, &readiness, &registry),
        bounds: Bounds::default(),
        counts: ConnectionCounts::new(&registry),
    };

    let mut tasks: JoinSet<Result<(), WebhookError>> = JoinSet::new();
    let end = CancellationToken::new();
    let told = health_page(readiness, registry, stop.clone()).serve(health, end.clone());
    tasks.spawn(told.map(|ended| Ok(ended?)));
    let watched = watch::Settings {
        fleet: fleet::Settings {
            resources,
            ..fleet::Settings::default()
        },
        pools: Vec::new(),
        namespace: settings.identity.namespace.clone(),
        agents: settings.agents,
        freshness: Arc::<Freshness>::default(),
    };
    let synced = move || drop(listed);
    let catalog = Catalog::embedded();
    let following = watch::follow(impatient, watched, catalog, published, synced, stop.clone());
    tasks.spawn(following.map(Ok));
    if let Some(follower) = follower {
        tasks.spawn(follower.follow(stop.clone()).map(Ok));
    }
    tasks.spawn(keep_certificate(shown, client, settings.certificate, stop.clone()).map(Ok));
    tasks.spawn(webhook.serve(settings.shutdown_delay, stop).map(Ok));
    // Each task ends when it is told to stop; one that panics or fails before takes the webhook down.
    while let Some(ended) = tasks.join_next().await {
        ended??;
        // The last one tells of the others.
        if tasks.len() == 1 {
            end.cancel();
        }
    }
    tracing::info!("stopped");
    Ok(())
}

fn tell_build(registry: &Registry) {
    registry.gauges(
        "gpu_capgate_build_info",
        "The version that runs; always 1.",
        |samples| samples.gauge(&[("version", env!("CARGO_PKG_VERSION"))], 1),
    );
}

fn routes(reviewer: Reviewer, readiness: &Readiness, registry: &Registry) -> Router {
    let waiting = readiness.clone();
    http::router(
        move |body: &[u8]| reviewer.answer(body),
        move || !waiting.waits_for(NODES),
        Limits::default(),
        ReviewCounts::new(registry),
    )
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

fn health_page(readiness: Readiness, registry: Registry, stop: CancellationToken) -> Health {
    Health {
        readiness,
        stop,
        metrics: Metrics {
            content_type: CONTENT_TYPE,
            page: Arc::new(move || registry.page()),
        },
    }
}

/// For those who wait by themselves, and know why: the client would try again for minutes, and say nothing.
fn without_retries(mut config: kube::Config) -> kube::Config {
    config.default_retry = false;
    config
}
