//! Takes connections, makes them TLS and serves HTTP on them, with every wait bounded, and ends in order.

mod heard;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use self::heard::Heard;
use super::certificates::Leaf;
use super::connections::{Connections, Place};

pub use super::connections::{Bounds, ConnectionCounts};

/// How often the book is searched for connections whose time is up.
const LOOK: Duration = Duration::from_secs(1);
/// How often an HTTP/2 peer that is idle is asked whether it is still there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 128;
/// How long a connection that serves nothing may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long requests in flight may take once no new connection is taken.
const DRAIN: Duration = Duration::from_secs(10);

/// The certificate that is shown to new connections. Those that are open keep the one they have seen.
#[derive(Debug, Default)]
pub struct Served(ArcSwapOption<CertifiedKey>);

/// What is served, and how.
pub struct Server {
    /// Where connections come from.
    pub listener: TcpListener,
    /// What they are shown; without a certificate every handshake fails.
    pub served: Arc<Served>,
    /// What they ask.
    pub router: Router,
    /// How many there may be, and how long they may wait.
    pub bounds: Bounds,
    /// Where they are counted.
    pub counts: ConnectionCounts,
}

impl Served {
    /// Shows another certificate from now on.
    ///
    /// # Errors
    /// Key and certificate do not belong together, or cannot be used.
    pub fn show(&self, leaf: Leaf) -> Result<(), rustls::Error> {
        let certified = CertifiedKey::from_der(leaf.chain, leaf.key, &default_provider())?;
        self.0.store(Some(Arc::new(certified)));
        Ok(())
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl Server {
    /// Serves. After `stop` new connections are still taken for `linger`: until the API server has heard that the
    /// endpoint is gone. Then no more are taken, and what has begun is finished.
    pub async fn serve(self, linger: Duration, stop: CancellationToken) {
        let connections = Connections::new(self.bounds, self.counts.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config(self.served)));
        let open = TaskTracker::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = std::pin::pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(linger).await;
        });
        loop {
            let stream = tokio::select! {
                stream = accept(&self.listener, &connections) => stream,
                _ = look.tick() => {
                    connections.close_overdue();
                    continue;
                }
                () = &mut end => break,
            };
            let Some(place) = connections.admit() else {
                continue;
            };
            let counts = self.counts.clone();
            let (acceptor, router) = (acceptor.clone(), self.router.clone());
            open.spawn(async move {
                match opened(acceptor.accept(stream), &place).await {
                    Some(Ok(stream)) => connection(stream, router, &place).await,
                    Some(Err(error)) => handshake_failed(&error, &counts),
                    None => {}
                }
            });
        }
        drop(self.listener);
        connections.close_all();
        open.close();
        if tokio::time::timeout(DRAIN, open.wait()).await.is_err() {
            tracing::warn!(open = open.len(), "some connections did not end in time");
        }
    }
}

fn config(served: Arc<Served>) -> ServerConfig {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(served);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Every connection is shown the certificate of its time; the API server does not resume sessions anyway.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

async fn accept(listener: &TcpListener, connections: &Connections) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                // Out of file descriptors, most likely: one comes back with each connection that ends.
                tracing::warn!(%error, "cannot accept a connection");
                connections.close_one();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The end of a handshake, if it comes in time.
async fn opened<T>(handshake: impl Future<Output = T>, place: &Place) -> Option<T> {
    tokio::select! {
        opened = handshake => Some(opened),
        // Load balancers and port scanners open connections and say nothing: not worth a line at info.
        () = place.closing() => None,
    }
}

fn handshake_failed(error: &io::Error, counts: &ConnectionCounts) {
    // Whoever hangs up has not said that anything is wrong.
    let cause = error.get_ref();
    if cause.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
        counts.handshake_failures.add();
    }
    tracing::debug!(%error, "a TLS handshake failed");
}

/// Serves one connection until its peer ends it, or until it has to close.
async fn connection(stream: TlsStream<TcpStream>, router: Router, place: &Arc<Place>) {
    let protocol = protocol(&stream);
    let stream = match protocol {
        Protocol::Http1 => Heard::new(stream, Some(Arc::clone(place))),
        // Its peers also send frames that are no requests.
        Protocol::Http2 => Heard::new(stream, None),
    };
    let place_of_requests = Arc::clone(place);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let serving = place_of_requests.serve();
        let answer = router.clone().oneshot(request.map(Body::new));
        async move {
            let answer = answer.await;
            drop(serving);
            answer
        }
    });
    let builder = builder(protocol);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return tell(ended),
        () = place.closing() => {}
    }
    connection.as_mut().graceful_shutdown();
    let patience = if place.is_serving() { DRAIN } else { GOODBYE };
    if let Ok(ended) = tokio::time::timeout(patience, connection).await {
        tell(ended);
    }
}

fn tell(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

/// The protocol that the handshake settled. Guessing it from the first bytes would be one more wait without an end.
fn protocol(stream: &TlsStream<TcpStream>) -> Protocol {
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    }
}

fn builder(protocol: Protocol) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    // hyper's own limit for headers runs between two requests as well, and would cut an idle connection short: the
    // book of connections keeps both apart.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}
