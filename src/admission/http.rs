//! The webhook's routes: bytes in, an AdmissionReview out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::review::{BadReview, Reviewer};

/// Largest review, in bytes: the API server takes objects of 3 MiB and sends the old one beside the new.
const BODY_LIMIT: usize = 8 * 1024 * 1024;
/// Longest that a body may take: the API server gives up before (timeoutSeconds is 30 at most).
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest text that is answered to a request that is no review, in characters; it quotes that request.
const REASON_LIMIT: usize = 200;

/// `POST /validate`.
pub fn router(reviewer: Reviewer) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(reviewer))
}

async fn validate(State(reviewer): State<Arc<Reviewer>>, request: Request) -> Response {
    let body = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &()));
    let body = match body.await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) => return rejection.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let answer = reviewer.answer(&body).or_else(|error| {
        let rest = without_objects(&body).ok_or(error)?;
        tracing::warn!("an object that is not understood is admitted");
        reviewer.answer(rest.as_bytes())
    });
    match answer {
        Ok(review) => Json(review).into_response(),
        Err(error) => bad_request(&error),
    }
}

/// A review without its objects: what is left where they are not understood, and enough to admit them.
fn without_objects(body: &[u8]) -> Option<String> {
    let mut review: Value = serde_json::from_slice(body).ok()?;
    let request = review.get_mut("request")?.as_object_mut()?;
    let objects = ["object", "oldObject"].map(|key| request.remove(key));
    objects
        .iter()
        .any(Option::is_some)
        .then(|| review.to_string())
}

/// A refusal in the API's own format, which the API server shows to whoever sent the request.
fn bad_request(error: &BadReview) -> Response {
    let error = shortened(&printable(&error.to_string()));
    tracing::warn!(error, "a request that is no AdmissionReview");
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "BadRequest", "code": 400,
        "message": format!("gpu-capgate: {error}"),
    });
    (
        StatusCode::BAD_REQUEST,
        [(header::CONTENT_TYPE, "application/json")],
        status.to_string(),
    )
        .into_response()
}

/// Text that quotes a stranger, without what a terminal would obey.
fn printable(text: &str) -> String {
    let letter = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(letter).collect()
}

/// Cuts out the middle of what is too long: the end tells the place.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= REASON_LIMIT {
        return text.to_owned();
    }
    let half = REASON_LIMIT / 2;
    let head = text.chars().take(half);
    let tail = text.chars().skip(length - half);
    head.chain("...".chars()).chain(tail).collect()
}
