//! What is meant to get a Pod past the webhook that no node can run, and does not: every way to write one is refused,
//! and the same Pod with an image that runs is admitted, so that nothing is refused for the way it is written.

use std::sync::LazyLock;

use axum::Router;
use gpu_capgate::cluster::demand::{Origin, Reader, Reading};
use gpu_capgate::cluster::manifest::{self, Limits};
use gpu_capgate::cluster::resource::GpuResources;
use gpu_capgate::cluster::workload::Kinds;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::webhook::{
    RESOURCE, WITH_SM_60, WITHOUT_SM_60, answer, creation, labelled, p100, pod, update, webhook,
};
use writing::{Writing, writings};

mod kinds;
mod writing;

/// Nodes on which code for 7.0 and later never runs and code for 5.0 and later does, large enough for any amount here,
/// some behind taints.
fn nodes() -> Vec<Value> {
    let large = |mut node: Value| {
        for amounts in ["capacity", "allocatable"] {
            node["status"][amounts] = json!({RESOURCE: "100k", "cpu": "64", "memory": "1Ti"});
        }
        node
    };
    let mut tainted = large(p100());
    tainted["spec"] =
        json!({"taints": [{"key": RESOURCE, "value": "present", "effect": "NoSchedule"}]});
    vec![
        large(p100()),
        large(labelled("Tesla M40", "5.2")),
        tainted,
        large(p100()),
    ]
}

/// One runtime and one webhook for all cases of all properties.
static WEBHOOK: LazyLock<(Runtime, Router)> =
    LazyLock::new(|| (Runtime::new().unwrap(), webhook(nodes())));

fn reviewed(review: &Value) -> Value {
    let (runtime, webhook) = &*WEBHOOK;
    runtime.block_on(answer(webhook, review))
}

fn assert_refused(object: &Value) {
    assert_denied(&reviewed(&creation(object)), object);
}

fn assert_denied(response: &Value, object: &Value) {
    assert_eq!(response["allowed"], false, "{response}\n{object}");
    let message = response["status"]["message"].as_str().unwrap();
    let headline = message.lines().next().unwrap();
    assert!(headline.ends_with("[GPU-ARCH]"), "{message}\n{object}");
}

fn assert_admitted(object: &Value) {
    let response = reviewed(&creation(object));
    assert_eq!(response["allowed"], true, "{response}\n{object}");
    let decision = response["auditAnnotations"]["decision"].as_str();
    assert!(
        matches!(decision, Some("allow" | "warn")),
        "it was not judged: {response}\n{object}"
    );
}

/// The decisions that `check -f` would come to on the objects of a manifest, as far as they ask for GPUs.
fn asking_in(manifest: &str) -> Vec<String> {
    let (kinds, resources) = (Kinds::bundled().unwrap(), GpuResources::default());
    let reader = Reader {
        kinds: &kinds,
        resources: &resources,
        origin: Origin::Manifest,
    };
    let reading = manifest::read("try.yaml", manifest.as_bytes(), &Limits::default());
    assert_eq!(reading.errors, [], "{manifest}");
    let mut images = Vec::new();
    for document in reading.documents {
        let Reading::Workload(workload) = reader.read(&document.object).unwrap() else {
            continue;
        };
        let containers = workload.groups.into_iter();
        let containers = containers.flat_map(|group| group.demand.containers);
        images.extend(containers.filter_map(|container| container.image));
    }
    images
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_way_to_write_a_pod_gets_an_image_past_that_no_node_can_run(writing in writings()) {
        assert_refused(&writing.pod(WITHOUT_SM_60));
    }

    #[test]
    fn no_way_to_write_a_pod_gets_an_image_refused_that_every_node_can_run(writing in writings()) {
        assert_admitted(&writing.pod(WITH_SM_60));
    }

    #[test]
    fn no_way_to_write_a_template_gets_it_past(writing in writings()) {
        let pod = writing.pod(WITHOUT_SM_60);
        let template = json!({"metadata": {"annotations": pod["metadata"]["annotations"]}, "spec": pod["spec"]});
        for (api_version, kind) in [("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("batch/v1", "Job")] {
            assert_refused(&json!({
                "apiVersion": api_version, "kind": kind, "metadata": {"generateName": "train-"},
                "spec": {"template": template},
            }));
        }
    }

    #[test]
    fn no_update_gets_past_what_a_creation_would_not(old in writings(), new in writings()) {
        for image in [WITH_SM_60, "registry.example.com/team/own:1"] {
            let (old, new) = (old.pod(image), new.pod(WITHOUT_SM_60));
            assert_denied(&reviewed(&update(&old, &new)), &new);
        }
    }

    #[test]
    fn a_list_hides_nothing_from_check(writings in prop::collection::vec(writings(), 1..4), shape in 0..4) {
        let pods: Vec<Value> = writings.iter().map(|writing| writing.pod(WITHOUT_SM_60)).collect();
        let alone: Vec<String> = pods.iter().flat_map(|pod| asking_in(&pod.to_string())).collect();
        prop_assert!(alone.len() >= pods.len());
        let list = |kind: &str, items: &[Value]| json!({"apiVersion": "v1", "kind": kind, "items": items});
        let text = match shape {
            0 => list("List", &pods).to_string(),
            1 => list("PodList", &pods).to_string(),
            2 => list("List", &[list("List", &pods)]).to_string(),
            _ => pods.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"),
        };
        prop_assert_eq!(asking_in(&text), alone);
    }
}

/// Each is refused when it is created; here something of an admitted Pod is changed into it.
#[test]
fn an_update_of_anything_that_decides_is_judged() {
    let bad = pod(WITHOUT_SM_60);
    let with = |pointer: &str, key: &str, value: Value| {
        let mut old = bad.clone();
        old.pointer_mut(pointer).unwrap()[key] = value;
        old
    };
    let container = "/spec/containers/0";
    let old = [
        with(container, "resources", json!({})),
        with(container, "resources", json!({"limits": {RESOURCE: "0"}})),
        with(container, "resources", json!({"limits": {RESOURCE: "2"}})),
        with(container, "command", json!(["pip", "install", "torch"])),
        with(
            container,
            "env",
            json!([{"name": "NVIDIA_DISABLE_REQUIRE", "value": "1"}]),
        ),
        with(
            container,
            "volumeMounts",
            json!([{"name": "conda", "mountPath": "/opt/conda"}]),
        ),
        with("/metadata/annotations", "gpu-capgate.io/mode", json!("off")),
        with(
            "/metadata/annotations",
            "gpu-capgate.io/requires",
            json!("cuda=12.6; sm=60"),
        ),
        with("/spec", "nodeSelector", json!({"pool": "elsewhere"})),
        with("/spec", "nodeName", json!("elsewhere")),
        with("/spec", "schedulerName", json!("other")),
        with("/spec", "tolerations", json!([{"operator": "Exists"}])),
        with(
            "/spec",
            "resourceClaims",
            json!([{"name": "gpu", "resourceClaimName": "gpu"}]),
        ),
        with("/spec", "containers", json!([])),
        with("/spec", "containers", json!("none of the API's")),
        with(container, "resources", json!({"limits": {RESOURCE: "one"}})),
    ];
    for old in old {
        assert_denied(&reviewed(&update(&old, &bad)), &old);
    }
}

#[test]
fn an_update_that_starts_or_frees_a_job_is_judged() {
    let job = |spec: Value, labels: Value| {
        let mut job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train", "labels": labels},
            "spec": {"template": {"metadata": {}, "spec": pod(WITHOUT_SM_60)["spec"]}},
        });
        let more = spec.as_object().unwrap().clone();
        job["spec"].as_object_mut().unwrap().extend(more);
        job
    };
    let new = job(json!({"suspend": false}), json!({}));
    let suspended = job(json!({"suspend": true}), json!({}));
    let queued = job(json!({}), json!({"kueue.x-k8s.io/queue-name": "team"}));
    for old in [suspended, queued] {
        assert_eq!(reviewed(&creation(&old))["allowed"], true, "{old}");
        assert_denied(&reviewed(&update(&old, &new)), &old);
    }
}

#[test]
fn padding_does_not_get_a_pod_past() {
    // As much as annotations may hold, and as much as etcd takes.
    for padding in [
        ",".repeat(250 * 1024),
        "[{:".repeat(400 * 1024),
        "\\\"".repeat(500 * 1024),
    ] {
        let mut padded = pod(WITHOUT_SM_60);
        padded["metadata"]["annotations"]["example.com/notes"] = json!(padding);
        assert_refused(&padded);
        let mut old = padded.clone();
        old["spec"]["containers"][0]["image"] = json!(WITH_SM_60);
        assert_denied(&reviewed(&update(&old, &padded)), &json!("padded"));
    }
}

#[test]
fn the_annotation_of_a_mirror_pod_on_something_else_hides_nothing() {
    let mark = json!({"kubernetes.io/config.mirror": "f00"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "train", "annotations": mark},
        "spec": {"template": {"metadata": {"annotations": mark}, "spec": pod(WITHOUT_SM_60)["spec"]}},
    });
    assert_refused(&deployment);
}

#[test]
fn more_templates_than_are_looked_at_are_told_as_unchecked() {
    let template = |image: &str| json!({"name": "job", "template": {"spec": {"template": {"spec": pod(image)["spec"]}}}});
    let mut jobs = vec![template(WITH_SM_60); 1100];
    jobs.push(template(WITHOUT_SM_60));
    let set = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "train"},
        "spec": {"replicatedJobs": jobs},
    });
    let response = reviewed(&creation(&set));
    assert_eq!(
        response["auditAnnotations"]["decision"], "unchecked",
        "{response}"
    );
}

#[test]
fn fields_that_are_none_of_the_apis_hide_nothing() {
    let mut deep = json!(null);
    for level in 0..50 {
        deep = json!({format!("level-{level}"): [deep]});
    }
    let mut pod = pod(WITHOUT_SM_60);
    for place in [
        "",
        "/metadata",
        "/spec",
        "/spec/containers/0",
        "/spec/containers/0/resources",
    ] {
        pod.pointer_mut(place).unwrap()["unknown"] = deep.clone();
    }
    assert_refused(&pod);
}

/// Names that no registry has, names in registries of which nothing is known, and a digest that nobody has read.
#[test]
fn a_name_that_tells_nothing_is_left_unchecked() {
    let digest = format!("@sha256:{}", "0f".repeat(32));
    for image in [
        "PyTorch/PyTorch:2.8.0-cuda12.8-cudnn9-runtime",
        "pytorch/pytorch:2.8.0-CUDA12.8-cudnn9-runtime",
        "pytorch/pytorch: 2.8.0-cuda12.8-cudnn9-runtime",
        "registry.example.com/mirror/pytorch:2.8.0-cuda12.8-cudnn9-runtime",
        "registry.example.com/team/own:latest",
        &format!("pytorch/pytorch{digest}"),
    ] {
        let response = reviewed(&creation(&pod(image)));
        assert_eq!(response["allowed"], true, "{response}");
        assert_eq!(
            response["auditAnnotations"]["decision"], "undecided",
            "{response}"
        );
    }
}

/// A container that counts GPUs gets those of the nodes, whatever its claims bring besides.
#[test]
fn a_claim_beside_the_gpus_hides_nothing() {
    let claimed = |image: &str| {
        let mut pod = pod(image);
        pod["spec"]["resourceClaims"] = json!([{"name": "nic", "resourceClaimName": "nic"}]);
        pod["spec"]["containers"][0]["resources"]["claims"] = json!([{"name": "nic"}]);
        pod
    };
    assert_refused(&claimed(WITHOUT_SM_60));
    assert_admitted(&claimed(WITH_SM_60));
}

/// An unused kind of writing would test nothing.
#[test]
fn the_writings_differ() {
    let writing = Writing::plain();
    assert_eq!(
        writing.pod(WITHOUT_SM_60)["spec"]["containers"][0]["image"],
        WITHOUT_SM_60
    );
    assert_refused(&writing.pod(WITHOUT_SM_60));
    assert_admitted(&writing.pod(WITH_SM_60));
}
