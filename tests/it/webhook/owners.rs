//! The look at a Pod's owner, against an API server that answers as it likes.

use std::time::Duration;

use axum::http::Method;
use gpu_capgate::admission::owner::{Gap, OwnerAge, Owners};
use gpu_capgate::cluster::demand::Owner;
use gpu_capgate::cluster::workload::ObjectKind;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::asked_server::{Asked, AskedServer};
use crate::support::{skip_a_minute, within};

const INSTALLED: &str = "2026-06-01T12:00:00Z";

fn owner(api_version: &str, kind: &str) -> Owner {
    Owner {
        kind: ObjectKind::new(api_version, kind),
        name: "train-6d9f".to_owned(),
        uid: "uid-1".to_owned(),
    }
}

fn metadata(created: &str, uid: &str) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": "train-6d9f", "namespace": "ml", "uid": uid, "creationTimestamp": created}})
}

/// The age of an owner, and the path that was asked for.
async fn age(owner: Owner, answer: impl FnOnce(Asked)) -> (OwnerAge, String) {
    let mut server = AskedServer::start().await;
    let owners = Owners::new(server.client());
    let installed: Timestamp = INSTALLED.parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let looked = tokio::spawn(async move { owners.age("ml", &owner, installed, deadline).await });
    let asked = server.asked().await;
    assert_eq!(asked.method, Method::GET);
    assert!(
        asked.accept.contains("PartialObjectMetadata"),
        "{}",
        asked.accept
    );
    let path = asked.path.clone();
    answer(asked);
    (within("the age", looked).await.unwrap(), path)
}

#[tokio::test]
async fn an_owner_is_older_or_younger_than_the_installation() {
    for (created, expected) in [
        ("2026-06-01T11:59:59Z", OwnerAge::Older),
        ("2026-06-01T12:00:00Z", OwnerAge::Younger),
        ("2026-07-01T00:00:00Z", OwnerAge::Younger),
    ] {
        let answer = |asked: Asked| asked.answer(&metadata(created, "uid-1"));
        let (age, path) = age(owner("apps/v1", "ReplicaSet"), answer).await;
        assert_eq!(age, expected, "{created}");
        assert_eq!(path, "/apis/apps/v1/namespaces/ml/replicasets/train-6d9f");
    }
}

#[tokio::test]
async fn owners_are_asked_for_where_their_kind_is_served() {
    for (api_version, kind, expected) in [
        (
            "v1",
            "ReplicationController",
            "/api/v1/namespaces/ml/replicationcontrollers/train-6d9f",
        ),
        (
            "batch/v1",
            "Job",
            "/apis/batch/v1/namespaces/ml/jobs/train-6d9f",
        ),
        (
            "kubeflow.org/v1",
            "PyTorchJob",
            "/apis/kubeflow.org/v1/namespaces/ml/pytorchjobs/train-6d9f",
        ),
        (
            "ray.io/v1",
            "RayCluster",
            "/apis/ray.io/v1/namespaces/ml/rayclusters/train-6d9f",
        ),
        (
            "argoproj.io/v1alpha1",
            "Workflow",
            "/apis/argoproj.io/v1alpha1/namespaces/ml/workflows/train-6d9f",
        ),
    ] {
        let (_, path) = age(owner(api_version, kind), |asked| asked.refuse(404)).await;
        assert_eq!(path, expected);
    }
}

#[tokio::test]
async fn an_owner_that_cannot_be_seen_is_of_unknown_age() {
    let old = "2020-01-01T00:00:00Z";
    let replica_set = || owner("apps/v1", "ReplicaSet");
    let another = |asked: Asked| asked.answer(&metadata(old, "uid-2"));
    assert_eq!(
        age(replica_set(), another).await.0,
        OwnerAge::Unknown(Gap::Gone)
    );
    for (code, gap) in [
        (404, Gap::Gone),
        (403, Gap::Forbidden),
        (500, Gap::Failed),
        (503, Gap::Failed),
    ] {
        let refused = age(replica_set(), |asked| asked.refuse(code)).await.0;
        assert_eq!(refused, OwnerAge::Unknown(gap), "{code}");
    }
    let nonsense = |asked: Asked| asked.answer(&json!(["no object"]));
    assert_eq!(
        age(replica_set(), nonsense).await.0,
        OwnerAge::Unknown(Gap::Failed)
    );
    let mut undated = metadata(old, "uid-1");
    undated["metadata"]["creationTimestamp"].take();
    let undated = |asked: Asked| asked.answer(&undated);
    assert_eq!(
        age(replica_set(), undated).await.0,
        OwnerAge::Unknown(Gap::Failed)
    );
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for_past_the_deadline() {
    let mut server = AskedServer::start().await;
    let owners = Owners::new(server.client());
    let owner = owner("apps/v1", "ReplicaSet");
    let deadline = Instant::now() + Duration::from_secs(20);
    let looked =
        tokio::spawn(async move { owners.age("ml", &owner, Timestamp::now(), deadline).await });
    let _unanswered = server.asked().await;
    skip_a_minute().await;
    let age = within("the deadline", looked).await.unwrap();
    assert_eq!(age, OwnerAge::Unknown(Gap::TimedOut));
}

#[tokio::test]
async fn a_reference_that_leads_elsewhere_is_not_followed() {
    let server = AskedServer::start().await;
    let owners = Owners::new(server.client());
    let mut owner = owner("apps/v1", "ReplicaSet");
    owner.name = "../../secrets/token".to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    let age = owners.age("ml", &owner, Timestamp::now(), deadline).await;
    assert_eq!(age, OwnerAge::Unknown(Gap::Malformed));
    assert!(!server.has_unread());
}
