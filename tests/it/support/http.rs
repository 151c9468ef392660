//! A request over a connection that the test holds itself.

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::within;

/// Largest answer that a test reads, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// Sends one request in HTTP/1.1 over a connection that is open.
pub(crate) async fn send<S>(stream: S, request: Request<Body>) -> (StatusCode, String)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    text(within("an answer", exchange).await.unwrap()).await
}

/// The same in HTTP/2.
pub(crate) async fn send_in_h2<S>(stream: S, request: Request<Body>) -> (StatusCode, String)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(
            hyper_util::rt::TokioExecutor::new(),
            TokioIo::new(stream),
        )
        .await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    text(within("an answer", exchange).await.unwrap()).await
}

/// `GET` without TLS.
pub(crate) async fn get(address: &str, path: &str) -> (StatusCode, String) {
    let request = Request::get(path)
        .header("host", address)
        .body(Body::empty())
        .unwrap();
    send(TcpStream::connect(address).await.unwrap(), request).await
}

/// Status and body of an answer.
pub(crate) async fn text<B>(answer: Response<B>) -> (StatusCode, String)
where
    B: hyper::body::Body<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (parts, body) = answer.into_parts();
    let bytes = within("a body", to_bytes(Body::new(body), ANSWER_LIMIT)).await;
    (
        parts.status,
        String::from_utf8(bytes.unwrap().into()).unwrap(),
    )
}
