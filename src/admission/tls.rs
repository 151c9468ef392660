//! Takes connections, makes them TLS and serves HTTP on them, with every wait bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::AsyncBufReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::certificates::Leaf;

/// Connections at once. An API server keeps a handful; the rest is for peers that only hold on.
const CONNECTIONS: usize = 1024;
/// For the TLS handshake and the first byte of the first request together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an HTTP/2 peer that is idle is asked whether it is still there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// After the stop signal new connections are still answered for that long: until the API server has heard that the
/// endpoint is gone.
const LINGER: Duration = Duration::from_secs(3);
/// How long calls in flight may take after that.
const DRAIN: Duration = Duration::from_secs(10);

/// A server configuration that shows that certificate.
///
/// # Errors
/// Key and certificate do not belong together.
pub fn server_config(leaf: Leaf) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(leaf.chain, leaf.key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves until `stop`, then finishes what has begun.
pub async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    router: Router,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // Tells those that have not asked for anything yet.
    let closing = CancellationToken::new();
    let end = async {
        stop.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    let mut end = std::pin::pin!(end);
    loop {
        let stream = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = &mut end => break,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(
                limit = CONNECTIONS,
                "too many connections; one was turned away"
            );
            continue;
        };
        let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
        let closing = closing.clone();
        tokio::spawn(async move {
            let _place = place;
            let opened = tokio::time::timeout(OPEN_TIMEOUT, open(acceptor, stream));
            // Load balancers and port scanners open connections and say nothing: not worth a line at info.
            let Some(Ok(Ok(stream))) = closing.run_until_cancelled(opened).await else {
                tracing::debug!("a connection without a request");
                return;
            };
            let service = TowerToHyperService::new(router);
            let connection = protocol(&stream)
                .serve_connection(TokioIo::new(stream), service)
                .into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
    drop(listener);
    closing.cancel();
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some connections did not end in time");
    }
}

/// Shakes hands, and waits for the first byte of a request.
async fn open(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut stream = acceptor.accept(stream).await?;
    stream.fill_buf().await?;
    Ok(stream)
}

/// The protocol that the handshake settled. Guessing it from the first bytes would be one more wait without an end.
fn protocol(stream: &TlsStream<TcpStream>) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => builder.http2_only(),
        _ => builder.http1_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                // Out of file descriptors, most likely: they come back as connections end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
