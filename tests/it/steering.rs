//! Steering on a real cluster: the chart's registration, the API server's patching, and what the scheduler makes of it.
//! Needs root on Linux.

use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::drift::{self, Asked, Webhook};
use serde_json::{Value, json};

use crate::cluster::chart;
use crate::cluster::credentials::Thief;
use crate::cluster::harness::{Cluster, Outcome, Ran, until};
use crate::cluster::objects::{P100, T4, gpu_pod, node};
use crate::webhook::WITHOUT_SM_60;

const REVIEWS: &str = "validatingwebhookconfiguration/gpu-capgate-webhook";
const STEERING: &str = "mutatingwebhookconfiguration/gpu-capgate-webhook";
const WHY: &str = "nodeAffinity gpu-capgate.io/compute.min Gt \"74\": image has no GPU code for Tesla P100-PCIE-16GB (sm_60) \
    [GPU-ARCH]";

#[test]
fn real_cluster_keeps_pods_from_nodes_where_they_fail() {
    let Outcome::Started(cluster) =
        Cluster::start("real_cluster_keeps_pods_from_nodes_where_they_fail")
    else {
        return;
    };
    cluster.load_images();
    install(&cluster);
    an_upgrade_switches_it_on(&cluster);
    both_registrations_hold_the_same_ca(&cluster);
    the_registration_agrees_with_the_configuration(&cluster);
    the_webhook_may_change_nothing_but_its_ca(&cluster);
    stand_in_nodes(&cluster);
    a_pod_gets_the_affinity_and_the_reason(&cluster);
    the_scheduler_takes_the_node_that_fits_and_refuses_the_other(&cluster);
    what_is_not_ours_to_steer_stays_as_it_is(&cluster);
    a_manifest_can_be_applied_again_unless_it_has_terms_of_its_own(&cluster);
    switched_off_nothing_is_left_of_it(&cluster);
    cluster.passed();
}

const OFF: [&str; 2] = [
    "--set=agent.enabled=false",
    "--set=webhook.steer.enabled=false",
];
const ON: [&str; 2] = [
    "--set=agent.enabled=false",
    "--set=webhook.steer.enabled=true",
];

/// An installation that has run without it for a while.
fn install(cluster: &Cluster) {
    chart::apply(cluster, &[&OFF[..], &chart::WAIT].concat());
    let found = cluster.run("kubectl", &["get", STEERING]);
    assert!(found.stderr.contains("NotFound"), "{found:?}");
    let thief = Thief::of_mounted_token(cluster);
    assert!(!thief.may("get", STEERING));
}

fn an_upgrade_switches_it_on(cluster: &Cluster) {
    chart::apply(cluster, &[&ON[..], &chart::WAIT].concat());
    // The object may come after the replicas have first looked for it.
    until("the replicas have taken it up", || {
        !bundle(cluster, STEERING).is_empty()
    });
}

fn bundle(cluster: &Cluster, registration: &str) -> String {
    let path = "-o=jsonpath={.webhooks[0].clientConfig.caBundle}";
    cluster.kubectl(&["get", registration, path])
}

fn both_registrations_hold_the_same_ca(cluster: &Cluster) {
    let of_reviews = bundle(cluster, REVIEWS);
    assert!(!of_reviews.is_empty());
    assert_eq!(bundle(cluster, STEERING), of_reviews);
}

fn the_registration_agrees_with_the_configuration(cluster: &Cluster) {
    let text = cluster.kubectl(&["get", STEERING, "-o", "json"]);
    let asked = Asked::to_steer(&serde_json::from_str(&text).unwrap());
    let configuration = Configuration::default();
    let found = drift::differences(Webhook::Steer, asked.as_ref(), &configuration);
    assert_eq!(found, [].into());
}

fn the_webhook_may_change_nothing_but_its_ca(cluster: &Cluster) {
    let policy = "validatingadmissionpolicy/gpu-capgate-webhook-registration";
    let status = |field: &str| {
        let path = format!("jsonpath={{.status.{field}}}");
        cluster.kubectl(&["get", policy, "-o", &path])
    };
    until("the policy's types have been checked", || {
        !status("observedGeneration").is_empty()
    });
    assert_eq!(status("typeChecking.expressionWarnings"), "");
    let thief = Thief::of_mounted_token(cluster);
    thief.may_change_only_the_ca_of(REVIEWS);
    thief.may_change_only_the_ca_of(STEERING);
    for (verb, what) in [
        ("patch", "mutatingwebhookconfiguration/other"),
        ("create", "mutatingwebhookconfiguration"),
        ("patch", "pods"),
    ] {
        assert!(!thief.may(verb, what), "{verb} {what}");
    }
}

/// Nobody may miss their kubelets, so the controllers end first.
fn stand_in_nodes(cluster: &Cluster) {
    let account = ["wait", "serviceaccount/default", "--for=create"];
    cluster.kubectl(&account);
    cluster.kubectl(&["create", "namespace", "quiet"]);
    cluster.kubectl(&[&account[..], &["--namespace=quiet"]].concat());
    cluster.kubectl(&["label", "namespace", "quiet", "gpu-capgate.io/mode=audit"]);
    cluster.kubectl(&["create", "namespace", "still"]);
    cluster.kubectl(&[&account[..], &["--namespace=still"]].concat());
    cluster.kubectl(&["label", "namespace", "still", "gpu-capgate.io/steer=false"]);
    cluster.stop_controllers();
    cluster.create(&[node("old", &[P100], 4), node("new", &[T4], 1)]);
    let taint = "node.kubernetes.io/not-ready-";
    cluster.kubectl(&["taint", "node", "old", "new", taint]);
}

fn pod(name: &str) -> Value {
    gpu_pod(name, WITHOUT_SM_60)
}

fn create(cluster: &Cluster, objects: &[Value], more: &[&str]) -> Ran {
    cluster.write("create", objects, more)
}

fn get(cluster: &Cluster, pod: &str) -> Value {
    let text = cluster.kubectl(&["get", "pod", pod, "-o", "json"]);
    serde_json::from_str(&text).unwrap()
}

fn a_pod_gets_the_affinity_and_the_reason(cluster: &Cluster) {
    until("the webhook knows of the nodes", || {
        let tried = create(cluster, &[pod("try")], &["--dry-run=server", "-o", "json"]);
        assert_eq!(tried.code, Some(0), "{tried:?}");
        tried.stdout.contains("gpu-capgate.io/steered")
    });
    let made = create(cluster, &[pod("one")], &[]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    let pod = get(cluster, "one");
    assert_eq!(
        pod["metadata"]["annotations"]["gpu-capgate.io/steered"],
        WHY
    );
    let above = json!({"key": "gpu-capgate.io/compute.min", "operator": "Gt", "values": ["74"]});
    let required = json!({"nodeSelectorTerms": [{"matchExpressions": [above]}]});
    let affinity =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
    assert_eq!(pod["spec"]["affinity"], affinity);
}

fn the_scheduler_takes_the_node_that_fits_and_refuses_the_other(cluster: &Cluster) {
    let condition = |pod: &str| get(cluster, pod)["status"]["conditions"][0].clone();
    until("the Pod is placed", || {
        get(cluster, "one")["spec"]["nodeName"] == "new"
    });
    // The only GPU that fits is taken now; four that do not are free.
    assert_eq!(create(cluster, &[pod("two")], &[]).code, Some(0));
    until("the scheduler has looked at the second", || {
        condition("two")["reason"] == "Unschedulable"
    });
    let why = condition("two")["message"].to_string();
    assert!(why.contains("didn't match Pod's node affinity"), "{why}");
    assert!(why.contains("1 Insufficient nvidia.com/gpu"), "{why}");
}

fn what_is_not_ours_to_steer_stays_as_it_is(cluster: &Cluster) {
    let tried = |object: &Value, more: &[&str]| {
        let options = [&["--dry-run=server", "-o", "json"], more].concat();
        let tried = create(cluster, std::slice::from_ref(object), &options);
        assert_eq!(tried.code, Some(0), "{tried:?}");
        tried.stdout.contains("gpu-capgate.io/steered")
    };
    assert!(tried(&pod("try"), &[]));
    let mut named = pod("try");
    named["spec"]["nodeName"] = json!("new");
    assert!(!tried(&named, &[]));
    let mut audited = pod("try");
    audited["metadata"]["annotations"] = json!({"gpu-capgate.io/mode": "audit"});
    assert!(!tried(&audited, &[]));
    assert!(!tried(&pod("try"), &["--namespace=quiet"]));
    let mut declining = pod("try");
    declining["metadata"]["annotations"] = json!({"gpu-capgate.io/steer": "false"});
    assert!(!tried(&declining, &[]));
    // Neither is a way past the review, which warns.
    let still = ["--namespace=still", "--dry-run=server", "-o", "json"];
    let unsteered = create(cluster, &[pod("try")], &still);
    assert!(!unsteered.stdout.contains("gpu-capgate.io/steered"));
    assert!(unsteered.stderr.contains("sm_60"), "{unsteered:?}");
    let mut spec = pod("try")["spec"].clone();
    spec["restartPolicy"] = json!("Never");
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "try"}, "spec": {"template": {"spec": spec}}});
    assert!(!tried(&job, &[]));
}

/// What the documentation says of bare Pods.
fn a_manifest_can_be_applied_again_unless_it_has_terms_of_its_own(cluster: &Cluster) {
    let apply = |pod: &Value| cluster.write("apply", std::slice::from_ref(pod), &[]);
    let plain = pod("plain");
    assert!(apply(&plain).stdout.ends_with(" created\n"));
    assert!(apply(&plain).stdout.ends_with(" unchanged\n"));

    let mut own = pod("own");
    let count = json!({"key": "gpu-capgate.io/gpu.count", "operator": "Exists"});
    own["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": [count]}]}}});
    assert!(apply(&own).stdout.ends_with(" created\n"));
    let terms = &get(cluster, "own")["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"];
    let above = json!({"key": "gpu-capgate.io/compute.min", "operator": "Gt", "values": ["74"]});
    assert_eq!(*terms, json!([{"matchExpressions": [count, above]}]));
    let again = apply(&own);
    assert!(again.stderr.contains("is invalid: spec"), "{again:?}");
}

fn switched_off_nothing_is_left_of_it(cluster: &Cluster) {
    chart::apply(cluster, &OFF);
    let found = cluster.run("kubectl", &["get", STEERING]);
    assert!(found.stderr.contains("NotFound"), "{found:?}");
    let made = create(cluster, &[pod("three")], &[]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(get(cluster, "three")["spec"]["affinity"], Value::Null);
}
