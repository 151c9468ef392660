//! The webhook's routes: bytes in, an AdmissionReview out, in time and whatever happens.
//!
//! What cannot be reviewed is admitted unchecked, in an answer that says so: too many at once, no time left, nodes not
//! known yet, a bug, an object that is not understood. Only what is no AdmissionReview gets an error. Knows nothing of
//! how a review is decided.

mod body;
mod counts;
mod deadline;
mod envelope;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::body::{End, Read, Room};
use super::review::{BadReview, Judged, Reply};
use crate::telemetry::metrics::Label;

pub use counts::{ReviewCounts, Reviewed, Unchecked};

/// Bodies from this size on, in bytes, are reviewed on a thread of their own, and only so many at once: they take
/// milliseconds. All others are reviewed where they are read, so there are never more of them than threads.
const LARGE: usize = 256 * 1024;
/// Most JSON values in a review. Two objects of the API server's largest size have fewer: it takes 16 bytes and more to
/// write a field of a Pod. Parsed, a value takes 32 bytes at least however short it is written, and is held twice.
const MOST_VALUES: usize = 384 * 1024;
/// Longest text that is answered to a request that is no review, in characters; it quotes that request.
const REASON_LIMIT: usize = 200;

/// What a review came to.
pub type Answer = Result<Judged, BadReview>;

/// Ends a review before a deadline: asks outside where that is needed.
type Finish = dyn Fn(Judged, Instant) -> BoxFuture<'static, Reply> + Send + Sync;

type Decide = dyn Fn(&[u8]) -> Answer + Send + Sync;

/// How much is done at once; what comes on top is admitted unchecked, at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Reviews of 256 KiB and more that are being decided.
    pub large_reviews: usize,
    /// Bytes of all bodies that are being read or reviewed.
    pub bytes: usize,
}

impl Default for Limits {
    /// Two of the largest reviews, or a thousand of the usual ones; with the worst of contents, less than 200 MiB.
    fn default() -> Self {
        Self {
            large_reviews: 4,
            bytes: 16 * 1024 * 1024,
        }
    }
}

/// Limits as they are used up, by all routes that have them together.
#[derive(Clone)]
pub struct Capacity {
    places: Arc<Semaphore>,
    room: Room,
}

impl From<Limits> for Capacity {
    fn from(limits: Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.large_reviews)),
            room: Room::new(limits.bytes),
        }
    }
}

/// Which question a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Whether an object is admitted.
    Validate,
    /// How a Pod is changed; who answers counts what becomes of it.
    Mutate,
}

/// What the route needs.
struct Webhook {
    route: Route,
    answer: Box<Decide>,
    finish: Box<Finish>,
    synced: Box<dyn Fn() -> bool + Send + Sync>,
    capacity: Capacity,
    counts: ReviewCounts,
}

/// How a request ends.
enum Outcome {
    Judged(Box<Judged>),
    Unchecked { uid: String, reason: Unchecked },
    Refused { code: StatusCode, error: String },
}

/// `POST /validate`. `answer` decides a review, without waiting for anything; `finish` makes the answer of it, and may
/// wait until the deadline; `synced` tells whether the nodes are known.
pub fn router(
    answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static,
    finish: impl Fn(Judged, Instant) -> BoxFuture<'static, Reply> + Send + Sync + 'static,
    synced: impl Fn() -> bool + Send + Sync + 'static,
    capacity: impl Into<Capacity>,
    counts: ReviewCounts,
) -> Router {
    served(Webhook {
        route: Route::Validate,
        answer: Box::new(answer),
        finish: Box::new(finish),
        synced: Box::new(synced),
        capacity: capacity.into(),
        counts,
    })
}

/// `POST /mutate`. `answer` says how a Pod is changed; what it says is sent as it is.
pub fn mutations(
    answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static,
    synced: impl Fn() -> bool + Send + Sync + 'static,
    capacity: impl Into<Capacity>,
    counts: ReviewCounts,
) -> Router {
    served(Webhook {
        route: Route::Mutate,
        answer: Box::new(answer),
        finish: Box::new(|judged, _| std::future::ready(judged.reply).boxed()),
        synced: Box::new(synced),
        capacity: capacity.into(),
        counts,
    })
}

fn served(webhook: Webhook) -> Router {
    let path = match webhook.route {
        Route::Validate => "/validate",
        Route::Mutate => "/mutate",
    };
    Router::new()
        .route(path, post(asked))
        .with_state(Arc::new(webhook))
}

async fn asked(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let counts = &webhook.counts;
    let _held = counts.in_flight.hold();
    let begin = Instant::now();
    let deadline = begin + deadline::budget(request.uri().query());
    let outcome = review(&webhook, request, deadline).await;
    let response = respond(&webhook, outcome, deadline).await;
    counts.duration.observe(begin.elapsed());
    response
}

async fn respond(webhook: &Webhook, outcome: Outcome, deadline: Instant) -> Response {
    let counts = &webhook.counts;
    match outcome {
        Outcome::Judged(judged) => {
            let reply = (webhook.finish)(*judged, deadline).await;
            let reviewed = reviewed(&reply);
            webhook.reviewed(reviewed);
            if reviewed == Reviewed::Unchecked {
                counts.unchecked.add(Unchecked::BadBody);
            }
            Json(reply).into_response()
        }
        Outcome::Unchecked { uid, reason } => {
            webhook.reviewed(Reviewed::Unchecked);
            counts.unchecked.add(reason);
            let reason = reason.value();
            tracing::warn!(uid, reason, "admitted unchecked");
            Json(envelope::unchecked(&uid, reason)).into_response()
        }
        Outcome::Refused { code, error } => {
            counts.bad_requests.add();
            refusal(code, &error)
        }
    }
}

impl Webhook {
    fn reviewed(&self, reviewed: Reviewed) {
        match self.route {
            Route::Validate => self.counts.reviews.add(reviewed),
            Route::Mutate => {}
        }
    }
}

async fn review(webhook: &Arc<Webhook>, request: Request, deadline: Instant) -> Outcome {
    if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Outcome::Refused {
            code: StatusCode::BAD_REQUEST,
            error: format!("the body is encoded ({encoding:?}); a review is sent as it is"),
        };
    }
    let read = body::read(request.into_body(), &webhook.capacity.room, deadline).await;
    let (reason, code) = match read.end {
        End::Whole => return decide(webhook, read, deadline).await,
        End::TooLong => (Unchecked::BadBody, StatusCode::PAYLOAD_TOO_LARGE),
        End::NoRoom => (Unchecked::Concurrency, StatusCode::SERVICE_UNAVAILABLE),
        End::Late => (Unchecked::Deadline, StatusCode::REQUEST_TIMEOUT),
        End::Broken => (Unchecked::BadBody, StatusCode::BAD_REQUEST),
    };
    unchecked(&read.bytes, reason, code)
}

/// Decides a review whose body is there.
async fn decide(webhook: &Arc<Webhook>, read: Read, deadline: Instant) -> Outcome {
    let Read { bytes, room, .. } = read;
    let bad_request = StatusCode::BAD_REQUEST;
    if !(webhook.synced)() {
        return unchecked(&bytes, Unchecked::NotSynced, bad_request);
    }
    if has_too_many_values(&bytes) {
        return unchecked(&bytes, Unchecked::BadBody, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let decided = if bytes.len() < LARGE {
        answer(webhook, &bytes)
    } else {
        let Ok(place) = Arc::clone(&webhook.capacity.places).try_acquire_owned() else {
            return unchecked(&bytes, Unchecked::Concurrency, bad_request);
        };
        let decided = apart(webhook, bytes.clone(), (place, room));
        match tokio::time::timeout_at(deadline, decided).await {
            Ok(decided) => decided,
            Err(_) => return unchecked(&bytes, Unchecked::Deadline, bad_request),
        }
    };
    decided.unwrap_or_else(|reason| unchecked(&bytes, reason, bad_request))
}

/// Whether a body may have more JSON values than are read. A value takes a byte at least, so most are too short.
fn has_too_many_values(body: &[u8]) -> bool {
    body.len() > MOST_VALUES && values(body) > MOST_VALUES
}

/// No fewer than the JSON values of a body: each but the first follows one of these letters. Texts are left out, or
/// padding in one would get an object past.
fn values(body: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' | b',' | b':' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

/// Decides on a thread of its own, which holds its place and its memory also when nobody waits for it any more.
async fn apart(
    webhook: &Arc<Webhook>,
    bytes: Bytes,
    held: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
) -> Result<Outcome, Unchecked> {
    let webhook = Arc::clone(webhook);
    let decided = tokio::task::spawn_blocking(move || {
        let _held = held;
        answer(&webhook, &bytes)
    });
    // Panics are caught inside; what is left is a runtime that ends.
    decided.await.unwrap_or(Err(Unchecked::Panic))
}

/// What the review came to; an error is the reason not to know.
fn answer(webhook: &Webhook, bytes: &[u8]) -> Result<Outcome, Unchecked> {
    // What a review shares with others are snapshots that it cannot change, so nothing is left half done.
    let decided = catch_unwind(AssertUnwindSafe(|| (webhook.answer)(bytes)));
    match decided {
        Ok(Ok(review)) => Ok(Outcome::Judged(Box::new(review))),
        Ok(Err(error)) => Ok(Outcome::Refused {
            code: StatusCode::BAD_REQUEST,
            error: error.to_string(),
        }),
        Err(_) => Err(Unchecked::Panic),
    }
}

/// Admits what begins as a review; anything else is refused with that code.
fn unchecked(beginning: &[u8], reason: Unchecked, code: StatusCode) -> Outcome {
    match envelope::uid(beginning) {
        Some(uid) => Outcome::Unchecked { uid, reason },
        None => Outcome::Refused {
            code,
            error: format!(
                "the body is no AdmissionReview of admission.k8s.io/v1 (and not read further: {})",
                reason.value()
            ),
        },
    }
}

/// What an answer's own audit annotation says became of it.
fn reviewed(reply: &Reply) -> Reviewed {
    let decision = reply.decision();
    let known =
        |reviewed: &&Reviewed| decision.is_some_and(|decision| reviewed.value() == decision);
    let found = Reviewed::ALL.iter().find(known);
    found.copied().unwrap_or(Reviewed::NotConcerned)
}

/// A refusal in the API's own format, which the API server shows to whoever sent the request.
fn refusal(code: StatusCode, error: &str) -> Response {
    let error = shortened(&printable(error));
    tracing::warn!(error, "a request that is no AdmissionReview");
    let reason = match code {
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
        StatusCode::REQUEST_TIMEOUT => "Timeout",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        _ => "BadRequest",
    };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code.as_u16(),
        "message": format!("gpu-capgate: {error}"),
    });
    (code, Json(status)).into_response()
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
