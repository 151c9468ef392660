//! A process' life: stop signals, readiness, and the endpoint that tells both to the kubelet.
//!
//! Knows nothing of what the roles do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::metrics::{CONTENT_TYPE, Registry};

/// Connections to the health endpoint at once.
const CONNECTIONS: usize = 256;
/// For one request to the health endpoint, from the connection to the end of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the health endpoint waits at its end for whoever is connected.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a process still waits for before it is ready. Parts take a token each and drop it when they are.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

/// Held by a part that is not ready yet; dropping it says that the part is.
#[derive(Debug)]
pub struct ReadyToken {
    readiness: Readiness,
    part: &'static str,
}

impl Readiness {
    /// A token for a part, named for the message of `/readyz`.
    #[must_use]
    pub fn wait_for(&self, part: &'static str) -> ReadyToken {
        self.parts().insert(part);
        ReadyToken {
            readiness: self.clone(),
            part,
        }
    }

    /// Whether a part is not ready.
    #[must_use]
    pub fn waits_for(&self, part: &'static str) -> bool {
        self.parts().contains(part)
    }

    /// The parts that are not ready.
    #[must_use]
    pub fn waiting(&self) -> Vec<&'static str> {
        self.parts().iter().copied().collect()
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        // The set is whole after every operation, so a panic elsewhere leaves nothing half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ReadyToken {
    fn drop(&mut self) {
        self.readiness.parts().remove(self.part);
        tracing::info!(part = self.part, "ready");
    }
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; choose another address with {flag}")]
pub struct ListenError {
    address: SocketAddr,
    flag: &'static str,
    #[source]
    source: std::io::Error,
}

/// Opens a listener; `flag` is the option that a person would change.
///
/// # Errors
/// The address is taken or not ours.
pub async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ListenError> {
    let failed = |source| ListenError {
        address,
        flag,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    // Port 0 is any port; nobody would know which.
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, option = flag, "listening");
    Ok(listener)
}

/// A token that is cancelled on SIGTERM or SIGINT.
///
/// # Errors
/// The process may not handle signals.
pub fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        token.cancel();
    });
    Ok(stop)
}

/// What a process tells about itself on its health endpoint.
#[derive(Clone)]
pub struct Health {
    /// What it still waits for.
    pub readiness: Readiness,
    /// Once cancelled, the process is no longer ready: the cluster sends its work elsewhere.
    pub stop: CancellationToken,
    /// Content type and text of `/metrics`.
    pub metrics: Metrics,
}

/// Writes the page of `/metrics`; told as a function, because nothing here knows what is counted.
#[derive(Clone)]
pub struct Metrics {
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its text, anew for each scrape.
    pub page: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Health {
    /// With the families of a registry as its metrics.
    #[must_use]
    pub fn new(readiness: Readiness, registry: Registry, stop: CancellationToken) -> Self {
        let metrics = Metrics {
            content_type: CONTENT_TYPE,
            page: Arc::new(move || registry.page()),
        };
        Self {
            readiness,
            stop,
            metrics,
        }
    }

    /// Serves `/livez`, `/readyz` and `/metrics` until `end`: longer than until `stop`, so that a process that is still
    /// finishing its work says so instead of being taken for dead.
    ///
    /// # Errors
    /// None so far: a listener that cannot accept is tried again.
    pub async fn serve(self, listener: TcpListener, end: CancellationToken) -> std::io::Result<()> {
        let metrics = self.metrics.clone();
        let page = async move || {
            let kind = [(header::CONTENT_TYPE, metrics.content_type)];
            (kind, (metrics.page)())
        };
        let router = health_routes(self.readiness, self.stop).route("/metrics", get(page));
        serve_until(listener, router, end).await
    }
}

fn health_routes(readiness: Readiness, stop: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state((readiness, stop))
}

/// One request a connection, within a bounded time, so that nobody who holds on keeps the kubelet out.
async fn serve_until(
    listener: TcpListener,
    router: Router,
    end: CancellationToken,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let open = TaskTracker::new();
    while let Some(accepted) = end.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: one comes back with each connection that ends.
                tracing::warn!(%error, "cannot accept a connection to the health endpoint");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let router = router.clone();
            open.spawn(async move {
                let _place = place;
                // Whoever asks and goes away hurts nobody.
                let _ = tokio::time::timeout(REQUEST_TIMEOUT, serve_one(stream, router)).await;
            });
        }
    }
    open.close();
    // What has not ended then is a peer that holds on.
    let _ = tokio::time::timeout(PATIENCE, open.wait()).await;
    Ok(())
}

async fn serve_one(stream: TcpStream, router: Router) -> hyper::Result<()> {
    let service = TowerToHyperService::new(router);
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn ready(
    State((readiness, stop)): State<(Readiness, CancellationToken)>,
) -> (StatusCode, String) {
    if stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match readiness.waiting() {
        waiting if waiting.is_empty() => (StatusCode::OK, "ok\n".to_owned()),
        waiting => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {}\n", waiting.join(", ")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_process_is_ready_when_each_part_is() {
        let readiness = Readiness::default();
        let (nodes, certificate) = (
            readiness.wait_for("nodes"),
            readiness.wait_for("certificate"),
        );
        drop(nodes);
        assert_eq!(readiness.waiting(), ["certificate"]);
        assert!(readiness.waits_for("certificate") && !readiness.waits_for("nodes"));
        drop(certificate);
        assert!(readiness.waiting().is_empty());
    }

    async fn health(readiness: &Readiness, stop: &CancellationToken) -> SocketAddr {
        let health = Health {
            readiness: readiness.clone(),
            stop: stop.clone(),
            metrics: Metrics {
                content_type: "text/plain",
                page: Arc::new(|| "gpu_capgate_x 1\n".to_owned()),
            },
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(health.serve(listener, CancellationToken::new()));
        address
    }

    async fn asked(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_process_that_stops_is_alive_and_not_ready_and_still_counts() {
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        let address = health(&readiness, &stop).await;
        assert!(asked(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        stop.cancel();
        assert!(asked(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        assert!(asked(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let metrics = asked(address, "/metrics").await;
        assert!(metrics.ends_with("\r\n\r\ngpu_capgate_x 1\n"), "{metrics}");
    }

    #[tokio::test]
    async fn peers_that_hold_on_keep_nobody_out_for_long() {
        let address = health(&Readiness::default(), &CancellationToken::new()).await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        tokio::task::yield_now().await;
        tokio::time::pause();
        tokio::time::advance(REQUEST_TIMEOUT).await;
        tokio::time::resume();
        let mut byte = [0];
        for stream in &mut held {
            assert_eq!(stream.read(&mut byte).await.unwrap_or_default(), 0);
        }
        assert!(asked(address, "/livez").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_taken_port_names_the_address_and_the_option() {
        let taken = listen("127.0.0.1:0".parse().unwrap(), "--listen")
            .await
            .unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(address, "--health-listen").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {address}; choose another address with --health-listen")
        );
    }
}
