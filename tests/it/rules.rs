//! When a Pod is refused, and when it is not: each rule on a real API server, with a case on either side. Needs root on
//! Linux.
//!
//! One webhook and nodes without machines, each in a pool of its own, so that an object chooses its candidates by naming
//! pools. What is not shown here is elsewhere: that the filter lets nothing else through in `registration`, that nodes
//! which are not ready change nothing in `golden`, and the scheduler's own view in `scheduler`.

mod candidates;
mod choices;
mod fleet;
mod objects;

use serde_json::{Value, json};

use crate::cluster::chart::{self, of_webhook_pods};
use crate::cluster::harness::{Cluster, Outcome, Ran, until};
use crate::cluster::objects::gpu_pod;
use crate::webhook::{WITH_SM_60, WITHOUT_SM_60};

const REGISTRATION: &str = "validatingwebhookconfiguration/gpu-capgate-webhook";

#[test]
fn real_cluster_keeps_every_rule_about_denials() {
    let Outcome::Started(cluster) = Cluster::start("real_cluster_keeps_every_rule_about_denials")
    else {
        return;
    };
    cluster.load_images();
    fleet::put(&cluster);
    objects::are_older_than_the_installation(&cluster);
    install(&cluster);
    let held_back = hold_a_group_back(&cluster);
    candidates::all(&cluster);
    objects::all(&cluster);
    choices::all(&cluster);
    what_is_held_back_is_reported(&cluster, &held_back);
    choices::of_the_strictest_configuration(&cluster);
    choices::of_an_open_fleet(&cluster);
    cluster.passed();
}

fn install(cluster: &Cluster) {
    let pools = format!("--set-json=webhook.config.pools={}", fleet::declared());
    let values = ["--values=tests/golden/values.yaml", &pools];
    chart::apply(cluster, &[&values[..], &chart::WAIT].concat());
    until("the API server asks the webhook", || {
        ask(cluster, &on(&["p100"], WITHOUT_SM_60)).code == Some(1)
    });
}

/// Changes the filter by hand, so that it lets nothing of one group through; what it said before.
fn hold_a_group_back(cluster: &Cluster) -> (String, String) {
    let text = cluster.kubectl(&["get", REGISTRATION, "-o=json"]);
    let there: Value = serde_json::from_str(&text).unwrap();
    let conditions = there["webhooks"][0]["matchConditions"].as_array().unwrap();
    let ours = |condition: &Value| condition["name"] == "asks-for-gpus.ray.io";
    let place = conditions.iter().position(ours).unwrap();
    let field = format!("/webhooks/0/matchConditions/{place}/expression");
    put(cluster, &field, "request.kind.group != 'ray.io'");
    let before = conditions[place]["expression"].as_str().unwrap();
    (field, before.to_owned())
}

/// The registration is looked at once a minute.
fn what_is_held_back_is_reported(cluster: &Cluster, (field, before): &(String, String)) {
    until("all three names that count GPUs are missed", || {
        let count = "gpu_capgate_registration_differences{webhook=\"check.gpu-capgate.io\"} 3\n";
        metrics(cluster).contains(count)
    });
    // What is as the chart has it is not in the way of an upgrade.
    put(cluster, field, before);
}

fn put(cluster: &Cluster, field: &str, value: &str) {
    let patch = json!([{"op": "replace", "path": field, "value": value}]).to_string();
    cluster.kubectl(&["patch", REGISTRATION, "--type=json", "-p", &patch]);
}

fn metrics(cluster: &Cluster) -> String {
    let pods = of_webhook_pods(cluster, ".metadata.name");
    let path = format!(
        "--raw=/api/v1/namespaces/gpu-capgate/pods/{}:8081/proxy/metrics",
        pods.first().unwrap()
    );
    cluster.kubectl(&["get", &path])
}

/// A Pod that can land in these pools.
fn on(pools: &[&str], image: &str) -> Value {
    let mut pod = gpu_pod("try", image);
    let chosen = json!({"key": "pool", "operator": "In", "values": pools});
    pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": [chosen]}]}}});
    pod
}

/// A Pod that no P100 can run.
fn bad(pools: &[&str]) -> Value {
    on(pools, WITHOUT_SM_60)
}

/// A Pod that each of the models here can run.
fn good(pools: &[&str]) -> Value {
    on(pools, WITH_SM_60)
}

fn annotated(mut object: Value, key: &str, value: &str) -> Value {
    object["metadata"]["annotations"][key] = json!(value);
    object
}

/// An object that makes such Pods.
fn making(api_version: &str, kind: &str, pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    if kind == "Job" {
        spec["restartPolicy"] = json!("Never");
    }
    let mut object = json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": "try"},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}},
    });
    if kind != "Job" {
        object["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
        object["spec"]["replicas"] = json!(0);
    }
    object
}

fn ask(cluster: &Cluster, object: &Value) -> Ran {
    ask_in(cluster, "default", object)
}

fn ask_in(cluster: &Cluster, namespace: &str, object: &Value) -> Ran {
    let namespace = format!("--namespace={namespace}");
    let object = std::slice::from_ref(object);
    cluster.write("create", object, &[&namespace, "--dry-run=server"])
}

/// By the webhook, for that reason.
#[track_caller]
fn is_refused(ran: &Ran, reason: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let refusal =
        "admission webhook \"check.gpu-capgate.io\" denied the request: container \"train\": ";
    assert!(ran.stderr.contains(refusal), "{}", ran.stderr);
    assert!(ran.stderr.contains(reason), "{reason}: {}", ran.stderr);
}

#[track_caller]
fn is_warned(ran: &Ran, reason: &str) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut lines = ran.stderr.lines();
    let told =
        lines.any(|line| line.starts_with("Warning: gpu-capgate: ") && line.contains(reason));
    assert!(told, "{reason}: {}", ran.stderr);
}

/// Admitted because something decisive is not known, which is this.
#[track_caller]
fn is_unchecked(ran: &Ran, reason: &str) {
    is_warned(ran, &format!("admitted unchecked: {reason}"));
}

#[track_caller]
fn is_silent(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("gpu-capgate"), "{}", ran.stderr);
}
