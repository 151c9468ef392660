//! Which objects are judged, and when: what does not run yet, what changes, and what was there before.

use serde_json::{Value, json};

use super::{annotated, ask, bad, good, is_refused, is_silent, is_warned, making};
use crate::cluster::harness::{Cluster, Ran, until};

const ARCH: &str = "[GPU-ARCH]";
const OLDER: &str = "its owner is older than this check";
/// Another image without code for a P100.
const ALSO_BAD: &str = "train=pytorch/pytorch:2.7.1-cuda12.8-cudnn9-runtime";

pub(super) fn all(cluster: &Cluster) {
    what_is_not_to_run_yet_is_warned_of(cluster);
    mirror_pods_pass(cluster);
    updates_count_where_they_change_what_is_judged(cluster);
    owners_older_than_the_installation_go_on(cluster);
}

/// Makes the controller that is there before the webhook.
pub(super) fn are_older_than_the_installation(cluster: &Cluster) {
    cluster.create(&[replica_set("older")]);
}

fn replica_set(name: &str) -> Value {
    let mut set = making("apps/v1", "ReplicaSet", &bad(&["p100"]));
    set["metadata"]["name"] = json!(name);
    set
}

fn job() -> Value {
    making("batch/v1", "Job", &bad(&["p100"]))
}

fn what_is_not_to_run_yet_is_warned_of(cluster: &Cluster) {
    is_refused(&ask(cluster, &job()), ARCH);
    let later = "its Pods are checked when they are made [GPU-ARCH]";
    let mut suspended = job();
    suspended["spec"]["suspend"] = json!(true);
    is_warned(&ask(cluster, &suspended), later);
    let mut queued = job();
    queued["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "team"});
    is_warned(&ask(cluster, &queued), later);
}

fn mirror_pods_pass(cluster: &Cluster) {
    let mut pod = bad(&["p100"]);
    pod["spec"]["nodeName"] = json!("p100");
    is_refused(&ask(cluster, &pod), ARCH);
    is_silent(&ask(
        cluster,
        &annotated(pod, "kubernetes.io/config.mirror", "a"),
    ));
    // The mark means nothing on what makes Pods.
    is_refused(
        &ask(
            cluster,
            &annotated(job(), "kubernetes.io/config.mirror", "a"),
        ),
        ARCH,
    );
}

fn updates_count_where_they_change_what_is_judged(cluster: &Cluster) {
    put_what_is_there_already(cluster);
    let change = |arguments: &[&str]| {
        let there = ["--namespace=there", "--dry-run=server"];
        cluster.run("kubectl", &[arguments, &there].concat())
    };
    let held = |patch: &str| change(&["patch", "job", "held", "--type=merge", "-p", patch]);
    let passing = [
        change(&["label", "pod", "bad", "a=b"]),
        change(&["annotate", "pod", "bad", "a=b"]),
        change(&[
            "patch",
            "pod",
            "bad",
            "--subresource=status",
            "-p",
            r#"{"status": {"message": "a"}}"#,
        ]),
        change(&[
            "set",
            "image",
            "pod/bad",
            "train=pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime",
        ]),
        change(&["delete", "pod", "bad"]),
        change(&["annotate", "deployment", "bad", "a=b"]),
        change(&["scale", "deployment", "bad", "--replicas=1"]),
        change(&[
            "patch",
            "deployment",
            "bad",
            "-p",
            r#"{"spec": {"minReadySeconds": 1}}"#,
        ]),
        held(r#"{"metadata": {"labels": {"a": "b"}}}"#),
    ];
    for ran in &passing {
        is_silent(ran);
    }
    let refused = [
        change(&["set", "image", "pod/bad", ALSO_BAD]),
        change(&["set", "image", "pod/good", ALSO_BAD]),
        change(&["set", "image", "deployment/bad", ALSO_BAD]),
        change(&["annotate", "pod", "bad", "gpu-capgate.io/mode=enforce"]),
        held(r#"{"spec": {"suspend": false}}"#),
    ];
    for ran in &refused {
        is_refused(ran, ARCH);
    }
    // A container for debugging cannot ask for GPUs, and is really added: there is no dry run of it.
    let image = format!("--image={}", crate::webhook::WITHOUT_SM_60);
    let debug = ["debug", "pod/bad", "--namespace=there", "--quiet", &image];
    is_silent(&cluster.run("kubectl", &debug));
}

/// As if the webhook had not been there when these were made.
fn put_what_is_there_already(cluster: &Cluster) {
    let there = "--namespace=there";
    cluster.kubectl(&["create", "namespace", "there"]);
    cluster.kubectl(&["wait", "serviceaccount/default", "--for=create", there]);
    let mode = |label: &str| cluster.kubectl(&["label", "namespace", "there", label]);
    let named = |mut object: Value, name: &str| {
        object["metadata"]["name"] = json!(name);
        object
    };
    let tried = || super::ask_in(cluster, "there", &bad(&["p100"])).code;
    mode("gpu-capgate.io/mode=off");
    until("nobody is asked", || tried() == Some(0));
    let mut suspended = job();
    suspended["spec"]["suspend"] = json!(true);
    let objects = [
        named(bad(&["p100"]), "bad"),
        named(good(&["p100"]), "good"),
        named(making("apps/v1", "Deployment", &bad(&["p100"])), "bad"),
        named(suspended, "held"),
    ];
    let created = cluster.write("create", &objects, &[there]);
    assert_eq!(created.code, Some(0), "{created:?}");
    mode("gpu-capgate.io/mode-");
    until("the webhook is asked again", || tried() == Some(1));
}

fn owners_older_than_the_installation_go_on(cluster: &Cluster) {
    let younger = annotated(replica_set("younger"), "gpu-capgate.io/mode", "off");
    cluster.create(&[younger]);
    is_warned(&ask_owned(cluster, "older", None), OLDER);
    is_refused(&ask_owned(cluster, "younger", None), ARCH);
    is_refused(&ask_owned(cluster, "older", Some("made-up")), ARCH);
    // And so its own controller gets its Pod.
    cluster.kubectl(&["scale", "replicaset/older", "--replicas=1"]);
    until("the ReplicaSet has its Pod", || {
        !cluster
            .kubectl(&["get", "pods", "-l=a=b", "-o=name"])
            .is_empty()
    });
}

pub(super) fn owners_older_than_the_installation_are_refused_too(cluster: &Cluster) {
    is_refused(&ask_owned(cluster, "older", None), ARCH);
}

/// A Pod as the controller of that name makes it, or as somebody who only says so.
fn ask_owned(cluster: &Cluster, owner: &str, uid: Option<&str>) -> Ran {
    let known = || cluster.kubectl(&["get", "replicaset", owner, "-o=jsonpath={.metadata.uid}"]);
    let uid = uid.map_or_else(known, str::to_owned);
    let mut pod = bad(&["p100"]);
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": uid, "controller": true}]);
    ask(cluster, &pod)
}
