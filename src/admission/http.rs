//! The webhook's routes: bytes in, an AdmissionReview out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use super::review::{BadReview, Reviewer};

/// Largest review, in bytes: the API server takes objects of 3 MiB and sends the old one beside the new.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// `POST /validate`.
pub fn router(reviewer: Reviewer) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(reviewer))
}

async fn validate(State(reviewer): State<Arc<Reviewer>>, body: Bytes) -> Response {
    match reviewer.answer(&body) {
        Ok(review) => Json(review).into_response(),
        Err(error) => bad_request(&error),
    }
}

/// A refusal in the API's own format, which the API server shows to whoever sent the request.
fn bad_request(error: &BadReview) -> Response {
    tracing::warn!(%error, "a request that is no AdmissionReview");
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
