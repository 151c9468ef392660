//! Reviews of Pods with two containers that ask for GPUs, as the API server sends them, of 6 KiB each; and the webhook
//! that answers them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::review::Reviewer;
use gpu_capgate::cluster::fleet::{NodeObject, Roster, Settings};
use gpu_capgate::cluster::watch::ClusterState;
use gpu_capgate::compat::Catalog;
use gpu_capgate::image::repositories::Repositories;
use serde_json::{Value, json};

use super::nodes::{CLASSES, node};

/// Stands in every Pod's command; [`Case::another`] puts a number in its place.
const RUN: &str = "run-000000";
/// What a review weighs, in bytes.
const LENGTH: usize = 6 * 1024;
/// torch 2.8.0 for CUDA 12.6 has code for every GPU of the fleet; that for CUDA 12.8 has none for the P100; and CUDA 13.0
/// needs a newer driver than any of its nodes has.
const FITS: &str = "pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime";
const NOT_ON_P100: &str = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime";
const FITS_NOWHERE: &str = "pytorch/pytorch:2.9.1-cuda13.0-cudnn9-runtime";
/// Its nodes have P100s.
const P100_POOL: &str = "pool-0";

/// A kind of review, and what has to stand in its answer.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) answer: &'static str,
}

impl Case {
    /// The same review of a Pod that differs in a word of its command: it fares as this one does, and equals no other.
    pub(crate) fn another(&self, number: usize) -> Vec<u8> {
        let text = String::from_utf8(self.body.clone()).unwrap();
        text.replace(RUN, &format!("run-{:06}", number % 1_000_000))
            .into_bytes()
    }
}

/// What is measured.
pub(crate) fn cases() -> Vec<Case> {
    let case = |name, image, pool, answer| Case {
        name,
        body: review(image, pool),
        answer,
    };
    let no_gpu = {
        let mut pod = pod(FITS, None);
        for container in pod["spec"]["containers"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            container["resources"] = json!({"limits": {"cpu": "8"}});
        }
        padded(pod)
    };
    vec![
        case("allowed, any node", FITS, None, r#""decision":"allow""#),
        case(
            "allowed, one pool",
            FITS,
            Some(P100_POOL),
            r#""decision":"allow""#,
        ),
        case(
            "warned, any node",
            NOT_ON_P100,
            None,
            r#""decision":"warn""#,
        ),
        case(
            "denied, any node",
            FITS_NOWHERE,
            None,
            r#""decision":"deny""#,
        ),
        case(
            "denied, one pool",
            NOT_ON_P100,
            Some(P100_POOL),
            r#""decision":"deny""#,
        ),
        Case {
            name: "not concerned",
            body: no_gpu,
            answer: r#""allowed":true"#,
        },
    ]
}

/// A reviewer that knows that many nodes.
pub(crate) fn reviewer(nodes: usize) -> Reviewer {
    let mut roster = Roster::new(Settings::default(), Catalog::embedded());
    for index in 0..nodes {
        roster.put_node(&NodeObject::from_json(&node(index)).unwrap());
    }
    let fleet = roster.fleet();
    assert_eq!(
        (fleet.nodes(), fleet.classes().count()),
        (nodes, CLASSES.min(nodes))
    );
    Reviewer::new(
        Arc::new(ArcSwap::from_pointee(ClusterState::of(fleet))),
        Arc::new(ArcSwap::from_pointee(Configuration::default())),
        Repositories::bundled().unwrap(),
    )
}

fn review(image: &str, pool: Option<&str>) -> Vec<u8> {
    padded(pod(image, pool))
}

fn pod(image: &str, pool: Option<&str>) -> Value {
    let container = |name: &str, image: &str| {
        json!({
            "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-m", "train", "--config", "/etc/train/config.yaml", RUN],
            "env": [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "OMP_NUM_THREADS", "value": "8"}],
            "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1", "cpu": "8"}},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "train-0", "namespace": "ml", "labels": {"app": "train", "team": "vision"}},
        "spec": {
            "containers": [container("train", image), container("evaluate", FITS)],
            "nodeSelector": pool.map(|pool| json!({"pool": pool})).unwrap_or(json!({})),
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "serviceAccountName": "train", "restartPolicy": "Never",
        },
    })
}

/// The review of a Pod's creation, filled up with what nobody reads, as managed fields do it.
fn padded(mut pod: Value) -> Vec<u8> {
    let missing = LENGTH.saturating_sub(creation(&pod).len());
    let fields = ["f:spec", "f:containers", "f:image", "f:resources"].join(".");
    let entry =
        json!({"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1"});
    let mut entries = Vec::new();
    for number in 0..missing / 120 {
        let mut entry = entry.clone();
        entry["fieldsV1"] = json!({format!("{fields}.{number}"): {}});
        entries.push(entry);
    }
    pod["metadata"]["managedFields"] = json!(entries);
    let rest =
        LENGTH.saturating_sub(creation(&pod).len() + r#","annotations":{"padding":""}"#.len());
    pod["metadata"]["annotations"] = json!({"padding": "x".repeat(rest)});
    creation(&pod)
}

fn creation(pod: &Value) -> Vec<u8> {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": kind, "resource": resource, "requestKind": kind,
            "requestResource": resource, "name": "train-0", "namespace": "ml", "operation": "CREATE",
            "userInfo": {"username": "ada", "groups": ["system:authenticated"]},
            "object": pod, "oldObject": null, "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    });
    review.to_string().into_bytes()
}
