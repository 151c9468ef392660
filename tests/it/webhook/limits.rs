//! What becomes of a review that cannot be looked at: it is admitted, at once, and the answer says so.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use gpu_capgate::admission::http::{Answer, Limits, ReviewCounts, router};
use gpu_capgate::telemetry::metrics::Registry;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt;

use super::{UID, WITHOUT_SM_60, as_judged, creation, p100, pod, post, reviewer, update, webhook};
use crate::support::http::text;
use crate::support::within;

/// A webhook whose reviews the test decides, and its metrics.
struct Subject {
    router: Router,
    registry: Registry,
}

fn subject(
    limits: Limits,
    answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static,
    synced: bool,
) -> Subject {
    let registry = Registry::default();
    let counts = ReviewCounts::new(&registry);
    Subject {
        router: router(answer, as_judged, move || synced, limits, counts),
        registry,
    }
}

impl Subject {
    fn counted(&self, line: &str) {
        let page = self.registry.page();
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }

    /// Posts and holds the answer to be "unchecked" for that reason, there and in the metrics.
    async fn is_unchecked(&self, body: impl Into<Body>, reason: &str) {
        let (status, answer) = post(&self.router, body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer, unchecked(reason));
        self.counted(&format!(
            "gpu_capgate_unchecked_total{{reason=\"{reason}\"}} 1"
        ));
        self.counted("gpu_capgate_reviews_total{decision=\"unchecked\"} 1");
        self.counted("gpu_capgate_review_duration_seconds_count 1");
    }
}

fn unchecked(reason: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": UID, "allowed": true, "auditAnnotations": {"decision": "unchecked", "reason": reason}},
    })
}

fn review() -> Value {
    creation(&pod(WITHOUT_SM_60))
}

/// A review that is decided on a thread of its own, for its size.
fn large_review() -> Value {
    let mut pod = pod(WITHOUT_SM_60);
    pod["metadata"]["annotations"]["padding"] = json!("x".repeat(300_000));
    creation(&pod)
}

/// As the API server writes it: the uid comes first.
fn as_sent(review: &Value) -> String {
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"{UID}","object":{}}}}}"#,
        review["request"]["object"]
    )
}

fn answering(reviewer: gpu_capgate::admission::review::Reviewer) -> impl Fn(&[u8]) -> Answer {
    move |body| reviewer.answer(body)
}

/// An answer that tells when it has begun and waits until the test drops the sender.
fn stuck(begun: Arc<Notify>, until: Receiver<()>) -> impl Fn(&[u8]) -> Answer {
    let (until, reviewer) = (Mutex::new(until), reviewer([p100()]));
    move |body| {
        begun.notify_one();
        let _ = until.lock().unwrap().recv();
        reviewer.answer(body)
    }
}

#[tokio::test]
async fn a_panic_is_an_unchecked_admission_and_the_next_review_is_decided() {
    let reviewer = reviewer([p100()]);
    let answer = move |body: &[u8]| {
        assert!(body.len().is_multiple_of(2), "an odd bug");
        reviewer.answer(body)
    };
    let subject = subject(Limits::default(), answer, true);
    let (mut odd, mut even) = (review().to_string(), review().to_string());
    if odd.len().is_multiple_of(2) {
        odd.push(' ');
    } else {
        even.push(' ');
    }
    subject.is_unchecked(odd, "panic").await;
    let (status, answer) = post(&subject.router, even).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.contains("\"allowed\":false"), "{answer}");
    subject.counted("gpu_capgate_reviews_total{decision=\"deny\"} 1");
}

#[tokio::test]
async fn a_panic_on_a_thread_of_its_own_is_an_unchecked_admission() {
    let answer = |_: &[u8]| -> Answer { panic!("a bug") };
    let subject = subject(Limits::default(), answer, true);
    subject
        .is_unchecked(large_review().to_string(), "panic")
        .await;
}

#[tokio::test]
async fn a_review_before_the_nodes_are_known_is_an_unchecked_admission() {
    let subject = subject(Limits::default(), answering(reviewer([])), false);
    subject
        .is_unchecked(review().to_string(), "not-synced")
        .await;
}

#[tokio::test]
async fn one_review_too_many_is_answered_at_once() {
    let (begun, (release, until)) = (Arc::new(Notify::new()), channel());
    let limits = Limits {
        large_reviews: 1,
        ..Limits::default()
    };
    let subject = subject(limits, stuck(Arc::clone(&begun), until), true);
    let (router, body) = (subject.router.clone(), large_review().to_string());
    let first = tokio::spawn(async move { post(&router, body).await });
    within("the first review", begun.notified()).await;
    // Nothing ends the first one before this is answered.
    subject
        .is_unchecked(large_review().to_string(), "concurrency")
        .await;
    drop(release);
    let (_, answer) = within("the first answer", first).await.unwrap();
    assert!(answer.contains("\"allowed\":false"), "{answer}");
}

#[tokio::test]
async fn a_review_for_which_there_is_no_memory_is_answered_by_its_beginning() {
    let limits = Limits {
        bytes: 64 * 1024,
        ..Limits::default()
    };
    let subject = subject(limits, answering(reviewer([p100()])), true);
    subject
        .is_unchecked(as_sent(&large_review()), "concurrency")
        .await;
    let (_, answer) = post(&subject.router, review().to_string()).await;
    assert!(answer.contains("\"allowed\":false"), "{answer}");
}

#[tokio::test]
async fn a_review_that_is_larger_than_any_is_admitted_by_its_beginning() {
    let subject = subject(Limits::default(), answering(reviewer([p100()])), true);
    let mut pod = pod(WITHOUT_SM_60);
    pod["metadata"]["annotations"]["padding"] = json!("x".repeat(9 * 1024 * 1024));
    let body = as_sent(&creation(&pod));
    subject.is_unchecked(body, "bad-body").await;
}

#[tokio::test]
async fn a_review_that_takes_too_long_is_answered_before_the_api_server_gives_up() {
    let (begun, (release, until)) = (Arc::new(Notify::new()), channel());
    let subject = subject(Limits::default(), stuck(Arc::clone(&begun), until), true);
    let request = Request::post("/validate?timeout=1s")
        .body(Body::from(large_review().to_string()))
        .unwrap();
    let asked = std::time::Instant::now();
    let answer = within("an answer", subject.router.clone().oneshot(request)).await;
    let (_, answer) = text(answer.unwrap()).await;
    assert!(asked.elapsed() >= Duration::from_millis(500));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer, unchecked("deadline"));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_too_slowly_is_answered_by_its_beginning() {
    let subject = subject(Limits::default(), answering(reviewer([p100()])), true);
    let start = as_sent(&review()).split_at(300).0.to_owned();
    let start = futures::stream::iter([Ok::<_, std::io::Error>(start)]);
    let endless = futures::StreamExt::chain(start, futures::stream::pending());
    let begin = tokio::time::Instant::now();
    subject
        .is_unchecked(Body::from_stream(endless), "deadline")
        .await;
    let waited = begin.elapsed();
    // `post` says timeout=5s.
    assert!(waited < Duration::from_millis(4100), "{waited:?}");
}

#[tokio::test]
async fn an_object_of_more_parts_than_any_is_not_parsed() {
    let answer = |_: &[u8]| -> Answer { panic!("nobody parses this") };
    let subject = subject(Limits::default(), answer, true);
    let mut pod = pod(WITHOUT_SM_60);
    pod["spec"]["rest"] = json!(vec![0; 500_000]);
    subject
        .is_unchecked(creation(&pod).to_string(), "bad-body")
        .await;
}

#[tokio::test]
async fn an_object_that_is_not_understood_is_admitted_as_unchecked() {
    for object in [json!("pod"), json!([1]), json!({"metadata": 1})] {
        let subject = subject(Limits::default(), answering(reviewer([p100()])), true);
        subject
            .is_unchecked(creation(&object).to_string(), "bad-body")
            .await;
    }
    let subject = subject(Limits::default(), answering(reviewer([p100()])), true);
    let review = update(&json!("pod"), &pod(WITHOUT_SM_60));
    subject.is_unchecked(review.to_string(), "bad-body").await;
}

#[tokio::test]
async fn a_truncated_review_is_a_bad_request() {
    let subject = subject(Limits::default(), answering(reviewer([p100()])), true);
    let body = review().to_string();
    let (status, answer) = post(&subject.router, body.split_at(body.len() / 2).0.to_owned()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["kind"], &answer["code"]),
        (&json!("Status"), &json!(400))
    );
    subject.counted("gpu_capgate_bad_requests_total 1");
}

#[tokio::test]
async fn an_encoded_body_is_a_bad_request_that_names_the_encoding() {
    let request = Request::post("/validate")
        .header("content-encoding", "deflate")
        .body(Body::from(vec![0x78, 0x9c, 0x03, 0x00]))
        .unwrap();
    let answer = webhook([p100()]).oneshot(request).await.unwrap();
    let (status, answer) = text(answer).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.contains("deflate"), "{answer}");
}

#[tokio::test]
async fn a_review_of_another_content_type_is_a_review() {
    let request = Request::post("/validate?timeout=5s")
        .header("content-type", "text/plain")
        .body(Body::from(review().to_string()))
        .unwrap();
    let answer = webhook([p100()]).oneshot(request).await.unwrap();
    let (status, answer) = text(answer).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.contains("\"allowed\":false"), "{answer}");
}
