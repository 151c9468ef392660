//! The webhook's server over real TLS, with a leaf of a CA that the test makes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use gpu_capgate::admission::certificates::Leaf;
use gpu_capgate::admission::tls::{serve, server_config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::support::http::{send, send_in_h2};
use crate::support::{skip_a_minute, within};

const NAME: &str = "webhook.gpu-capgate.svc";

/// A server that is up, and the CA that vouches for it.
struct Server {
    address: SocketAddr,
    authority: CertificateDer<'static>,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

/// A CA and a leaf for [`NAME`].
fn certificate() -> (CertificateDer<'static>, Leaf) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([NAME.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let leaf = Leaf {
        chain: vec![leaf.der().clone()],
        key: key.into(),
    };
    (authority.der().clone(), leaf)
}

async fn server(router: Router) -> Server {
    let (authority, leaf) = certificate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let config = server_config(leaf).unwrap();
    let ended = tokio::spawn(serve(listener, config, router, stop.clone()));
    Server {
        address,
        authority,
        stop,
        ended,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

impl Server {
    /// Connects under a name, with one protocol on offer.
    async fn connect(&self, name: &str, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        within("a handshake", handshake).await
    }
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
    server.authority = certificate().0;
    assert!(server.connect(NAME, "h2").await.is_err());
}

#[tokio::test]
async fn what_is_no_tls_harms_nobody_else() {
    let server = server(hello()).await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    let written = tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n");
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
