//! What the agent writes on its Node, as the API server sees it.

use std::sync::Arc;

use gpu_capgate::lifecycle::Readiness;
use gpu_capgate::node::counts::Counts;
use gpu_capgate::node::inventory::Inventory;
use gpu_capgate::node::labeller::{OwnNode, keep_labelled};
use gpu_capgate::telemetry::metrics::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::api_server::{ApiServer, Instead};
use crate::support::{gpu, skip_a_minute, within};

const NODE: &str = "/api/v1/nodes/gpu-1";

struct Labelled {
    inventory: watch::Sender<Arc<Inventory>>,
    readiness: Readiness,
    registry: Registry,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

fn inventory(text: &str) -> Arc<Inventory> {
    Arc::new(Inventory::parse(text).unwrap())
}

fn mixed() -> Arc<Inventory> {
    let (t4, a100) = (
        gpu("GPU-1", "Tesla T4", "7.5"),
        gpu("GPU-2", "NVIDIA A100-SXM4-80GB", "8.0"),
    );
    inventory(&format!("{{driver: 550.54.15, gpus: [{t4}, {a100}]}}"))
}

fn label(api: &ApiServer) -> Labelled {
    let (sender, receiver) = watch::channel(mixed());
    let (readiness, registry) = (Readiness::default(), Registry::default());
    let stop = CancellationToken::new();
    let node = OwnNode {
        name: "gpu-1".to_owned(),
        boot_id: "boot-1".to_owned(),
    };
    let labels = Counts::new(&registry, &readiness).labels();
    let labelled = keep_labelled(api.client(), node, receiver, labels, stop.clone());
    Labelled {
        inventory: sender,
        readiness,
        registry,
        stop,
        ended: tokio::spawn(labelled),
    }
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1", "labels": {"team": "vision"}}})
}

fn keys(body: &Value) -> Vec<&str> {
    let labels = body["metadata"]["labels"].as_object().unwrap();
    labels.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn applies_labels_and_annotation_on_its_own_node_as_their_one_owner() {
    let mut api = ApiServer::start().await.with(NODE, node());
    let _agent = label(&api);
    let write = api.write().await;
    assert_eq!(write.path, NODE);
    let mut query: Vec<&str> = write
        .query
        .split('&')
        .filter(|part| !part.is_empty())
        .collect();
    query.sort_unstable();
    assert_eq!(query, ["fieldManager=gpu-capgate", "force=true"]);
    assert_eq!(write.body["kind"], "Node");
    let metadata = &write.body["metadata"];
    assert_eq!(metadata["labels"]["gpu-capgate.io/gpu.count"], "2");
    assert_eq!(metadata["labels"]["gpu-capgate.io/compute.min"], "75");
    assert_eq!(metadata["labels"]["gpu-capgate.io/compute.max"], "80");
    assert_eq!(
        metadata["labels"]["gpu-capgate.io/driver.version"],
        "550.54.15"
    );
    let annotation = metadata["annotations"]["gpu-capgate.io/inventory"]
        .as_str()
        .unwrap();
    let annotation: Value = serde_json::from_str(annotation).unwrap();
    assert_eq!(annotation["bootID"], "boot-1");
    assert_eq!(annotation["groups"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn writes_nothing_outside_its_own_domain() {
    let mut api = ApiServer::start().await.with(NODE, node());
    let _agent = label(&api);
    let body = api.write().await.body;
    assert!(
        keys(&body)
            .iter()
            .all(|key| key.starts_with("gpu-capgate.io/"))
    );
    let top: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(top, ["apiVersion", "kind", "metadata"]);
    let metadata: Vec<&String> = body["metadata"].as_object().unwrap().keys().collect();
    assert_eq!(metadata, ["annotations", "labels"]);
}

#[tokio::test]
async fn gpus_that_are_gone_are_no_longer_named() {
    let mut api = ApiServer::start().await.with(NODE, node());
    let agent = label(&api);
    let before = api.write().await.body;
    assert!(keys(&before).contains(&"gpu-capgate.io/sm-75"));
    agent.inventory.send(inventory("gpus: []")).unwrap();
    let after = api.write().await.body;
    // Server-side apply takes away what its owner no longer names.
    let of_a_gpu = ["sm-", "product.", "compute.", "family", "memory."];
    let left: Vec<&str> = keys(&after)
        .into_iter()
        .filter(|key| of_a_gpu.iter().any(|part| key.contains(part)))
        .collect();
    assert_eq!(left, [] as [&str; 0]);
    assert_eq!(after["metadata"]["labels"]["gpu-capgate.io/gpu.count"], "0");
}

#[tokio::test]
async fn is_ready_when_the_node_is_labelled_and_not_before() {
    let refused = Instead::Refuse(500, "etcdserver: leader changed");
    let mut api = ApiServer::start()
        .await
        .with(NODE, node())
        .instead([refused]);
    let agent = label(&api);
    api.write().await;
    assert_eq!(agent.readiness.waiting(), ["node labels"]);
    api.write().await;
    agent.stop.cancel();
    within("the end of the labeller", agent.ended)
        .await
        .unwrap();
    assert_eq!(agent.readiness.waiting(), [] as [&str; 0]);
    let page = agent.registry.page();
    for count in ["{outcome=\"done\"} 1", "{outcome=\"failed\"} 1"] {
        let line = format!("gpu_capgate_label_applies_total{count}");
        assert!(page.lines().any(|known| known == line), "{page}");
    }
}

#[tokio::test]
async fn is_not_ready_from_a_write_that_fails_to_the_next_that_does_not() {
    let mut api = ApiServer::start().await.with(NODE, node());
    let agent = label(&api);
    api.write().await;
    let ready = |wanted: bool| {
        let readiness = agent.readiness.clone();
        async move {
            while readiness.waiting().is_empty() != wanted {
                tokio::task::yield_now().await;
            }
        }
    };
    within("readiness", ready(true)).await;
    api.next_writes([Instead::Refuse(403, "nodes is forbidden")]);
    agent.inventory.send(inventory("gpus: []")).unwrap();
    within("unreadiness", ready(false)).await;
    within("readiness", ready(true)).await;
}

#[tokio::test]
async fn a_node_that_is_not_there_yet_is_labelled_when_it_is() {
    let mut api = ApiServer::start().await;
    let agent = label(&api);
    api.write().await;
    assert_eq!(agent.readiness.waiting(), ["node labels"]);
    let mut api = api.with(NODE, node());
    api.write().await;
    agent.stop.cancel();
    within("the end of the labeller", agent.ended)
        .await
        .unwrap();
    assert_eq!(api.object(NODE)["metadata"]["labels"]["team"], "vision");
    assert_eq!(
        api.object(NODE)["metadata"]["labels"]["gpu-capgate.io/gpu.count"],
        "2"
    );
}

#[tokio::test]
async fn a_stop_is_not_held_up_by_an_api_server_that_does_not_answer() {
    let mut api = ApiServer::start()
        .await
        .with(NODE, node())
        .instead([Instead::KeepWaiting]);
    let agent = label(&api);
    api.write().await;
    agent.stop.cancel();
    within("the end of the labeller", agent.ended)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_call_that_is_never_answered_is_made_again() {
    let mut api = ApiServer::start()
        .await
        .with(NODE, node())
        .instead([Instead::KeepWaiting]);
    let _agent = label(&api);
    api.write().await;
    skip_a_minute().await;
    api.write().await;
}
