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
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    /// Serves `/livez`, `/readyz` and `/metrics` until `end`: longer than until `stop`, so that a process that is still
    /// finishing its work says so instead of being taken for dead.
    ///
    /// # Errors
    /// The listener broke.
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

/// Serves `/livez` and `/readyz` until `stop`.
///
/// # Errors
/// The listener broke.
pub async fn serve_health(
    listener: TcpListener,
    readiness: Readiness,
    stop: CancellationToken,
) -> std::io::Result<()> {
    serve_until(listener, health_routes(readiness, stop.clone()), stop).await
}

fn health_routes(readiness: Readiness, stop: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state((readiness, stop))
}

/// A probe or a scraper that keeps its connection open does not hold up the end.
async fn serve_until(
    listener: TcpListener,
    router: Router,
    end: CancellationToken,
) -> std::io::Result<()> {
    let graceful =
        axum::serve(listener, router).with_graceful_shutdown(end.clone().cancelled_owned());
    let patience = async {
        end.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        ended = graceful => ended,
        () = patience => Ok(()),
    }
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
