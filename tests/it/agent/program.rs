//! The real program `gpu-capgate agent`: what it says of input that it cannot use, and how it waits, serves and stops.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::api_server::{ApiServer, Instead, kubeconfig};
use crate::support::http::get;
use crate::support::kubelet::{Kubelet, Manner};
use crate::support::process::{Running, argument, failure, gpu_capgate};
use crate::support::{gpu, within};

/// Exit code for input that cannot be used.
const UNUSABLE: i32 = 2;
/// Exit code for what is wrong around the program.
const FAILED: i32 = 1;

/// A folder that is the agent's whole world: inventory, KUBECONFIG, device-plugin directory.
struct World(TempDir);

impl World {
    /// With a good inventory.
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        let gpu = gpu("GPU-1", "Tesla P100-PCIE-16GB", "6.0");
        fs::write(world.inventory(), format!("gpus: [{gpu}]\n")).unwrap();
        world
    }

    fn with_inventory(content: impl AsRef<[u8]>) -> Self {
        let world = Self::new();
        fs::write(world.inventory(), content).unwrap();
        world
    }

    fn inventory(&self) -> PathBuf {
        self.0.path().join("inventory.yaml")
    }

    /// The agent, with arguments that win over the usual ones.
    fn agent(&self, more: &[&str]) -> Command {
        let inventory = self.inventory();
        let usual = [
            ("--node-name", "gpu-1"),
            ("--inventory", argument(&inventory)),
            ("--device-plugin-dir", argument(self.0.path())),
            ("--health-listen", "127.0.0.1:0"),
        ];
        let mut arguments = vec!["agent"];
        for (option, value) in usual {
            if !more.contains(&option) {
                arguments.extend([option, value]);
            }
        }
        arguments.extend(more);
        gpu_capgate(&arguments)
    }

    fn agent_of(&self, api: &ApiServer) -> Command {
        let mut agent = self.agent(&[]);
        agent.env("KUBECONFIG", api.kubeconfig(self.0.path()));
        agent
    }
}

/// The one line that a refusal of the inventory is, after its beginning `gpu-capgate: error: `.
async fn refused(world: &World) -> String {
    let (code, text) = failure(&mut world.agent(&[])).await;
    assert_eq!(code, UNUSABLE, "{text}");
    let line = text.strip_prefix("gpu-capgate: error: ").unwrap();
    assert!(line.contains(argument(&world.inventory())), "{line}");
    line.to_owned()
}

fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

fn node() -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1"}})
}

#[tokio::test]
async fn a_directory_is_no_inventory() {
    let world = World::new();
    fs::remove_file(world.inventory()).unwrap();
    fs::create_dir(world.inventory()).unwrap();
    holds(&refused(&world).await, &["directory", "--inventory"]);
}

#[tokio::test]
async fn a_file_of_more_than_a_mebibyte_is_no_inventory() {
    // The limit falls into the middle of a character.
    let world = World::with_inventory("\u{20ac}".repeat(400_000));
    holds(&refused(&world).await, &["1048576 bytes", "--inventory"]);
}

#[tokio::test]
async fn a_device_without_an_end_is_no_inventory() {
    let world = World::new();
    fs::remove_file(world.inventory()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", world.inventory()).unwrap();
    holds(&refused(&world).await, &["1048576 bytes", "--inventory"]);
}

#[tokio::test]
async fn broken_yaml_is_named_with_its_line() {
    let world = World::with_inventory("driver: 550.54.15\ngpus:\n  - {uuid: GPU-1, product: [\n");
    let text = refused(&world).await;
    assert!(text.contains("line 3") || text.contains("line 4"), "{text}");
}

#[tokio::test]
async fn a_uuid_that_is_there_twice_is_named_with_its_place() {
    let gpu = gpu("GPU-1", "Tesla T4", "7.5");
    let world = World::with_inventory(format!("gpus: [{gpu}, {gpu}]"));
    holds(&refused(&world).await, &["gpus[1].uuid", "GPU-1"]);
}

#[tokio::test]
async fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let world = World::with_inventory("gpus: []\ngpu: []\n");
    holds(&refused(&world).await, &["`gpu`", "line 2", "driver, cuda"]);
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_named_with_their_line() {
    let world = World::with_inventory(b"driver: 550.54.15\ngpus: [] # caf\xe9\n");
    holds(&refused(&world).await, &["UTF-8", "line 2", "0xe9"]);
}

#[tokio::test]
async fn control_characters_of_an_inventory_never_reach_the_terminal() {
    let gpu = gpu("\"\\e[31mGPU\\a\"", "Tesla T4", "7.5");
    let world = World::with_inventory(format!("gpus: [{gpu}]"));
    let text = refused(&world).await;
    holds(&text, &["gpus[0].uuid"]);
    assert!(!text.trim_end().contains(char::is_control), "{text:?}");
}

#[tokio::test]
async fn an_empty_file_is_no_inventory() {
    let world = World::with_inventory("");
    holds(&refused(&world).await, &["end of input", "line 1"]);
}

#[tokio::test]
async fn without_a_way_to_the_api_server_it_says_what_to_set() {
    let (code, text) = failure(&mut World::new().agent(&[])).await;
    assert_eq!(code, FAILED, "{text}");
    holds(&text, &["API server", "ServiceAccount", "KUBECONFIG"]);
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_named() {
    let world = World::new();
    let mut agent = world.agent(&[]);
    agent.env("KUBECONFIG", "/nowhere/kubeconfig");
    let (code, text) = failure(&mut agent).await;
    assert_eq!(code, FAILED, "{text}");
    holds(&text, &["/nowhere/kubeconfig", "KUBECONFIG"]);
}

#[tokio::test]
async fn a_health_port_that_is_taken_is_named_with_its_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let world = World::new();
    let (code, text) = failure(&mut world.agent(&["--health-listen", &address])).await;
    assert_eq!(code, FAILED, "{text}");
    holds(&text, &[&address, "--health-listen", "in use"]);
}

#[tokio::test]
async fn a_resource_that_the_kubelet_would_refuse_is_refused_first() {
    let world = World::new();
    let (code, text) = failure(&mut world.agent(&["--resource", "gpu"])).await;
    assert_eq!(code, UNUSABLE, "{text}");
    holds(&text, &["'gpu'", "--resource", "nvidia.com/gpu"]);
}

#[tokio::test]
async fn a_log_filter_that_is_none_is_named_with_what_may_stand_there() {
    let world = World::new();
    let (code, text) = failure(&mut world.agent(&["--log", "info,kube=loud"])).await;
    assert_eq!(code, UNUSABLE, "{text}");
    holds(&text, &["--log", "info,kube=loud", "debug"]);
}

#[tokio::test]
async fn with_the_api_server_away_it_lives_waits_and_stops_when_told() {
    let world = World::new();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let mut command = world.agent(&[]);
    command.env("KUBECONFIG", kubeconfig(world.0.path(), &closed));
    let mut agent = Running::start(&mut command);
    let health = agent.listens("--health-listen").await;
    agent.says(&["cannot label the node", "refused"]).await;
    let (_, page) = get(&health, "/metrics").await;
    assert!(page.contains("gpu_capgate_agent_waits{part=\"node labels\"} 1\n"));
    assert!(page.contains("gpu_capgate_advertised_gpus 0\n"), "{page}");
    assert_eq!(get(&health, "/livez").await.0, StatusCode::OK);
    assert_eq!(
        get(&health, "/readyz").await,
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for kubelet, node labels\n".to_owned()
        )
    );
    let told = Instant::now();
    assert_eq!(agent.stop().await, Some(0));
    assert!(told.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn labels_its_node_advertises_its_gpus_and_is_ready() {
    let world = World::new();
    let mut kubelet = Kubelet::start(world.0.path(), Manner::Proper);
    let mut api = ApiServer::start().await.with("/api/v1/nodes/gpu-1", node());
    let mut agent = Running::start(&mut world.agent_of(&api));
    let health = agent.listens("--health-listen").await;
    let mut watch = kubelet.watch().await;
    assert_eq!(watch.devices().await, ["GPU-1"]);
    let labels = &api.write().await.body["metadata"]["labels"];
    assert_eq!(labels["gpu-capgate.io/sm-60"], "1");
    is_ready(&health).await;
    let (_, page) = get(&health, "/metrics").await;
    for line in [
        "gpu_capgate_inventory_gpus 1",
        "gpu_capgate_advertised_gpus 1",
        "gpu_capgate_agent_waits{part=\"kubelet\"} 0",
        "gpu_capgate_label_applies_total{outcome=\"done\"} 1",
        "gpu_capgate_kubelet_registrations_total{outcome=\"done\"} 1",
    ] {
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
    assert_eq!(agent.stop().await, Some(0));
    watch.ended().await;
}

async fn is_ready(health: &str) {
    let ready = async {
        while get(health, "/readyz").await != (StatusCode::OK, "ok\n".to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    within("readiness", ready).await;
}

#[tokio::test]
async fn where_only_labels_are_wanted_it_is_ready_without_a_kubelet() {
    let world = World::new();
    let api = ApiServer::start().await.with("/api/v1/nodes/gpu-1", node());
    let mut command = world.agent(&["--device-plugin=false"]);
    command.env("KUBECONFIG", api.kubeconfig(world.0.path()));
    let mut agent = Running::start(&mut command);
    is_ready(&agent.listens("--health-listen").await).await;
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test]
async fn without_an_inventory_it_waits_and_a_node_that_never_had_one_is_ready() {
    let world = World::new();
    fs::remove_file(world.inventory()).unwrap();
    let mut api = ApiServer::start().await.with("/api/v1/nodes/gpu-1", node());
    let mut agent = Running::start(&mut world.agent_of(&api));
    let health = agent.listens("--health-listen").await;
    let file = world.inventory();
    agent
        .says(&["no inventory", argument(&file), "--inventory"])
        .await;
    is_ready(&health).await;
    assert_eq!(get(&health, "/livez").await.0, StatusCode::OK);
    assert_eq!(api.unread_writes(), 0, "what is not known is not written");
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test]
async fn an_inventory_that_comes_late_is_read_and_until_then_a_labelled_node_is_not_ready() {
    let world = World::new();
    let late = world.0.path().join("late.yaml");
    fs::rename(world.inventory(), &late).unwrap();
    let mut labelled = node();
    labelled["metadata"]["annotations"] = json!({"gpu-capgate.io/inventory": "{}"});
    let mut api = ApiServer::start()
        .await
        .with("/api/v1/nodes/gpu-1", labelled);
    let _kubelet = Kubelet::start(world.0.path(), Manner::Proper);
    let mut agent = Running::start(&mut world.agent_of(&api));
    let health = agent.listens("--health-listen").await;
    agent.says(&["labels of an earlier time stay"]).await;
    assert_eq!(get(&health, "/readyz").await.1, "waiting for inventory\n");
    assert_eq!(api.unread_writes(), 0, "what is not known is not written");
    fs::rename(&late, world.inventory()).unwrap();
    agent.says(&["inventory read"]).await;
    let labels = &api.write().await.body["metadata"]["labels"];
    assert_eq!(labels["gpu-capgate.io/sm-60"], "1");
    is_ready(&health).await;
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test]
async fn an_inventory_that_comes_late_and_is_none_ends_it_with_its_line() {
    let world = World::new();
    fs::remove_file(world.inventory()).unwrap();
    let api = ApiServer::start().await.with("/api/v1/nodes/gpu-1", node());
    let mut agent = Running::start(&mut world.agent_of(&api));
    agent.says(&["no inventory"]).await;
    let broken = world.0.path().join("broken.yaml");
    fs::write(&broken, "gpus: []\ngpu: []\n").unwrap();
    fs::rename(&broken, world.inventory()).unwrap();
    agent.says(&["error", "is no inventory", "line 2"]).await;
    assert_eq!(agent.ended().await, Some(UNUSABLE));
}

#[tokio::test]
async fn a_conflict_is_logged_and_tried_again() {
    is_tried_again(409, "Apply failed with 1 conflict", &["conflict"]).await;
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_tried_again() {
    let needs = ["nodes is forbidden", "get and patch on nodes"];
    is_tried_again(403, "nodes is forbidden", &needs).await;
}

#[tokio::test]
async fn an_error_of_the_api_server_is_logged_and_tried_again() {
    is_tried_again(500, "etcdserver: leader changed", &["leader changed"]).await;
}

async fn is_tried_again(code: u16, message: &'static str, words: &[&str]) {
    let world = World::new();
    let mut api = ApiServer::start()
        .await
        .with("/api/v1/nodes/gpu-1", node())
        .instead([Instead::Refuse(code, message)]);
    let mut agent = Running::start(&mut world.agent_of(&api));
    agent.says(words).await;
    api.write().await;
    api.write().await;
    agent.says(&["labelled"]).await;
}
