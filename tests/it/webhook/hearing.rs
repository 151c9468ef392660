//! The way from a judgement to the answer: the look at the owner of what would be refused, and the word to it; through
//! the webhook's route, against an API server that answers as it likes.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use futures::FutureExt;
use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::events::Events;
use gpu_capgate::admission::hearing::{Hearing, Installed};
use gpu_capgate::admission::http::{Limits, ReviewCounts, router};
use gpu_capgate::admission::owner::Owners;
use gpu_capgate::telemetry::metrics::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{WITH_SM_60, WITHOUT_SM_60, answer, creation, p100, pod, reviewer};
use crate::support::asked_server::{Asked, AskedServer};
use crate::support::{skip_a_minute, within};

const INSTALLED: &str = "2026-06-01T12:00:00Z";
const OLD: &str = "2026-05-01T00:00:00Z";
const NEW: &str = "2026-06-02T00:00:00Z";

/// A webhook with P100 nodes that has been installed, and the API server that it asks.
struct Subject {
    router: Router,
    server: AskedServer,
    registry: Registry,
    installed: Installed,
    events: Events,
    _stop: DropGuard,
}

impl Subject {
    async fn new(configuration: &str) -> Self {
        let (server, registry) = (AskedServer::start().await, Registry::default());
        let reviewer = reviewer([p100()]);
        let configuration = Configuration::parse(configuration.as_bytes()).unwrap();
        reviewer.configuration.store(Arc::new(configuration));
        let (events, recorder) = Events::new(server.client(), "gpu-capgate-webhook");
        let stop = CancellationToken::new();
        tokio::spawn(recorder.run(stop.clone()));
        let installed = Installed::default();
        installed.store(Some(Arc::new(INSTALLED.parse().unwrap())));
        let owners = Owners::new(server.client());
        let hearing = Hearing::new(owners, Arc::clone(&installed), events.clone(), &registry);
        let hearing = Arc::new(hearing);
        let router = router(
            move |body: &[u8]| reviewer.answer(body),
            move |judged, deadline| {
                let hearing = Arc::clone(&hearing);
                async move { hearing.end(judged, deadline).await }.boxed()
            },
            || true,
            Limits::default(),
            ReviewCounts::new(&registry),
        );
        Self {
            router,
            server,
            registry,
            installed,
            events,
            _stop: stop.drop_guard(),
        }
    }

    /// Sends a review, which may wait for the API server.
    fn send(&self, review: &Value) -> JoinHandle<Value> {
        let (router, review) = (self.router.clone(), review.clone());
        tokio::spawn(async move { answer(&router, &review).await })
    }

    /// What a creation is answered if the API server says that of the owner.
    async fn asked(&mut self, object: &Value, say: impl FnOnce(Asked)) -> Value {
        let sent = self.send(&creation(object));
        let asked = self.server.asked().await;
        assert_eq!(asked.method, Method::GET);
        assert_eq!(
            asked.path,
            "/apis/apps/v1/namespaces/ml/replicasets/train-6d9f"
        );
        say(asked);
        within("the answer", sent).await.unwrap()
    }

    /// What a creation is answered without a question.
    async fn unasked(&self, object: &Value) -> Value {
        let response = within("the answer", self.send(&creation(object))).await;
        response.unwrap()
    }

    fn counts(&self, line: &str) {
        let page = self.registry.page();
        assert!(
            page.lines().any(|written| written == line),
            "{line} is not in\n{page}"
        );
    }

    /// The Event that is written next.
    async fn event(&mut self) -> Value {
        let asked = self.server.asked().await;
        assert_eq!(asked.method, Method::POST);
        let body = asked.body.clone();
        asked.answer(&body);
        body
    }

    /// Waits until the recorder has taken everything that it was told, by telling it something more.
    async fn nothing_else_is_told(&mut self) {
        let object = owned_by(
            &json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "last",
            "uid": "uid-last", "controller": true}),
        );
        let sent = self.send(&creation(&object));
        let asked = self.server.asked().await;
        assert_eq!(asked.path, "/apis/apps/v1/namespaces/ml/replicasets/last");
        asked.refuse(404);
        sent.await.unwrap();
        assert_eq!(self.event().await["regarding"]["name"], "last");
    }
}

fn owned_by(reference: &Value) -> Value {
    let mut pod = pod(WITHOUT_SM_60);
    pod["metadata"]["ownerReferences"] = json!([reference]);
    pod
}

/// A Pod of a ReplicaSet.
fn owned() -> Value {
    owned_by(
        &json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "train-6d9f", "uid": "uid-1",
        "controller": true}),
    )
}

fn made(created: &str, uid: &str) -> impl FnOnce(Asked) {
    let metadata = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": "train-6d9f", "namespace": "ml", "uid": uid, "creationTimestamp": created}});
    move |asked| asked.answer(&metadata)
}

fn is_refused(response: &Value) {
    assert_eq!(response["allowed"], false, "{response}");
    assert_eq!(
        response["auditAnnotations"]["decision"], "deny",
        "{response}"
    );
}

fn warning(response: &Value) -> &str {
    assert_eq!(response["allowed"], true, "{response}");
    let audit = &response["auditAnnotations"];
    assert_eq!(
        (&audit["decision"], &audit["codes"]),
        (&json!("warn"), &json!("GPU-ARCH"))
    );
    response["warnings"][0].as_str().unwrap()
}

#[tokio::test]
async fn pods_of_an_owner_that_was_there_before_are_warned_counted_and_annotated() {
    let mut subject = Subject::new("").await;
    let warned = subject.asked(&owned(), made(OLD, "uid-1")).await;
    let line = warning(&warned);
    assert!(
        line.contains("its owner is older than this check (enforceExisting refuses it)"),
        "{line}"
    );
    assert!(line.chars().count() <= 250, "{line}");
    assert_eq!(
        warned["auditAnnotations"]["owner"],
        "older than the installation"
    );
    subject.counts("gpu_capgate_owner_lookups_total{owner=\"older\"} 1");
    subject.counts("gpu_capgate_reviews_total{decision=\"warn\"} 1");
}

#[tokio::test]
async fn pods_of_an_owner_that_came_later_are_refused() {
    let mut subject = Subject::new("").await;
    for created in [INSTALLED, NEW] {
        is_refused(&subject.asked(&owned(), made(created, "uid-1")).await);
        // The first of two refusals is told to the owner.
        if created == INSTALLED {
            subject.event().await;
        }
    }
    subject.counts("gpu_capgate_owner_lookups_total{owner=\"younger\"} 2");
}

#[tokio::test]
async fn an_owner_that_is_made_up_helps_nobody() {
    let mut subject = Subject::new("").await;
    is_refused(&subject.asked(&owned(), |asked| asked.refuse(404)).await);
    subject.event().await;
    is_refused(&subject.asked(&owned(), made(OLD, "uid-of-another")).await);
    is_refused(&subject.asked(&owned(), |asked| asked.refuse(403)).await);
    subject.counts("gpu_capgate_owner_lookups_total{owner=\"unproven\"} 3");
}

#[tokio::test]
async fn an_owner_whose_reference_leads_elsewhere_is_not_looked_up() {
    let subject = Subject::new("").await;
    for (field, value) in [
        ("name", "../../../kube-system/secrets/token"),
        ("kind", "ReplicaSet/x"),
        ("apiVersion", "apps/v1/namespaces"),
        ("uid", ""),
    ] {
        let mut pod = owned();
        pod["metadata"]["ownerReferences"][0][field] = json!(value);
        is_refused(&subject.unasked(&pod).await);
    }
    subject.counts("gpu_capgate_owner_lookups_total{owner=\"unproven\"} 4");
    assert!(!subject.server.has_unread());
}

#[tokio::test]
async fn an_api_server_that_cannot_tell_makes_a_warning_that_says_so() {
    let mut subject = Subject::new("").await;
    let warned = subject.asked(&owned(), |asked| asked.refuse(503)).await;
    let line = warning(&warned);
    assert!(
        line.contains("the age of its owner is not known now"),
        "{line}"
    );
    assert!(
        line.chars().count() <= 250 && !line.ends_with("..."),
        "{line}"
    );
    assert_eq!(warned["auditAnnotations"]["owner"], "of unknown age");
    subject.counts("gpu_capgate_owner_lookups_total{owner=\"not-known\"} 1");
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_not_waited_for_past_the_deadline() {
    let mut subject = Subject::new("").await;
    let sent = subject.send(&creation(&owned()));
    let _unanswered = subject.server.asked().await;
    skip_a_minute().await;
    let warned = within("the deadline", sent).await.unwrap();
    assert!(warning(&warned).contains("is not known now"), "{warned}");
}

#[tokio::test]
async fn before_it_is_known_when_we_were_installed_nobody_is_asked_and_owned_pods_are_warned() {
    let subject = Subject::new("").await;
    subject.installed.store(None);
    let warned = subject.unasked(&owned()).await;
    assert!(warning(&warned).contains("is not known now"), "{warned}");
    is_refused(&subject.unasked(&pod(WITHOUT_SM_60)).await);
}

#[tokio::test]
async fn nobody_is_asked_where_the_answer_changes_nothing() {
    let mut good = owned();
    good["spec"]["containers"][0]["image"] = json!(WITH_SM_60);
    let mut warned = owned();
    warned["metadata"]["annotations"]["gpu-capgate.io/mode"] = json!("audit");
    let subject = Subject::new("").await;
    for object in [&good, &warned] {
        assert_eq!(subject.unasked(object).await["allowed"], true);
    }
    // An owner that is no controller makes nothing.
    let mut adopted = owned();
    adopted["metadata"]["ownerReferences"][0]["controller"] = json!(false);
    for object in [&adopted, &pod(WITHOUT_SM_60)] {
        is_refused(&subject.unasked(object).await);
    }
    subject.counts("gpu_capgate_bypasses_total{by=\"pod\"} 1");
    assert!(!subject.server.has_unread());
}

#[tokio::test]
async fn an_administrator_who_enforces_for_existing_owners_has_none_looked_up() {
    let mut subject = Subject::new("enforceExisting: true").await;
    is_refused(&subject.unasked(&owned()).await);
    assert_eq!(subject.event().await["regarding"]["uid"], "uid-1");
    assert!(!subject.server.has_unread());
}

#[tokio::test]
async fn what_the_author_declares_is_counted_as_a_bypass() {
    let subject = Subject::new("").await;
    let mut declared = pod(WITHOUT_SM_60);
    declared["metadata"]["annotations"]["gpu-capgate.io/requires"] = json!("cuda=12.6; sm=60");
    assert_eq!(subject.unasked(&declared).await["allowed"], true);
    subject.counts("gpu_capgate_bypasses_total{by=\"declaration\"} 1");
}

#[tokio::test]
async fn a_dry_run_is_answered_alike_and_tells_the_owner_nothing() {
    let mut subject = Subject::new("").await;
    let mut review = creation(&owned());
    review["request"]["dryRun"] = json!(true);
    let sent = subject.send(&review);
    made(NEW, "uid-1")(subject.server.asked().await);
    let dry = within("the answer", sent).await.unwrap();
    is_refused(&dry);
    subject.nothing_else_is_told().await;
    let real = subject.asked(&owned(), made(NEW, "uid-1")).await;
    assert_eq!(real["status"], dry["status"]);
    let event = subject.event().await;
    assert_eq!(event["regarding"]["uid"], "uid-1");
    assert_eq!(
        (event["reason"].as_str(), event["type"].as_str()),
        (Some("GPU-ARCH"), Some("Warning"))
    );
    assert_eq!(subject.events.counts().dropped(), 0);
}
