//! Who may choose what becomes of a check: the administrator, a Namespace, a Pod, an author; and what is told of it.

use std::sync::Arc;

use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::reload::{Follower, Look};
use gpu_capgate::admission::review::Bypass;
use gpu_capgate::cluster::namespaces::NamespaceModes;
use gpu_capgate::cluster::watch::{
    ClusterState, Freshness, Settings, SharedCluster, Standing, Watched, follow,
};
use gpu_capgate::compat::Catalog;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Reviewer, WITH_SM_60, WITHOUT_SM_60, creation, labelled, p100, pod, reviewer};
use crate::support::watch_server::{Lists, NAMESPACES, NODE_POOLS, NODES, WatchServer};
use crate::support::within;

const MODE: &str = "gpu-capgate.io/mode";
const REQUIRES: &str = "gpu-capgate.io/requires";

/// A webhook with a configuration, P100 nodes, and Namespaces of which `ml` has that label.
fn webhook(configuration: &str, label: Option<&str>) -> Reviewer {
    let reviewer = reviewer([p100()]);
    let configuration = Configuration::parse(configuration.as_bytes()).unwrap();
    reviewer.configuration.store(Arc::new(configuration));
    let modes = label.map(|mode| ("ml".to_owned(), mode.to_owned()));
    let mut state = ClusterState::clone(&reviewer.cluster.load());
    state.namespaces = Arc::new(modes.into_iter().collect::<NamespaceModes>());
    reviewer.cluster.store(Arc::new(state));
    reviewer
}

/// What is answered to a creation, and by whose words it is milder.
fn ended(reviewer: &Reviewer, object: &Value) -> (Value, Vec<Bypass>) {
    let body = creation(object).to_string();
    let judged = reviewer.answer(body.as_bytes()).unwrap();
    let mut reply = serde_json::to_value(&judged.reply).unwrap();
    (reply["response"].take(), judged.bypasses)
}

fn response(reviewer: &Reviewer, object: &Value) -> Value {
    ended(reviewer, object).0
}

fn bad() -> Value {
    pod(WITHOUT_SM_60)
}

fn annotated(key: &str, value: &str) -> Value {
    let mut pod = bad();
    pod["metadata"]["annotations"][key] = json!(value);
    pod
}

fn deployment(own: &Value, template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "train", "annotations": own},
        "spec": {"template": {"metadata": {"annotations": template}, "spec": bad()["spec"]}},
    })
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
    assert_eq!(
        response["auditAnnotations"]["decision"], "warn",
        "{response}"
    );
    response["warnings"][0].as_str().unwrap()
}

fn is_silent(response: &Value) {
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["warnings"], Value::Null, "{response}");
}

#[test]
fn a_namespace_chooses_a_milder_mode_which_is_counted_and_annotated() {
    let (warned, by) = ended(&webhook("", Some("warn")), &bad());
    assert!(warning(&warned).ends_with("[GPU-ARCH]"), "{warned}");
    assert_eq!(by, [Bypass::Namespace]);
    let audit = &warned["auditAnnotations"];
    assert_eq!(audit["mode"], "warn (namespace)");
    assert_eq!(
        (&audit["verdict"], &audit["codes"]),
        (&json!("deny"), &json!("GPU-ARCH"))
    );

    let (audited, by) = ended(&webhook("", Some("audit")), &bad());
    is_silent(&audited);
    assert_eq!(by, [Bypass::Namespace]);
    let audit = &audited["auditAnnotations"];
    assert_eq!(
        (&audit["decision"], &audit["verdict"]),
        (&json!("allow"), &json!("deny"))
    );
    assert_eq!(
        (&audit["mode"], &audit["codes"]),
        (&json!("audit (namespace)"), &json!("GPU-ARCH"))
    );
    assert!(
        audit["cause"].as_str().unwrap().ends_with("[GPU-ARCH]"),
        "{audit}"
    );

    let (off, by) = ended(&webhook("", Some("off")), &bad());
    is_silent(&off);
    assert_eq!(by, [Bypass::Namespace]);
    assert_eq!(
        off["auditAnnotations"],
        json!({"decision": "allow", "mode": "off (namespace)"})
    );
}

#[test]
fn a_namespace_that_is_stricter_is_no_bypass() {
    let (refused, by) = ended(&webhook("mode: warn", Some("enforce")), &bad());
    is_refused(&refused);
    assert_eq!(
        (by, &refused["auditAnnotations"]["mode"]),
        (vec![], &Value::Null)
    );
}

#[test]
fn the_label_of_another_namespace_changes_nothing() {
    let reviewer = webhook("", Some("off"));
    let mut review = creation(&bad());
    review["request"]["namespace"] = json!("ml2");
    let judged = reviewer.answer(review.to_string().as_bytes()).unwrap();
    let reply = serde_json::to_value(&judged.reply).unwrap();
    is_refused(&reply["response"]);
}

#[test]
fn a_pod_goes_before_its_namespace_and_a_namespace_before_the_administrator() {
    for (cluster, label, annotation, expected) in [
        ("enforce", Some("off"), Some("warn"), "warn"),
        ("enforce", Some("warn"), Some("enforce"), "deny"),
        ("\"off\"", Some("enforce"), None, "deny"),
        ("\"off\"", None, Some("enforce"), "deny"),
        ("warn", Some("audit"), None, "allow"),
        ("audit", None, None, "allow"),
        ("warn", None, None, "warn"),
        ("enforce", Some("nonsense"), Some("nonsense"), "deny"),
    ] {
        let pod = annotation.map_or_else(bad, |mode| annotated(MODE, mode));
        let response = response(&webhook(&format!("mode: {cluster}"), label), &pod);
        let decision = &response["auditAnnotations"]["decision"];
        assert_eq!(decision, expected, "{cluster} {label:?} {annotation:?}");
    }
}

#[test]
fn words_that_are_no_modes_are_named_and_change_nothing() {
    let refused = response(&webhook("", Some("of")), &annotated(MODE, "disable"));
    is_refused(&refused);
    let warnings = refused["warnings"].to_string();
    assert!(
        warnings.contains("annotation gpu-capgate.io/mode"),
        "{warnings}"
    );
    assert!(
        warnings.contains("the namespace's label gpu-capgate.io/mode"),
        "{warnings}"
    );
}

#[test]
fn the_annotation_of_the_template_goes_before_that_of_the_object() {
    let (warn, enforce, none) = (json!({MODE: "warn"}), json!({MODE: "enforce"}), json!({}));
    let reviewer = webhook("", None);
    for (own, template, expected) in [
        (&none, &warn, "warn"),
        (&warn, &none, "warn"),
        (&enforce, &warn, "warn"),
        (&warn, &enforce, "deny"),
        (&none, &none, "deny"),
    ] {
        let response = response(&reviewer, &deployment(own, template));
        let decision = &response["auditAnnotations"]["decision"];
        assert_eq!(decision, expected, "{own} {template}");
    }
}

#[test]
fn a_pod_that_chooses_is_counted_and_annotated() {
    let (warned, by) = ended(&webhook("", None), &annotated(MODE, "warn"));
    warning(&warned);
    assert_eq!(
        (by, &warned["auditAnnotations"]["mode"]),
        (vec![Bypass::Pod], &json!("warn (pod)"))
    );
}

/// Of Pods of one object, each chooses for itself.
#[test]
fn a_template_that_chooses_is_counted_beside_one_that_does_not() {
    let template = |image: &str, annotations: Value| json!({"metadata": {"annotations": annotations}, "spec": pod(image)["spec"]});
    let cluster = |head: Value, worker: Value| {
        json!({
            "apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "ray"},
            "spec": {"headGroupSpec": {"template": head}, "workerGroupSpecs": [{"template": worker}]},
        })
    };
    let reviewer = webhook("", None);
    for mode in ["off", "audit", "warn"] {
        let milder = template(WITHOUT_SM_60, json!({MODE: mode}));
        let good = template(WITH_SM_60, json!({}));
        for object in [
            cluster(milder.clone(), good.clone()),
            cluster(good, milder.clone()),
        ] {
            let (response, by) = ended(&reviewer, &object);
            assert_eq!(response["allowed"], true, "{response}");
            assert_eq!(by, [Bypass::Pod], "{mode}");
            assert_eq!(
                response["auditAnnotations"]["mode"],
                format!("{mode} (pod)")
            );
        }
        let bad = template(WITHOUT_SM_60, json!({}));
        let (refused, by) = ended(&reviewer, &cluster(milder, bad));
        is_refused(&refused);
        assert_eq!(by, [Bypass::Pod]);
    }
}

#[test]
fn without_pod_modes_no_annotation_counts_and_none_is_offered() {
    let reviewer = webhook("podModes: false", None);
    let offered = |response: &Value| {
        let message = response["status"]["message"].as_str().unwrap();
        message.lines().any(|line| line.starts_with("  skip "))
    };
    let (refused, by) = ended(&reviewer, &annotated(MODE, "off"));
    is_refused(&refused);
    assert!(by.is_empty() && !offered(&refused), "{refused}");
    // What an author declares fills gaps, and goes before nothing.
    let (refused, by) = ended(&reviewer, &annotated(REQUIRES, "cuda=12.6; sm=60"));
    is_refused(&refused);
    assert_eq!(by, []);
    assert!(offered(&response(&webhook("", None), &bad())));
}

#[test]
fn without_namespace_modes_no_label_counts() {
    let (refused, by) = ended(&webhook("namespaceModes: false", Some("off")), &bad());
    is_refused(&refused);
    assert_eq!(by, []);
}

#[test]
fn a_declaration_that_goes_before_the_catalog_is_counted_and_annotated() {
    let (admitted, by) = ended(&webhook("", None), &annotated(REQUIRES, "cuda=12.6; sm=60"));
    is_silent(&admitted);
    assert_eq!(by, [Bypass::Declaration]);
    let declared = admitted["auditAnnotations"]["declared"].as_str().unwrap();
    assert!(
        declared.starts_with("cuda 12.6 instead of 12.8; sass sm_60 instead of sm_70"),
        "{declared}"
    );
    // One that fills a gap is none.
    let mut own = annotated(REQUIRES, "cuda=12.6; sm=60");
    own["spec"]["containers"][0]["image"] = json!("registry.example.com/team/own:1");
    let (admitted, by) = ended(&webhook("", None), &own);
    is_silent(&admitted);
    assert_eq!(
        (by, &admitted["auditAnnotations"]["declared"]),
        (vec![], &Value::Null)
    );
    // Nor one that agrees.
    let mut good = annotated(REQUIRES, "cuda=12.6");
    good["spec"]["containers"][0]["image"] = json!(WITH_SM_60);
    assert_eq!(ended(&webhook("", None), &good).1, []);
}

#[test]
fn an_exempt_namespace_is_not_checked_and_its_reason_is_annotated() {
    let exempt = "exemptions: [{namespaces: [\"m*\"], reason: \"old cluster, GPU-7\"}]";
    let (admitted, by) = ended(&webhook(exempt, None), &bad());
    is_silent(&admitted);
    assert_eq!(by, [Bypass::Exemption]);
    assert_eq!(
        admitted["auditAnnotations"],
        json!({"decision": "allow", "exemption": "old cluster, GPU-7"})
    );
    let elsewhere = "exemptions: [{namespaces: [\"m\"], reason: \"old cluster\"}]";
    let (refused, by) = ended(&webhook(elsewhere, None), &bad());
    is_refused(&refused);
    assert_eq!(by, []);
}

#[test]
fn an_exempt_image_is_exempt_however_it_is_written_and_no_other_beside_it() {
    let digest = format!("sha256:{}", "0f".repeat(32));
    let exempt = "exemptions: [{images: [\"pytorch/pytorch:2.8.0-cuda12.8-*\"], reason: \"patched at start\"}]";
    let reviewer = webhook(exempt, None);
    for image in [
        WITHOUT_SM_60.to_owned(),
        format!("docker.io/{WITHOUT_SM_60}"),
        format!("index.docker.io/{WITHOUT_SM_60}"),
        format!("{WITHOUT_SM_60}@{digest}"),
    ] {
        let (admitted, by) = ended(&reviewer, &pod(&image));
        is_silent(&admitted);
        assert_eq!(by, [Bypass::Exemption], "{image}");
        assert_eq!(
            admitted["auditAnnotations"]["exemption"],
            "patched at start"
        );
    }
    // One that begins like it in another registry is another.
    let (other, by) = ended(
        &reviewer,
        &pod("pytorch/pytorch:2.7.1-cuda12.8-cudnn9-runtime"),
    );
    is_refused(&other);
    assert_eq!(by, []);
    let mut both = bad();
    let mut second = both["spec"]["containers"][0].clone();
    second["name"] = json!("second");
    second["image"] = json!("pytorch/pytorch:2.7.1-cuda12.8-cudnn9-runtime");
    both["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(second);
    let mut large = p100();
    large["status"]["capacity"] = json!({super::RESOURCE: "8"});
    let roomy = super::reviewer([large]);
    roomy
        .configuration
        .store(reviewer.configuration.load_full());
    let (refused, by) = ended(&roomy, &both);
    is_refused(&refused);
    assert_eq!(by, [Bypass::Exemption]);
    let causes = refused["status"]["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!(causes[0]["field"], "spec.containers[1].image");
}

#[test]
fn software_that_comes_at_start_is_admitted_unchecked_and_the_audit_log_says_why() {
    let mut installs = bad();
    installs["spec"]["containers"][0]["command"] =
        json!(["bash", "-c", "pip install torch==2.6.0 && python train.py"]);
    let mut mounted = bad();
    mounted["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "env", "mountPath": "/opt/conda/lib"}]);
    for (pod, reason) in [
        (installs, "runs the installer pip"),
        (mounted, "changes its Python"),
    ] {
        let (admitted, by) = ended(&webhook("", None), &pod);
        is_silent(&admitted);
        assert_eq!(by, []);
        let audit = &admitted["auditAnnotations"];
        assert_eq!(audit["decision"], "undecided");
        assert!(audit["cause"].as_str().unwrap().contains(reason), "{audit}");
        // The administrator may have it told.
        let told = response(&webhook("unchecked: told", None), &pod);
        assert_eq!(told["allowed"], true);
        assert!(
            told["warnings"][0].as_str().unwrap().contains(reason),
            "{told}"
        );
    }
}

#[test]
fn a_refusal_is_annotated_with_all_that_led_to_it() {
    let refused = response(&webhook("", None), &bad());
    let audit = refused["auditAnnotations"].as_object().unwrap();
    let keys: Vec<&str> = audit.keys().map(String::as_str).collect();
    assert_eq!(keys, ["cause", "codes", "decision", "evidence", "image"]);
    let text = |key: &str| audit[key].as_str().unwrap();
    assert_eq!((text("decision"), text("codes")), ("deny", "GPU-ARCH"));
    assert_eq!(text("image"), format!("docker.io/{WITHOUT_SM_60}"));
    assert!(text("evidence").contains("catalog"), "{audit:?}");
    assert!(
        refused["status"]["message"]
            .as_str()
            .unwrap()
            .starts_with(text("cause"))
    );
}

#[test]
fn an_autoscaler_whose_pools_are_not_declared_makes_a_warning_that_says_how_to_declare_them() {
    let warned = response(&webhook("autoscaler: undeclared", None), &bad());
    assert!(
        warning(&warned).contains("declare its pools (nodePools)"),
        "{warned}"
    );
    assert_eq!(warned["auditAnnotations"]["codes"], "GPU-ARCH");
    for settled in ["autoscaler: none", "autoscaler: declared"] {
        is_refused(&response(&webhook(settled, None), &bad()));
    }
}

#[test]
fn a_node_that_cannot_be_read_makes_a_warning() {
    let reviewer = webhook("", None);
    let mut state = ClusterState::clone(&reviewer.cluster.load());
    state.unreadable = 1;
    reviewer.cluster.store(Arc::new(state));
    let warned = response(&reviewer, &bad());
    assert!(
        warning(&warned).contains("not all nodes can be read"),
        "{warned}"
    );
}

#[tokio::test]
async fn pools_that_may_not_be_listed_make_a_warning_until_they_may() {
    let (reviewer, _stop) = following(NODE_POOLS, Watched::NodePools).await;
    let warned = response(&reviewer, &bad());
    assert!(
        warning(&warned).contains("not all nodes can be read"),
        "{warned}"
    );
}

#[tokio::test]
async fn labels_of_namespaces_that_may_not_be_listed_make_a_warning() {
    let (reviewer, _stop) = following(NAMESPACES, Watched::Namespaces).await;
    let warned = response(&reviewer, &bad());
    warning(&warned);
    let told = warned["warnings"].to_string();
    assert!(
        told.contains("modes of namespaces cannot be read"),
        "{told}"
    );
    let strict = Configuration::parse(b"namespaceModes: false").unwrap();
    reviewer.configuration.store(Arc::new(strict));
    is_refused(&response(&reviewer, &bad()));
}

/// A webhook that follows a cluster in which one kind of objects may not be listed.
async fn following(path: &str, watched: Watched) -> (Reviewer, DropGuard) {
    let server = WatchServer::start(Lists::Streamed).await;
    let mut node = p100();
    node["metadata"]["name"] = json!("node-0");
    server.put(NODES, node);
    server.refuse(path, 403);
    let published = SharedCluster::default();
    let settings = Settings {
        fleet: gpu_capgate::cluster::fleet::Settings::default(),
        pools: Vec::new(),
        namespace: "gpu-capgate".to_owned(),
        agents: "app.kubernetes.io/component=agent".to_owned(),
        freshness: Arc::<Freshness>::default(),
    };
    let stop = CancellationToken::new();
    let (sender, synced) = oneshot::channel();
    let synchronised = move || sender.send(()).unwrap();
    let following = follow(
        server.client(),
        settings,
        Catalog::embedded(),
        Arc::clone(&published),
        synchronised,
        stop.clone(),
    );
    tokio::spawn(following);
    within("the first whole state", synced).await.unwrap();
    let mut reviewer = webhook("", None);
    reviewer.cluster = Arc::clone(&published);
    let standing = published.load().standing(watched);
    assert_eq!(standing, Standing::Forbidden);
    (reviewer, stop.drop_guard())
}

#[test]
fn a_configuration_that_changes_holds_for_the_next_review() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "mode: warn\n").unwrap();
    let mut follower = Follower::open(&file).unwrap();
    let mut reviewer = webhook("", None);
    reviewer.configuration = follower.configuration();
    warning(&response(&reviewer, &bad()));
    std::fs::write(&file, "mode: enforce\npodModes: false\n").unwrap();
    assert_eq!(follower.look(), Look::Replaced);
    is_refused(&response(&reviewer, &annotated(MODE, "off")));
    std::fs::write(&file, "mode: nonsense\n").unwrap();
    assert_eq!(follower.look(), Look::Refused);
    is_refused(&response(&reviewer, &annotated(MODE, "off")));
}

#[test]
fn what_runs_on_some_nodes_only_is_refused_where_the_administrator_wants_it() {
    let mixed = super::reviewer([p100(), labelled("NVIDIA A100-SXM4-80GB", "8.0")]);
    warning(&response(&mixed, &bad()));
    let strict = webhook("partialFit: deny", None);
    mixed.configuration.store(strict.configuration.load_full());
    is_refused(&response(&mixed, &bad()));
}

#[test]
fn an_answer_is_given_again_only_while_nothing_that_it_depends_on_has_changed() {
    let reviewer = webhook("", None);
    let refused = response(&reviewer, &bad());
    assert_eq!(refused["allowed"], false);
    assert_eq!(response(&reviewer, &bad()), refused);
    let mut renamed = bad();
    renamed["metadata"]["name"] = json!("another");
    assert_eq!(response(&reviewer, &renamed), refused);
    let lenient = Configuration::parse(b"mode: warn").unwrap();
    reviewer.configuration.store(Arc::new(lenient));
    assert_eq!(response(&reviewer, &bad())["allowed"], true);
    reviewer
        .configuration
        .store(Arc::new(Configuration::default()));
    assert_eq!(response(&reviewer, &bad()), refused);
    // The same modes on another cluster.
    let other = super::reviewer([]);
    reviewer.cluster.store(other.cluster.load_full());
    assert_eq!(response(&reviewer, &bad())["allowed"], true);
}
