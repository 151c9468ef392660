//! The webhook's life: certificate, nodes, server, registration, health endpoint, and an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::certificates::{self, Identity};
use super::policy::Policy;
use super::http::{self, Limits, ReviewCounts};
use super::review::Reviewer;
use super::tls;
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
    /// Where `/livez` and `/readyz` are served.
    pub health: SocketAddr,
    /// Who it is in the cluster.
    pub identity: Identity,
    /// The extended resource that counts GPUs.
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
    /// No way to the API server is known.
    #[error(
        "cannot tell where the API server is: run in a Pod with a ServiceAccount, or set KUBECONFIG"
    )]
    Client(#[source] Box<kube::Error>),
    /// Service and namespace give no DNS name.
    #[error("cannot make a certificate for service {service:?} in namespace {namespace:?}")]
    Certificate {
        /// As given.
        service: String,
        /// As given.
        namespace: String,
        /// What is wrong with them.
        source: rcgen::Error,
    },
    /// The certificate cannot be served.
    #[error("cannot serve the certificate")]
    Tls(#[from] rustls::Error),
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
    let listener = listen(settings.listen, "--listen").await?;
    let health = listen(settings.health, "--health-listen").await?;
    let unreachable = |error| WebhookError::Client(Box::new(error));
    let config = kube::Config::infer()
        .await
        .map_err(|error| unreachable(kube::Error::InferConfig(error)))?;
    let client = kube::Client::try_from(config.clone()).map_err(unreachable)?;
    let impatient = kube::Client::try_from(without_retries(config)).map_err(unreachable)?;
    let stop = stop_on_signal()?;
    let readiness = Readiness::default();
    let (listed, registered) = (
        readiness.wait_for(NODES),
        readiness.wait_for("registration"),
    );
    let catalog = Catalog::embedded();
    let published = Published::default();
    let watched = watch::Settings {
        fleet: fleet::Settings {
            resources: GpuResources::named([settings.resource.as_str()]),
            ..fleet::Settings::default()
        },
        pools: Vec::new(),
        namespace: settings.identity.namespace.clone(),
        agents: settings.agents,
        freshness: Arc::<Freshness>::default(),
    };

    let registry = Registry::default();
    let counts = ReviewCounts::new(&registry);
    let waiting = readiness.clone();
    let nodes_known = move || !waiting.waits_for(NODES);

    let mut tasks: JoinSet<Result<(), WebhookError>> = JoinSet::new();
    let telling = Health {
        readiness,
        stop: stop.clone(),
        metrics: Metrics {
            content_type: CONTENT_TYPE,
            page: Arc::new(move || registry.page()),
        },
    };
    let end = CancellationToken::new();
    tasks.spawn(telling.serve(health, end.clone()).map(|ended| Ok(ended?)));
    let synced = move || drop(listed);
    let following = watch::follow(
        impatient,
        watched,
        catalog,
        published.clone(),
        synced,
        stop.clone(),
    );
    tasks.spawn(following.map(Ok));
    let reviewer = Reviewer {
        fleet: published.fleet,
        resources: GpuResources::named([settings.resource.as_str()]),
        kinds,
        catalog,
        repositories,
        policy: Policy::default(),
    };
    let identity = settings.identity;
    let serving = async move {
        let Some(authority) = stop
            .run_until_cancelled(certificates::authority(&client, &identity))
            .await
        else {
            return Ok(());
        };
        let leaf = authority
            .sign(&identity)
            .map_err(|source| WebhookError::Certificate {
                service: identity.service.clone(),
                namespace: identity.namespace.clone(),
                source,
            })?;
        let config = tls::server_config(leaf)?;
        let pem = authority.certificate_pem().to_owned();
        let registration =
            certificates::keep_registered(client, identity, pem, registered, stop.clone());
        let answer = move |body: &[u8]| reviewer.answer(body);
        let router = http::router(answer, nodes_known, Limits::default(), counts);
        let server = tls::serve(listener, config, router, stop);
        tokio::join!(registration, server);
        Ok(())
    };
    tasks.spawn(serving);
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

/// For those who wait by themselves, and know why: the client would try again for minutes, and say nothing.
fn without_retries(mut config: kube::Config) -> kube::Config {
    config.default_retry = false;
    config
}
