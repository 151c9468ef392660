//! An API server whose every answer a test gives itself, or does not give.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::served::Served;
use super::within;

/// A request that waits for its answer. Dropping it breaks the connection.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) accept: String,
    pub(crate) body: Value,
    answer: oneshot::Sender<Response>,
}

impl Asked {
    /// Answers with an object.
    pub(crate) fn answer(self, object: &Value) {
        self.answer_with(StatusCode::OK, object);
    }

    /// Answers with a failure in the API's own format.
    pub(crate) fn refuse(self, code: u16) {
        let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
            "message": "refused by the test", "reason": "Test"});
        self.answer_with(StatusCode::from_u16(code).unwrap(), &status);
    }

    fn answer_with(self, code: StatusCode, object: &Value) {
        let json = [(header::CONTENT_TYPE, "application/json")];
        // Who asked may have gone.
        let _ = self
            .answer
            .send((code, json, object.to_string()).into_response());
    }
}

/// An API server that is up; dropping it ends it.
pub(crate) struct AskedServer {
    served: Served,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl AskedServer {
    pub(crate) async fn start() -> Self {
        let (sender, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(wait).with_state(sender);
        Self {
            served: Served::start(router).await,
            asked,
        }
    }

    /// A client that does not try again by itself.
    pub(crate) fn client(&self) -> kube::Client {
        self.served.client()
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        within("a request", self.asked.recv()).await.unwrap()
    }

    /// Whether a request has arrived that was not looked at.
    pub(crate) fn has_unread(&self) -> bool {
        !self.asked.is_empty()
    }
}

async fn wait(
    State(asked): State<mpsc::UnboundedSender<Asked>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let (answer, answered) = oneshot::channel();
    let accept = headers
        .get(header::ACCEPT)
        .map(|value| value.to_str().unwrap().to_owned());
    let request = Asked {
        method,
        path: uri.path().to_owned(),
        accept: accept.unwrap_or_default(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        answer,
    };
    asked.send(request).ok();
    match answered.await {
        Ok(response) => response,
        Err(_) => Body::empty().into_response(),
    }
}
