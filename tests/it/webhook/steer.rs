//! Steering: Pods in, patches out, and what the review says of the Pod after its patch; its registration and its route.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::http::{Limits, ReviewCounts, mutations};
use gpu_capgate::admission::review::{Reviewer, Steering};
use gpu_capgate::cluster::demand::{Origin, Reader, Reading};
use gpu_capgate::cluster::fleet::{DeclaredPool, NodeObject, Roster, Settings};
use gpu_capgate::cluster::resource::GpuResources;
use gpu_capgate::cluster::schedule;
use gpu_capgate::cluster::watch::ClusterState;
use gpu_capgate::cluster::workload::Kinds;
use gpu_capgate::compat::{Catalog, ComputeCapability};
use gpu_capgate::labels;
use gpu_capgate::node::inventory::Inventory;
use gpu_capgate::telemetry::metrics::Registry;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::certificates::{encoded, installed, trusted};
use super::{
    CA_SECRET, RESOURCE, UID, WITH_SM_60, WITHOUT_SM_60, answer, as_judged, creation, pod,
    program_of, reviewer, unlabelled, update,
};
use crate::support::api_server::ApiServer;
use crate::support::gpu;
use crate::support::http::{get, send, text};
use crate::support::process::Running;
use crate::support::tls::{NAME, connect};

const STEERED: &str = "gpu-capgate.io/steered";
const TERMS: &str =
    "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
const STEERING: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/steering";

/// A node with all that our agent writes.
fn node(product: &str, capability: &str) -> Value {
    let gpu = gpu("GPU-1", product, capability);
    let inventory = format!("{{driver: 570.86.15, cuda: \"12.8\", gpus: [{gpu}]}}");
    let gpus = Inventory::parse(&inventory).unwrap().node_gpus("boot-1");
    let (mut node, written) = (unlabelled(), labels::encode(&gpus));
    node["metadata"]["annotations"] = json!(written.annotations);
    node["metadata"]["labels"] = json!(written.labels);
    node
}

fn p100() -> Value {
    node("Tesla P100-PCIE-16GB", "6.0")
}

fn t4() -> Value {
    node("Tesla T4", "7.5")
}

fn a100() -> Value {
    node("NVIDIA A100-SXM4-80GB", "8.0")
}

/// A webhook that steers, its metrics, and what the same webhook's review says.
struct Webhook {
    steering: Router,
    reviews: Router,
    registry: Registry,
}

impl Webhook {
    fn of(reviewer: Reviewer) -> Self {
        let (reviewer, registry) = (Arc::new(reviewer), Registry::default());
        let steering = Steering::new(Arc::clone(&reviewer), &registry);
        let counts = ReviewCounts::new(&registry);
        let steering = mutations(
            move |body: &[u8]| steering.answer(body),
            || true,
            Limits::default(),
            counts.clone(),
        );
        let review = move |body: &[u8]| reviewer.answer(body);
        let limits = Limits::default();
        Self {
            steering,
            reviews: gpu_capgate::admission::http::router(
                review,
                as_judged,
                || true,
                limits,
                counts,
            ),
            registry,
        }
    }

    fn on(nodes: impl IntoIterator<Item = Value>) -> Self {
        Self::of(reviewer(nodes))
    }

    fn configured(nodes: impl IntoIterator<Item = Value>, file: &str) -> Self {
        let reviewer = reviewer(nodes);
        let configuration = Configuration::parse(file.as_bytes()).unwrap();
        reviewer.configuration.store(Arc::new(configuration));
        Self::of(reviewer)
    }

    async fn post(&self, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::post("/mutate?timeout=5s").body(body.into());
        text(
            self.steering
                .clone()
                .oneshot(request.unwrap())
                .await
                .unwrap(),
        )
        .await
    }

    /// The response to a review, which admits whatever it holds.
    async fn asked(&self, review: &Value) -> Value {
        let (status, body) = self.post(review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        let response = answer["response"].take();
        assert_eq!(response["uid"], UID);
        assert_eq!(response["allowed"], true, "{response}");
        assert_eq!(response["warnings"], Value::Null, "{response}");
        response
    }

    /// The Pod as the API server goes on with it, if it was changed.
    async fn steered(&self, pod: &Value) -> Option<Value> {
        let response = self.asked(&creation(pod)).await;
        applied(&response, pod)
    }

    async fn left_alone(&self, review: &Value) {
        let response = self.asked(review).await;
        assert_eq!(response["patch"], Value::Null, "{response}");
        assert_eq!(response["auditAnnotations"], Value::Null, "{response}");
    }

    fn counts(&self, line: &str) {
        let page = self.registry.page();
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
}

/// What the patch of a response makes of an object.
fn applied(response: &Value, object: &Value) -> Option<Value> {
    let patch: ByteString = serde_json::from_value(response.get("patch")?.clone()).unwrap();
    assert_eq!(response["patchType"], "JSONPatch");
    let patch: json_patch::Patch = serde_json::from_slice(&patch.0).unwrap();
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).unwrap();
    Some(object)
}

fn terms(pod: &Value) -> &Value {
    pod.pointer(TERMS).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_pod_is_kept_from_the_nodes_where_it_is_known_to_fail() {
    let webhook = Webhook::on([p100(), t4(), a100()]);
    let pod = pod(WITHOUT_SM_60);
    let before = answer(&webhook.reviews, &creation(&pod)).await;
    assert!(before["warnings"][0].as_str().unwrap().contains("sm_60"));

    let response = webhook.asked(&creation(&pod)).await;
    let after = applied(&response, &pod).unwrap();
    let above = json!({"key": "gpu-capgate.io/compute.min", "operator": "Gt", "values": ["74"]});
    assert_eq!(*terms(&after), json!([{"matchExpressions": [above]}]));
    let why = "nodeAffinity gpu-capgate.io/compute.min Gt \"74\": \
               image has no GPU code for Tesla P100-PCIE-16GB (sm_60) [GPU-ARCH]";
    assert_eq!(after["metadata"]["annotations"][STEERED], why);
    assert_eq!(response["auditAnnotations"], json!({"steered": why}));
    assert_eq!(after["spec"]["containers"], pod["spec"]["containers"]);

    let review = answer(&webhook.reviews, &creation(&after)).await;
    assert_eq!(review["allowed"], true);
    assert_eq!(review["warnings"], Value::Null, "{review}");
    assert_eq!(review["auditAnnotations"]["decision"], "allow");
    webhook.counts("gpu_capgate_steered_total{outcome=\"steered\"} 1");
    webhook.counts("gpu_capgate_reviews_total{decision=\"allow\"} 1");
}

#[tokio::test]
async fn a_second_pass_changes_nothing() {
    for nodes in [vec![p100(), t4()], vec![p100(), t4(), unlabelled()]] {
        let webhook = Webhook::on(nodes);
        let once = webhook.steered(&pod(WITHOUT_SM_60)).await.unwrap();
        assert_eq!(webhook.steered(&once).await, None);
        webhook.counts("gpu_capgate_steered_total{outcome=\"needless\"} 1");
    }
}

#[tokio::test]
async fn a_dry_run_is_steered_alike() {
    let webhook = Webhook::on([p100(), t4()]);
    let mut review = creation(&pod(WITHOUT_SM_60));
    let real = webhook.asked(&review).await;
    review["request"]["dryRun"] = json!(true);
    assert_eq!(webhook.asked(&review).await, real);
    assert_ne!(real["patch"], Value::Null);
}

#[tokio::test]
async fn nothing_is_steered_where_all_nodes_fit_or_none_is_known_to() {
    let needless = [
        (vec![p100(), t4()], WITH_SM_60),
        (vec![t4()], WITHOUT_SM_60),
        (vec![p100()], WITHOUT_SM_60),
        (vec![p100(), unlabelled()], WITHOUT_SM_60),
        (vec![t4(), unlabelled()], WITHOUT_SM_60),
        (vec![p100(), t4()], "registry.example/team/unknown:1"),
        (vec![], WITHOUT_SM_60),
    ];
    for (nodes, image) in needless {
        Webhook::on(nodes).left_alone(&creation(&pod(image))).await;
    }
}

#[tokio::test]
async fn a_node_of_which_nothing_is_known_is_not_taken_away() {
    let webhook = Webhook::on([p100(), t4(), unlabelled()]);
    let after = webhook.steered(&pod(WITHOUT_SM_60)).await.unwrap();
    let other = json!({"key": "gpu-capgate.io/compute.min", "operator": "NotIn", "values": ["60"]});
    assert_eq!(*terms(&after), json!([{"matchExpressions": [other]}]));
}

#[tokio::test]
async fn a_node_of_which_nothing_is_known_goes_only_if_nothing_else_tells_the_failing_ones() {
    // It has the labels of the failing one, and an inventory that cannot be read.
    let mut stale = p100();
    stale["metadata"]["annotations"] = json!({labels::INVENTORY_ANNOTATION: "{"});
    let webhook = Webhook::on([p100(), t4(), stale]);
    let after = webhook.steered(&pod(WITHOUT_SM_60)).await.unwrap();
    let above = json!({"key": "gpu-capgate.io/compute.min", "operator": "Gt", "values": ["74"]});
    assert_eq!(*terms(&after), json!([{"matchExpressions": [above]}]));
}

#[tokio::test]
async fn where_no_label_tells_them_apart_the_pod_is_left_as_it_is() {
    let mut bare = p100();
    bare["metadata"]["labels"] = json!({});
    let mut other = t4();
    other["metadata"]["labels"] = json!({});
    let webhook = Webhook::on([bare, other]);
    webhook.left_alone(&creation(&pod(WITHOUT_SM_60))).await;
    webhook.counts("gpu_capgate_steered_total{outcome=\"inseparable\"} 1");
}

#[tokio::test]
async fn each_of_the_pods_own_terms_gets_the_requirement() {
    let webhook = Webhook::on([p100(), t4()]);
    let exists = |key: &str| json!({"key": key, "operator": "Exists"});
    let mut pod = pod(WITHOUT_SM_60);
    pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
    {"nodeSelectorTerms": [
        {"matchExpressions": [exists("gpu-capgate.io/gpu.count")]},
        {"matchExpressions": [exists("gpu-capgate.io/platform")]},
    ]}}});
    let after = webhook.steered(&pod).await.unwrap();
    let above = json!({"key": "gpu-capgate.io/compute.min", "operator": "Gt", "values": ["74"]});
    let expected = json!([
        {"matchExpressions": [exists("gpu-capgate.io/gpu.count"), above]},
        {"matchExpressions": [exists("gpu-capgate.io/platform"), above]},
    ]);
    assert_eq!(*terms(&after), expected);
    let review = answer(&webhook.reviews, &creation(&after)).await;
    assert_eq!(review["warnings"], Value::Null, "{review}");
}

#[tokio::test]
async fn a_mode_that_does_not_act_does_not_steer() {
    let webhook = Webhook::on([p100(), t4()]);
    for (mode, steers) in [
        ("off", false),
        ("audit", false),
        ("warn", true),
        ("enforce", true),
    ] {
        let mut pod = pod(WITHOUT_SM_60);
        pod["metadata"]["annotations"]["gpu-capgate.io/mode"] = json!(mode);
        let by_pod = webhook.steered(&pod).await;
        assert_eq!(by_pod.is_some(), steers, "annotation {mode}");

        let reviewer = reviewer([p100(), t4()]);
        let mut cluster = ClusterState::clone(&reviewer.cluster.load());
        let modes = [("ml".to_owned(), mode.to_owned())];
        cluster.namespaces = Arc::new(modes.into_iter().collect());
        reviewer.cluster.store(Arc::new(cluster));
        let by_namespace = Webhook::of(reviewer)
            .steered(&super::pod(WITHOUT_SM_60))
            .await;
        assert_eq!(by_namespace.is_some(), steers, "label {mode}");

        let file = format!("mode: \"{mode}\"\n");
        let by_file = Webhook::configured([p100(), t4()], &file)
            .steered(&super::pod(WITHOUT_SM_60))
            .await;
        assert_eq!(by_file.is_some(), steers, "configuration {mode}");
    }
}

#[tokio::test]
async fn a_pod_that_declines_is_left_alone_and_reviewed_all_the_same() {
    let webhook = Webhook::on([p100(), t4()]);
    let mut pod = pod(WITHOUT_SM_60);
    pod["metadata"]["annotations"]["gpu-capgate.io/steer"] = json!("false");
    webhook.left_alone(&creation(&pod)).await;
    webhook.counts("gpu_capgate_steered_total{outcome=\"left-alone\"} 1");
    let review = answer(&webhook.reviews, &creation(&pod)).await;
    assert!(review["warnings"][0].as_str().unwrap().contains("sm_60"));
    for other in [json!("true"), json!("False"), json!(false)] {
        pod["metadata"]["annotations"]["gpu-capgate.io/steer"] = other;
        assert!(webhook.steered(&pod).await.is_some(), "{pod}");
    }
}

#[tokio::test]
async fn an_exempt_pod_is_not_steered() {
    let file = "exemptions: [{namespaces: [ml], reason: trusted}]\n";
    let webhook = Webhook::configured([p100(), t4()], file);
    webhook.left_alone(&creation(&pod(WITHOUT_SM_60))).await;
}

#[tokio::test]
async fn a_cluster_that_may_get_nodes_nobody_knows_of_is_left_alone() {
    let webhook = Webhook::configured([p100(), t4()], "autoscaler: undeclared\n");
    webhook.left_alone(&creation(&pod(WITHOUT_SM_60))).await;
    let reviewer = reviewer([p100(), t4()]);
    let mut cluster = ClusterState::clone(&reviewer.cluster.load());
    cluster.unreadable = 1;
    reviewer.cluster.store(Arc::new(cluster));
    let webhook = Webhook::of(reviewer);
    webhook.left_alone(&creation(&pod(WITHOUT_SM_60))).await;
}

#[tokio::test]
async fn a_pool_whose_nodes_may_come_is_not_cut_off() {
    let pool = DeclaredPool {
        name: "spare".to_owned(),
        gpu: Some("Tesla T4".to_owned()),
        ..DeclaredPool::default()
    };
    let mut roster = Roster::new(Settings::default(), Catalog::embedded());
    for (number, mut node) in [p100(), t4()].into_iter().enumerate() {
        node["metadata"]["name"] = json!(format!("node-{number}"));
        roster.put_node(&NodeObject::from_json(&node).unwrap());
    }
    roster.put_declared_pool(&pool);
    let reviewer = reviewer([]);
    let cluster = ClusterState::of(roster.fleet());
    reviewer.cluster.store(Arc::new(cluster));
    let after = Webhook::of(reviewer).steered(&pod(WITHOUT_SM_60)).await;
    // What makes nodes does not know of a label that only the agent will write.
    let other = json!({"key": "gpu-capgate.io/compute.min", "operator": "NotIn", "values": ["60"]});
    assert_eq!(
        *terms(&after.unwrap()),
        json!([{"matchExpressions": [other]}])
    );
}

#[tokio::test]
async fn only_a_pod_that_the_scheduler_will_place_is_steered() {
    let webhook = Webhook::on([p100(), t4()]);
    let with = |path: &str, value: Value| {
        let mut pod = pod(WITHOUT_SM_60);
        let (parent, field) = path.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[field] = value;
        pod
    };
    let daemon = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "1", "controller": true}]);
    for pod in [
        with("/spec/nodeName", json!("node-0")),
        with("/spec/schedulerName", json!("volcano")),
        with(
            "/spec/resourceClaims",
            json!([{"name": "g", "resourceClaimName": "g"}]),
        ),
        with("/metadata/ownerReferences", daemon),
        with("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
        with("/spec/containers/0/resources", json!({})),
    ] {
        webhook.left_alone(&creation(&pod)).await;
    }
    let job = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "1", "controller": true}]);
    let of_job = with("/metadata/ownerReferences", job);
    assert!(webhook.steered(&of_job).await.is_some());
    webhook
        .left_alone(&update(&pod(WITH_SM_60), &pod(WITHOUT_SM_60)))
        .await;
    let template = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train", "namespace": "ml"},
        "spec": {"template": {"metadata": {}, "spec": pod(WITHOUT_SM_60)["spec"]}},
    });
    webhook.left_alone(&creation(&template)).await;
}

#[tokio::test]
async fn a_pod_that_is_not_understood_is_admitted_as_it_is() {
    let webhook = Webhook::on([p100(), t4()]);
    let mut pod = pod(WITHOUT_SM_60);
    pod["spec"]["containers"][0]["resources"]["limits"][RESOURCE] = json!("many");
    let response = webhook.asked(&creation(&pod)).await;
    assert_eq!(response["patch"], Value::Null);
    assert_eq!(response["auditAnnotations"]["decision"], "unchecked");
    let (status, body) = webhook.post("{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    webhook.counts("gpu_capgate_steered_total{outcome=\"unchecked\"} 1");
    webhook.counts("gpu_capgate_reviews_total{decision=\"unchecked\"} 0");
}

/// How many nodes a Pod could get, and how many of them are P100.
fn reach(reviewer: &Reviewer, pod: &Value) -> (usize, usize) {
    let (kinds, resources) = (Kinds::bundled().unwrap(), GpuResources::default());
    let reader = Reader {
        kinds: &kinds,
        resources: &resources,
        origin: Origin::Review,
    };
    let Reading::Workload(workload) = reader.read(pod).unwrap() else {
        panic!("{pod}")
    };
    let cluster = reviewer.cluster.load();
    let found = schedule::possible(&workload.groups[0].demand.placement, &cluster.fleet);
    let failing = found.classes.iter().filter(|class| {
        let mut groups = class.knowledge.groups(None);
        groups.any(|group| {
            let capability = group.host.capability.map(ComputeCapability::sm);
            capability.as_deref() == Some("sm_60")
        })
    });
    (found.nodes(), failing.map(|class| class.nodes).sum())
}

#[tokio::test]
async fn on_every_mix_of_nodes_the_failing_ones_go_and_those_that_fit_stay() {
    const FITTING: u32 = 0b100_0110;
    const FAILING: u32 = 0b011_0001;
    const LABELLED_BY_OTHERS: u32 = 0b001_0000;
    const UNKNOWN: u32 = 0b000_1000;
    let mut labels_only = unlabelled();
    labels_only["metadata"]["labels"] = json!({"nvidia.com/gpu.product": "Tesla-P100-PCIE-16GB",
        "nvidia.com/gpu.count": "1", "nvidia.com/gpu.compute.major": "6", "nvidia.com/gpu.compute.minor": "0"});
    let all = [
        p100(),
        t4(),
        a100(),
        unlabelled(),
        labels_only,
        p100(),
        a100(),
    ];
    let mut steered = 0;
    for mix in 0..1_u32 << all.len() {
        let chosen = |(number, _): &(usize, &Value)| mix & (1 << number) != 0;
        let nodes = all.iter().enumerate().filter(chosen);
        let nodes: Vec<Value> = nodes.map(|(_, node)| node.clone()).collect();
        let (before, after) = (reviewer(nodes.clone()), reviewer(nodes));
        let pod = pod(WITHOUT_SM_60);
        let (reached, failing) = reach(&before, &pod);
        let any = |mask: u32| mix & mask != 0;
        let Some(moved) = Webhook::of(before).steered(&pod).await else {
            assert!(!any(FITTING) || !any(FAILING), "{mix:b}");
            continue;
        };
        steered += 1;
        // Two that fail and share no label: only what fits tells them from the rest.
        let lost = any(UNKNOWN) && any(LABELLED_BY_OTHERS) && any(FAILING & !LABELLED_BY_OTHERS);
        let expected = reached - failing - usize::from(lost);
        assert!(failing > 0, "{mix:b}");
        assert_eq!(reach(&after, &moved), (expected, 0), "{mix:b}");
    }
    assert!(steered > 50, "{steered}");
}

/// The real program with those arguments, as it starts.
fn started(api: &ApiServer, more: &[&str]) -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [CA_SECRET, "--shutdown-delay-seconds=0"];
    let more = [&arguments[..], more].concat();
    let mut command = program_of(api, folder.path(), &more);
    (Running::start(&mut command), folder)
}

/// The real program with those arguments, ready; its review address.
async fn program(api: &ApiServer, more: &[&str]) -> (Running, String) {
    let (mut running, _folder) = started(api, more);
    let address = running.listens("option=\"--listen\"").await;
    running.says(&["ready"]).await;
    running.says(&["ready"]).await;
    (running, address)
}

/// The status of an answer to a Pod at `/mutate`, of a client that trusts what that registration holds.
async fn mutated(address: &str, authority: &str) -> StatusCode {
    let request = Request::post(format!("https://{NAME}/mutate?timeout=5s"))
        .header("host", NAME)
        .body(Body::from(creation(&pod(WITHOUT_SM_60)).to_string()));
    let connecting = connect(address.parse().unwrap(), authority, NAME, "http/1.1");
    let stream = Box::pin(connecting).await.unwrap();
    Box::pin(send(stream, request.unwrap())).await.0
}

fn registration() -> Value {
    let webhook = |name: &str| {
        json!({
            "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
            "clientConfig": {"service": {"name": "webhook", "namespace": "gpu-capgate", "path": "/mutate"}},
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "steering"}, "webhooks": [webhook("other.example.com"), webhook("steer.check.gpu-capgate.io")],
    })
}

#[tokio::test]
async fn the_program_steers_where_it_is_registered_for_it_and_writes_its_ca_there() {
    let mut api = installed().await.with(STEERING, registration());
    let (running, address) = program(&api, &["--steering-configuration=steering"]).await;
    let authority = trusted(&api);
    let held = |number: usize| {
        let webhooks = &api.object(STEERING)["webhooks"];
        webhooks[number]["clientConfig"]["caBundle"].clone()
    };
    assert_eq!(held(1), encoded(&authority));
    assert_eq!(held(0), Value::Null, "it is another's");
    assert_eq!(mutated(&address, &authority).await, StatusCode::OK);
    assert_eq!(running.stop().await, Some(0));
    assert_eq!(api.unread_writes(), 3, "the Secret and both registrations");
}

#[tokio::test]
async fn a_program_that_is_not_to_steer_has_no_such_route_and_leaves_that_registration_alone() {
    let api = installed().await.with(STEERING, registration());
    let (running, address) = program(&api, &[]).await;
    let status = mutated(&address, &trusted(&api)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let webhooks = &api.object(STEERING)["webhooks"];
    assert_eq!(webhooks[1]["clientConfig"]["caBundle"], Value::Null);
    assert_eq!(running.stop().await, Some(0));
}

#[tokio::test]
async fn without_its_registration_nothing_is_steered_and_reviews_go_on() {
    let api = installed().await;
    let (running, address) = program(&api, &["--steering-configuration=steering"]).await;
    let status = mutated(&address, &trusted(&api)).await;
    assert_eq!(status, StatusCode::OK, "it is ready, and serves");
    assert_eq!(running.stop().await, Some(0));
}

#[tokio::test]
async fn a_registration_that_does_not_ask_what_it_should_is_told_at_the_start_and_counted() {
    let steers = ["--steering-configuration=steering"];
    let api = installed().await.with(STEERING, registration());
    let (mut running, _folder) = started(&api, &steers);
    let health = running.listens("--health-listen").await;
    let unasked =
        "CREATE of pods is in no rule of steer.check.gpu-capgate.io, so that they are not steered";
    running.says(&["differ", unasked]).await;
    let counted = "gpu_capgate_registration_differences{webhook=\"steer.check.gpu-capgate.io\"} 1";
    let (_, page) = get(&health, "/metrics").await;
    assert!(page.lines().any(|line| line == counted), "{page}");

    api.delete(STEERING);
    let (mut running, _folder) = started(&api, &steers);
    let missing =
        "webhook steer.check.gpu-capgate.io is not registered, so that Pods are not steered";
    running.says(&["differ", missing]).await;
}

#[tokio::test]
async fn what_steers_without_what_checks_is_told() {
    let api = installed().await.with(STEERING, registration());
    api.delete("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/capgate");
    let (mut running, _folder) = started(&api, &["--steering-configuration=steering"]);
    let missing = "webhook check.gpu-capgate.io is not registered, so that Pods pass unchecked";
    running.says(&["differ", missing]).await;
}
