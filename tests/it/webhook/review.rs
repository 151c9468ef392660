//! Reviews in, answers out: what is refused, what is admitted, what is no review at all.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    RESOURCE, WITH_SM_60, WITHOUT_SM_60, answer, creation, labelled, p100, pod, post, unlabelled,
    update, webhook,
};

/// Largest review that an API server sends: an object of 3 MiB beside its old self.
const LARGEST_REVIEW: usize = 7 * 1024 * 1024;

fn admitted(response: &Value) {
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["warnings"], Value::Null, "{response}");
}

fn warned(response: &Value) -> String {
    assert_eq!(response["allowed"], true, "{response}");
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{response}");
    warnings[0].as_str().unwrap().to_owned()
}

fn refused(response: &Value) -> String {
    assert_eq!(response["allowed"], false, "{response}");
    assert_eq!(response["status"]["code"], 403);
    assert_eq!(response["status"]["reason"], "Forbidden");
    response["status"]["message"].as_str().unwrap().to_owned()
}

fn in_mode(mode: &str) -> Value {
    let mut pod = pod(WITHOUT_SM_60);
    pod["metadata"]["annotations"]["gpu-capgate.io/mode"] = json!(mode);
    pod
}

#[tokio::test]
async fn refuses_an_image_that_no_gpu_can_run_and_says_which_and_why() {
    let response = answer(&webhook([p100()]), &creation(&pod(WITHOUT_SM_60))).await;
    let message = refused(&response);
    let headline = message.lines().next().unwrap();
    assert_eq!(
        headline,
        "container \"train\": image has no GPU code for Tesla P100-PCIE-16GB (sm_60), the only GPU type this Pod can land on [GPU-ARCH]"
    );
    let cause = &response["status"]["details"]["causes"][0];
    assert_eq!(cause["reason"], "GPU-ARCH");
    assert_eq!(cause["field"], "spec.containers[0].image");
    assert_eq!(cause["message"], headline);
}

#[tokio::test]
async fn admits_an_image_that_the_gpus_can_run() {
    admitted(&answer(&webhook([p100()]), &creation(&pod(WITH_SM_60))).await);
}

#[tokio::test]
async fn admits_a_pod_that_asks_for_no_gpu() {
    let mut pod = pod(WITHOUT_SM_60);
    pod["spec"]["containers"][0]["resources"] = json!({});
    admitted(&answer(&webhook([p100()]), &creation(&pod)).await);
}

#[tokio::test]
async fn mode_warn_admits_with_the_cause_in_one_line() {
    let warning = warned(&answer(&webhook([p100()]), &creation(&in_mode("warn"))).await);
    assert!(warning.starts_with("gpu-capgate: "), "{warning}");
    assert!(warning.ends_with("[GPU-ARCH]"), "{warning}");
    assert!(warning.chars().count() <= 250, "{warning}");
}

#[tokio::test]
async fn modes_off_and_audit_admit_without_a_word() {
    let webhook = webhook([p100()]);
    admitted(&answer(&webhook, &creation(&in_mode("off"))).await);
    admitted(&answer(&webhook, &creation(&in_mode("audit"))).await);
}

#[tokio::test]
async fn a_mode_that_is_none_changes_nothing_and_is_named() {
    let response = answer(&webhook([p100()]), &creation(&in_mode("of\u{1b}[31mf"))).await;
    refused(&response);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("gpu-capgate.io/mode"), "{warning}");
    assert!(warning.contains("enforce, warn, audit, off"), "{warning}");
    assert!(!warning.contains(char::is_control), "{warning:?}");
}

#[tokio::test]
async fn an_update_that_changes_nothing_of_ours_passes() {
    let (old, mut new) = (pod(WITHOUT_SM_60), pod(WITHOUT_SM_60));
    new["metadata"]["labels"] = json!({"team": "vision"});
    admitted(&answer(&webhook([p100()]), &update(&old, &new)).await);
}

#[tokio::test]
async fn an_update_to_an_image_that_cannot_run_is_refused() {
    let review = update(&pod(WITH_SM_60), &pod(WITHOUT_SM_60));
    refused(&answer(&webhook([p100()]), &review).await);
}

#[tokio::test]
async fn a_pod_that_is_on_its_way_out_passes() {
    let (old, mut new) = (pod(WITH_SM_60), pod(WITHOUT_SM_60));
    new["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    admitted(&answer(&webhook([p100()]), &update(&old, &new)).await);
}

#[tokio::test]
async fn deletions_and_connections_pass() {
    for operation in ["DELETE", "CONNECT"] {
        let mut review = creation(&Value::Null);
        review["request"]["operation"] = json!(operation);
        review["request"]["oldObject"] = pod(WITHOUT_SM_60);
        admitted(&answer(&webhook([p100()]), &review).await);
    }
}

#[tokio::test]
async fn subresources_pass() {
    for subresource in ["status", "ephemeralcontainers", "resize", "binding"] {
        let mut review = update(&pod(WITH_SM_60), &pod(WITHOUT_SM_60));
        review["request"]["subResource"] = json!(subresource);
        admitted(&answer(&webhook([p100()]), &review).await);
    }
}

#[tokio::test]
async fn a_mirror_pod_passes() {
    let mut pod = pod(WITHOUT_SM_60);
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("f00");
    admitted(&answer(&webhook([p100()]), &creation(&pod)).await);
}

#[tokio::test]
async fn a_kind_that_makes_no_pods_passes() {
    let review = creation(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}));
    admitted(&answer(&webhook([p100()]), &review).await);
}

/// A workload with the template of a Pod.
fn workload(api_version: &str, kind: &str, image: &str) -> Value {
    let pod = pod(image);
    json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": "train", "namespace": "ml"},
        "spec": {"template": {"metadata": {"annotations": {}}, "spec": pod["spec"]}},
    })
}

#[tokio::test]
async fn what_makes_pods_is_refused_with_the_place_of_the_image() {
    for (api_version, kind) in [
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
        ("v1", "ReplicationController"),
    ] {
        let review = creation(&workload(api_version, kind, WITHOUT_SM_60));
        let response = answer(&webhook([p100()]), &review).await;
        assert!(refused(&response).contains("[GPU-ARCH]"), "{kind}");
        let field = &response["status"]["details"]["causes"][0]["field"];
        assert_eq!(field, "spec.template.spec.containers[0].image", "{kind}");
        admitted(
            &answer(
                &webhook([p100()]),
                &creation(&workload(api_version, kind, WITH_SM_60)),
            )
            .await,
        );
    }
}

#[tokio::test]
async fn a_suspended_job_only_warns() {
    let mut job = workload("batch/v1", "Job", WITHOUT_SM_60);
    job["spec"]["suspend"] = json!(true);
    let response = answer(&webhook([p100()]), &creation(&job)).await;
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("its Pods are checked when they are made [GPU-ARCH]"),
        "{warning}"
    );
}

#[tokio::test]
async fn scaling_a_deployment_that_would_be_refused_passes() {
    let old = workload("apps/v1", "Deployment", WITHOUT_SM_60);
    let mut new = old.clone();
    new["spec"]["replicas"] = json!(5);
    admitted(&answer(&webhook([p100()]), &update(&old, &new)).await);
}

#[tokio::test]
async fn an_unknown_node_among_failing_ones_leaves_it_unchecked() {
    let webhook = webhook([p100(), unlabelled()]);
    admitted(&answer(&webhook, &creation(&pod(WITHOUT_SM_60))).await);
}

#[tokio::test]
async fn without_nodes_nothing_is_refused() {
    admitted(&answer(&webhook([]), &creation(&pod(WITHOUT_SM_60))).await);
}

#[tokio::test]
async fn some_nodes_that_can_run_it_make_a_warning_and_no_refusal() {
    let webhook = webhook([p100(), labelled("NVIDIA A100-SXM4-80GB", "8.0")]);
    let warning = warned(&answer(&webhook, &creation(&pod(WITHOUT_SM_60))).await);
    assert!(warning.contains("1 of 2 nodes"), "{warning}");
    assert!(warning.ends_with("[GPU-PARTIAL]"), "{warning}");
}

#[tokio::test]
async fn every_container_that_cannot_run_is_a_cause_with_its_place() {
    let mut pod = pod(WITHOUT_SM_60);
    let limits = json!({"limits": {RESOURCE: "1"}});
    pod["spec"]["initContainers"] =
        json!([{"name": "warm-up", "image": WITHOUT_SM_60, "resources": limits}]);
    let response = answer(&webhook([p100()]), &creation(&pod)).await;
    refused(&response);
    let causes = response["status"]["details"]["causes"].as_array().unwrap();
    let fields: Vec<&str> = causes
        .iter()
        .map(|cause| cause["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["spec.initContainers[0].image", "spec.containers[0].image"]
    );
}

#[tokio::test]
async fn of_several_containers_that_cannot_run_the_worst_cause_is_shown() {
    let mut pod = pod("rocm/pytorch:latest");
    let limits = json!({"limits": {RESOURCE: "1"}});
    pod["spec"]["initContainers"] =
        json!([{"name": "warm-up", "image": WITHOUT_SM_60, "resources": limits}]);
    let response = answer(&webhook([p100()]), &creation(&pod)).await;
    let message = refused(&response);
    let first = message.lines().next().unwrap();
    assert!(first.starts_with("container \"train\": "), "{message}");
    assert!(
        first.ends_with(", and 1 other cause [GPU-VENDOR]"),
        "{message}"
    );
}

#[tokio::test]
async fn the_same_review_gets_the_same_answer() {
    let webhook = webhook([p100(), labelled("Tesla K80", "3.7"), p100()]);
    let review = creation(&pod(WITHOUT_SM_60));
    let first = answer(&webhook, &review).await;
    for _ in 0..20 {
        assert_eq!(answer(&webhook, &review).await, first);
    }
}

/// What a request that is no review gets, with the text that is shown to whoever caused it.
async fn bad_request(body: impl Into<Body>) -> String {
    let (status, body) = post(&webhook([p100()]), body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["apiVersion"], "v1");
    assert_eq!(answer["kind"], "Status");
    assert_eq!(answer["status"], "Failure");
    assert_eq!(answer["reason"], "BadRequest");
    assert_eq!(answer["code"], 400);
    let message = answer["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("gpu-capgate: "), "{message}");
    message
}

#[tokio::test]
async fn what_is_no_json_is_a_bad_request_with_its_place() {
    let message = bad_request("{\"apiVersion\": ").await;
    assert!(message.contains("line 1 column 15"), "{message}");
    bad_request("").await;
    bad_request(vec![0xff, 0xfe, 0x00]).await;
}

#[tokio::test]
async fn another_kind_or_version_of_review_is_a_bad_request() {
    for (key, value) in [("kind", "Pod"), ("apiVersion", "admission.k8s.io/v1beta1")] {
        let mut review = creation(&pod(WITHOUT_SM_60));
        review[key] = json!(value);
        let message = bad_request(review.to_string()).await;
        assert!(message.contains("admission.k8s.io/v1"), "{message}");
    }
}

#[tokio::test]
async fn a_review_without_a_request_is_a_bad_request() {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"});
    let message = bad_request(review.to_string()).await;
    assert!(message.contains("no request"), "{message}");
}

#[tokio::test]
async fn a_bad_request_is_not_echoed_at_length_or_raw() {
    let mut review = creation(&pod(WITHOUT_SM_60));
    review["request"]["operation"] = json!("\u{1b}[31m".repeat(100_000));
    let message = bad_request(review.to_string()).await;
    assert!(message.len() <= 900, "{} bytes", message.len());
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[tokio::test]
async fn an_object_that_is_no_pod_inside_is_admitted() {
    for spec in [
        json!([]),
        json!("x"),
        json!({"containers": {"a": 1}}),
        json!(null),
    ] {
        let mut pod = pod(WITHOUT_SM_60);
        pod["spec"] = spec;
        admitted(&answer(&webhook([p100()]), &creation(&pod)).await);
    }
}

#[tokio::test]
async fn an_object_that_is_not_there_is_admitted() {
    admitted(&answer(&webhook([p100()]), &creation(&Value::Null)).await);
    let mut review = creation(&Value::Null);
    review["request"].as_object_mut().unwrap().remove("object");
    admitted(&answer(&webhook([p100()]), &review).await);
}

#[tokio::test]
async fn an_object_that_is_no_object_is_admitted() {
    for object in [
        json!("pod"),
        json!(1),
        json!([pod(WITHOUT_SM_60)]),
        json!({}),
    ] {
        admitted(&answer(&webhook([p100()]), &creation(&object)).await);
    }
}

#[tokio::test]
async fn an_object_whose_specification_is_not_understood_is_admitted() {
    for (field, wrong) in [
        ("containers", json!("train")),
        ("nodeSelector", json!(["a"])),
        ("tolerations", json!(1)),
    ] {
        let mut pod = pod(WITHOUT_SM_60);
        pod["spec"][field] = wrong;
        admitted(&answer(&webhook([p100()]), &creation(&pod)).await);
    }
}

#[tokio::test]
async fn the_largest_review_of_an_api_server_is_answered() {
    let mut pod = pod(WITHOUT_SM_60);
    pod["metadata"]["annotations"]["padding"] = json!("x".repeat(LARGEST_REVIEW));
    refused(&answer(&webhook([p100()]), &creation(&pod)).await);
}

#[tokio::test]
async fn a_larger_body_is_not_read() {
    let body = vec![b' '; 2 * LARGEST_REVIEW];
    let (status, _) = post(&webhook([]), body).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let endless = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let (status, _) = post(&webhook([]), Body::from_stream(endless)).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn deep_nesting_does_not_overflow_the_stack() {
    let depth = 10_000;
    let mut review = creation(&pod(WITHOUT_SM_60)).to_string();
    let deep = format!("\"spec\":{}{}", "[".repeat(depth), "]".repeat(depth));
    review = review.replacen("\"spec\":", &format!("{deep},\"rest\":"), 1);
    bad_request(review).await;
    bad_request("[".repeat(depth)).await;
    bad_request("{\"a\":".repeat(depth)).await;
}

#[tokio::test]
async fn any_uid_is_echoed() {
    for uid in ["", "x", "\u{1b}[31m\n\"\u{1F600}"] {
        let mut review = creation(&pod(WITHOUT_SM_60));
        review["request"]["uid"] = json!(uid);
        refused(&answer(&webhook([p100()]), &review).await);
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_not_served() {
    let status =
        async |request: Request<Body>| webhook([]).oneshot(request).await.unwrap().status();
    let get = Request::get("/validate").body(Body::empty()).unwrap();
    assert_eq!(status(get).await, StatusCode::METHOD_NOT_ALLOWED);
    let elsewhere = Request::post("/mutate").body(Body::empty()).unwrap();
    assert_eq!(status(elsewhere).await, StatusCode::NOT_FOUND);
}
