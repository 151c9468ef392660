//! The webhook's server over real TLS, with a leaf of a CA that the test makes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use gpu_capgate::admission::tls::{Bounds, ConnectionCounts, Served, Server};
use gpu_capgate::telemetry::metrics::Registry;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::support::http::{send, send_in_h2, text};
use crate::support::tls::{NAME, TestAuthority, connect};
use crate::support::{skip_a_minute, within};

/// A server that is up, and the CA that vouches for it.
struct Running {
    address: SocketAddr,
    authority: TestAuthority,
    served: Arc<Served>,
    registry: Registry,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

async fn server(router: Router) -> Running {
    lingering_server(router, Duration::ZERO).await
}

/// A server that goes on taking connections for that long after it is told to stop.
async fn lingering_server(router: Router, linger: Duration) -> Running {
    let authority = TestAuthority::made_days_ago(1);
    let served = Arc::new(Served::default());
    served.show(authority.leaf()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, registry) = (CancellationToken::new(), Registry::default());
    let webhook = Server {
        listener,
        served: Arc::clone(&served),
        router,
        bounds: Bounds::default(),
        counts: ConnectionCounts::new(&registry),
    };
    Running {
        address,
        authority,
        served,
        registry,
        ended: tokio::spawn(webhook.serve(linger, stop.clone())),
        stop,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

impl Running {
    /// Connects under a name, with one protocol on offer.
    async fn connect(&self, name: &str, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.address, &self.authority.pem, name, protocol).await
    }

    /// A connection that can be used again and again.
    async fn kept(&self) -> SendRequest<Body> {
        let stream = TokioIo::new(self.connect(NAME, "http/1.1").await.unwrap());
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A new connection is served.
    async fn serves(&self) {
        let stream = self.connect(NAME, "http/1.1").await.unwrap();
        assert_eq!(send(stream, request(NAME)).await.0, StatusCode::OK);
    }

    async fn counts(&self, line: &str) {
        let counted = async {
            while !self.registry.page().lines().any(|known| known == line) {
                tokio::task::yield_now().await;
            }
        };
        within(line, counted).await;
    }
}

/// Uses a connection once more.
async fn ask(kept: &mut SendRequest<Body>) -> hyper::Result<StatusCode> {
    within("readiness", kept.ready()).await?;
    let answer = within("an answer", kept.send_request(request(NAME))).await?;
    Ok(text(answer).await.0)
}

fn request(host: &str) -> Request<Body> {
    Request::get(format!("https://{host}/"))
        .header("host", host)
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn serves_http_1_under_its_name() {
    let server = server(hello()).await;
    let stream = server.connect(NAME, "http/1.1").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = send(stream, request(NAME)).await;
    assert_eq!(answer, (StatusCode::OK, "hello".to_owned()));
}

#[tokio::test]
async fn serves_http_2_under_its_name() {
    let server = server(hello()).await;
    let stream = server.connect(NAME, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answer = Box::pin(send_in_h2(stream, request(NAME))).await;
    assert_eq!(answer, (StatusCode::OK, "hello".to_owned()));
}

#[tokio::test]
async fn a_client_that_knows_it_by_another_name_does_not_trust_it() {
    let server = server(hello()).await;
    assert!(server.connect("other.gpu-capgate.svc", "h2").await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_know_its_ca_does_not_trust_it() {
    let mut server = server(hello()).await;
    server.authority = TestAuthority::made_days_ago(1);
    assert!(server.connect(NAME, "h2").await.is_err());
    server
        .counts("gpu_capgate_tls_handshake_failures_total 1")
        .await;
}

#[tokio::test]
async fn what_is_no_tls_harms_nobody_else() {
    let server = server(hello()).await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    let written = plain.write_all(b"GET / HTTP/1.1\r\n\r\n");
    written.await.unwrap();
    let mut rest = Vec::new();
    // It is answered with a TLS alert, or with nothing.
    let _ = within("the end of the connection", plain.read_to_end(&mut rest)).await;
    assert!(!rest.starts_with(b"HTTP"));
    let stream = server.connect(NAME, "http/1.1").await.unwrap();
    assert_eq!(send(stream, request(NAME)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped_after_a_while() {
    let server = server(hello()).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    // Connections are taken in order: once this one is served, the other's handshake has begun.
    let stream = server.connect(NAME, "http/1.1").await.unwrap();
    assert_eq!(send(stream, request(NAME)).await.0, StatusCode::OK);
    skip_a_minute().await;
    let mut byte = [0];
    let read = within("the end of the connection", silent.read(&mut byte)).await;
    assert_eq!(read.unwrap_or_default(), 0);
}

#[tokio::test]
async fn a_client_that_shakes_hands_and_asks_nothing_is_dropped_after_a_while() {
    let server = server(hello()).await;
    let mut silent = server.connect(NAME, "http/1.1").await.unwrap();
    let stream = server.connect(NAME, "http/1.1").await.unwrap();
    assert_eq!(send(stream, request(NAME)).await.0, StatusCode::OK);
    skip_a_minute().await;
    let mut byte = [0];
    let read = within("the end of the connection", silent.read(&mut byte)).await;
    assert_eq!(read.unwrap_or_default(), 0);
}

#[tokio::test]
async fn a_stop_lets_the_request_in_flight_finish_and_takes_no_new_one() {
    let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, go) = (Arc::clone(&entered), Arc::clone(&finish));
    let slow = async move || {
        inside.notify_one();
        go.notified().await;
        "finished"
    };
    let server = server(Router::new().route("/", get(slow))).await;
    let stream = server.connect(NAME, "http/1.1").await.unwrap();
    let in_flight = tokio::spawn(send(stream, request(NAME)));
    within("the request", entered.notified()).await;
    server.stop.cancel();
    let closed = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the end of the listener", closed).await;
    finish.notify_one();
    let answer = within("the answer", in_flight).await.unwrap();
    assert_eq!(answer, (StatusCode::OK, "finished".to_owned()));
    within("the end of the server", server.ended).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let server = server(hello()).await;
    let _idle = server.connect(NAME, "h2").await.unwrap();
    let _silent = TcpStream::connect(server.address).await.unwrap();
    server.stop.cancel();
    within("the end of the server", server.ended).await.unwrap();
}

#[tokio::test]
async fn a_client_that_only_hangs_up_is_no_failed_handshake() {
    let server = server(hello()).await;
    drop(TcpStream::connect(server.address).await.unwrap());
    server.serves().await;
    server.counts("gpu_capgate_connections 0").await;
    server
        .counts("gpu_capgate_tls_handshake_failures_total 0")
        .await;
}

#[tokio::test]
async fn without_a_certificate_handshakes_fail_until_there_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::new(Served::default());
    let webhook = Server {
        listener,
        served: Arc::clone(&served),
        router: hello(),
        bounds: Bounds::default(),
        counts: ConnectionCounts::new(&Registry::default()),
    };
    tokio::spawn(webhook.serve(Duration::ZERO, CancellationToken::new()));
    let authority = TestAuthority::made_days_ago(1);
    assert!(connect(address, &authority.pem, NAME, "h2").await.is_err());
    served.show(authority.leaf()).unwrap();
    assert!(connect(address, &authority.pem, NAME, "h2").await.is_ok());
}

#[tokio::test]
async fn another_certificate_is_shown_to_new_connections_and_open_ones_stay() {
    let server = server(hello()).await;
    let mut kept = server.kept().await;
    assert_eq!(ask(&mut kept).await.unwrap(), StatusCode::OK);
    let other = TestAuthority::made_days_ago(1);
    server.served.show(other.leaf()).unwrap();
    assert_eq!(ask(&mut kept).await.unwrap(), StatusCode::OK);
    assert!(server.connect(NAME, "h2").await.is_err());
    assert!(
        connect(server.address, &other.pem, NAME, "h2")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_key_of_another_certificate_is_not_shown() {
    let server = server(hello()).await;
    let mut mixed = server.authority.leaf();
    mixed.key = server.authority.leaf().key;
    assert!(server.served.show(mixed).is_err());
    server.serves().await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_api_servers_own_limit_and_not_much_more() {
    let server = server(hello()).await;
    let mut kept = server.kept().await;
    assert_eq!(ask(&mut kept).await.unwrap(), StatusCode::OK);
    skip_a_minute().await;
    // The book of connections is looked at in between.
    server.serves().await;
    assert_eq!(ask(&mut kept).await.unwrap(), StatusCode::OK);
    for _ in 0..3 {
        skip_a_minute().await;
    }
    let closed = async {
        while kept.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the end of the connection", closed).await;
    server
        .counts("gpu_capgate_connections_closed_total{reason=\"idle\"} 1")
        .await;
}

#[tokio::test]
async fn a_header_that_does_not_end_is_not_waited_for() {
    let server = server(hello()).await;
    let first = server.connect(NAME, "http/1.1").await.unwrap();
    let mut second = server.connect(NAME, "http/1.1").await.unwrap();
    let whole = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
    second.write_all(whole.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = within("an answer", second.read(&mut answer)).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    for mut slow in [first, second] {
        slow.write_all(b"GET / HTTP/1.1\r\nx-a:").await.unwrap();
        server.serves().await;
        skip_a_minute().await;
        let mut byte = [0];
        let read = within("the end of the connection", slow.read(&mut byte)).await;
        assert_eq!(read.unwrap_or_default(), 0);
    }
}

/// As many files as this process may open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.unwrap().split_whitespace().nth(3).unwrap();
    soft.parse().unwrap_or(usize::MAX)
}

#[tokio::test]
async fn thousands_of_idle_connections_do_not_hurt_the_others() {
    let server = server(hello()).await;
    let mut kept = server.kept().await;
    assert_eq!(ask(&mut kept).await.unwrap(), StatusCode::OK);
    // Both ends of each are in this process.
    let silent = 2400.min(open_files() / 4);
    let mut held = Vec::new();
    for number in 0..silent {
        held.push(TcpStream::connect(server.address).await.unwrap());
        if number % 300 == 0 {
            server.serves().await;
        }
    }
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(server.connect(NAME, "h2").await.unwrap());
    }
    server.serves().await;
    assert_eq!(ask(&mut kept).await.unwrap(), StatusCode::OK);
    let page = server.registry.page();
    let open = page
        .lines()
        .find_map(|line| line.strip_prefix("gpu_capgate_connections "));
    let open: usize = open.unwrap().parse().unwrap();
    assert!(open <= 1024 + 256, "{page}");
}

#[tokio::test]
async fn after_the_stop_new_connections_are_served_for_a_while() {
    let server = lingering_server(hello(), Duration::from_secs(3600)).await;
    server.stop.cancel();
    server.serves().await;
    server.serves().await;
    assert!(!server.ended.is_finished());
}
