//! The webhook: reviews as the API server sends them, its TLS, and its certificates against a fake API server.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::future::BoxFuture;
use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::http::{Limits, ReviewCounts, router};
use gpu_capgate::admission::review::{Judged, Reply, Reviewer};
use gpu_capgate::cluster::fleet::{NodeObject, Roster, Settings};
use gpu_capgate::cluster::watch::ClusterState;
use gpu_capgate::compat::Catalog;
use gpu_capgate::image::repositories::Repositories;
use gpu_capgate::labels;
use gpu_capgate::node::inventory::Inventory;
use gpu_capgate::telemetry::metrics::Registry;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::support::api_server::ApiServer;
use crate::support::gpu;
use crate::support::http::text;
use crate::support::process::gpu_capgate;

mod certificates;
mod events;
mod files;
mod hearing;
mod hostile;
mod limits;
mod metrics;
mod modes;
mod owners;
mod program;
mod review;
mod steer;
mod tls;

/// Where the program keeps its CA.
const CA_SECRET: &str = "--ca-secret=ca";

/// The real program in front of that API server, with more arguments.
fn program_of(api: &ApiServer, folder: &Path, more: &[&str]) -> Command {
    let arguments = [
        "webhook",
        "--listen=127.0.0.1:0",
        "--health-listen=127.0.0.1:0",
        "--namespace=gpu-capgate",
        "--service=webhook",
        "--configuration=capgate",
    ];
    let mut command = gpu_capgate(&[&arguments[..], more].concat());
    command.env("KUBECONFIG", api.kubeconfig(folder));
    command
}

pub(crate) const RESOURCE: &str = "nvidia.com/gpu";
const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";
/// torch 2.8.0 for CUDA 12.8 has code for 7.0 to 12.0; the one for CUDA 12.6 for 5.0 to 9.0
/// (pytorch/pytorch, release/2.8: `.ci/manywheel/build_cuda.sh`).
pub(crate) const WITHOUT_SM_60: &str = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime";
pub(crate) const WITH_SM_60: &str = "pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime";

/// A node that our agent has labelled.
pub(crate) fn labelled(product: &str, capability: &str) -> Value {
    let gpu = gpu("GPU-1", product, capability);
    let inventory = format!("{{driver: 570.86.15, cuda: \"12.8\", gpus: [{gpu}]}}");
    let gpus = Inventory::parse(&inventory).unwrap().node_gpus("boot-1");
    let mut node = unlabelled();
    node["metadata"]["annotations"] = json!(labels::encode(&gpus).annotations);
    node
}

/// A node that has a GPU of which nothing is known.
pub(crate) fn unlabelled() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"labels": {"pool": "batch"}},
        "status": {
            "capacity": {RESOURCE: "1"}, "allocatable": {RESOURCE: "1"},
            "nodeInfo": {"bootID": "boot-1", "architecture": "amd64"},
        },
    })
}

pub(crate) fn p100() -> Value {
    labelled("Tesla P100-PCIE-16GB", "6.0")
}

pub(crate) fn reviewer(nodes: impl IntoIterator<Item = Value>) -> Reviewer {
    let catalog = Catalog::embedded();
    let mut roster = Roster::new(Settings::default(), catalog);
    for (number, mut node) in nodes.into_iter().enumerate() {
        node["metadata"]["name"] = json!(format!("node-{number}"));
        roster.put_node(&NodeObject::from_json(&node).unwrap());
    }
    let cluster = ClusterState::of(roster.fleet());
    Reviewer::new(
        Arc::new(ArcSwap::from_pointee(cluster)),
        Arc::new(ArcSwap::from_pointee(Configuration::default())),
        Repositories::bundled().unwrap(),
    )
}

/// Ends a review without asking anybody.
fn as_judged(judged: Judged, _deadline: Instant) -> BoxFuture<'static, Reply> {
    Box::pin(std::future::ready(judged.reply))
}

pub(crate) fn webhook(nodes: impl IntoIterator<Item = Value>) -> Router {
    let reviewer = reviewer(nodes);
    let counts = ReviewCounts::new(&Registry::default());
    let answer = move |body: &[u8]| reviewer.answer(body);
    router(answer, as_judged, || true, Limits::default(), counts)
}

/// A Pod with one container that asks for a GPU.
pub(crate) fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "train", "namespace": "ml", "annotations": {}},
        "spec": {"containers": [
            {"name": "train", "image": image, "resources": {"limits": {RESOURCE: "1"}}},
        ]},
    })
}

/// The review of a creation, as the API server sends it.
pub(crate) fn creation(object: &Value) -> Value {
    let (kind, resource) = (
        json!({"group": "", "version": "v1", "kind": "Pod"}),
        json!({"group": "", "version": "v1", "resource": "pods"}),
    );
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": UID, "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "train", "namespace": "ml", "operation": "CREATE",
            "userInfo": {"username": "ada", "groups": ["system:authenticated"]},
            "object": object, "oldObject": null, "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

/// The review of an update.
pub(crate) fn update(old: &Value, new: &Value) -> Value {
    let mut review = creation(new);
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = old.clone();
    review
}

/// Sends a body; status and body of the answer.
pub(crate) async fn post(webhook: &Router, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::post("/validate?timeout=5s")
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap();
    text(webhook.clone().oneshot(request).await.unwrap()).await
}

/// Sends a review; the response within the answer, which has to fit the request.
pub(crate) async fn answer(webhook: &Router, review: &Value) -> Value {
    let (status, body) = post(webhook, review.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let mut answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    let response = answer["response"].take();
    assert_eq!(response["uid"], review["request"]["uid"]);
    response
}
