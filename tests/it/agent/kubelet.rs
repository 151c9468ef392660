//! The agent's registration with the kubelet. Its pauses run on a clock that the test owns, so none of them takes time.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gpu_capgate::lifecycle::Readiness;
use gpu_capgate::node::counts::Counts;
use gpu_capgate::node::inventory::Inventory;
use gpu_capgate::node::kubelet::{Advertisement, keep_advertised};
use gpu_capgate::telemetry::metrics::Registry;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::kubelet::{Kubelet, Manner};
use crate::support::{a_minute_passes, gpu, within};

/// The agent's part that talks to the kubelet, as it runs.
struct Advertised {
    inventory: watch::Sender<Arc<Inventory>>,
    readiness: Readiness,
    registry: Registry,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

fn inventory(uuids: &[&str]) -> Arc<Inventory> {
    let gpus: Vec<String> = uuids
        .iter()
        .map(|uuid| gpu(uuid, "Tesla T4", "7.5"))
        .collect();
    Arc::new(Inventory::parse(&format!("gpus: [{}]", gpus.join(", "))).unwrap())
}

fn advertise(directory: &Path, uuids: &[&str]) -> Advertised {
    let (sender, receiver) = watch::channel(inventory(uuids));
    let (readiness, registry) = (Readiness::default(), Registry::default());
    let counts = Counts::new(&registry, &readiness);
    let stop = CancellationToken::new();
    let advertisement = Advertisement {
        directory: directory.to_owned(),
        resource: "nvidia.com/gpu".to_owned(),
    };
    let advertised = keep_advertised(
        advertisement,
        receiver,
        counts.registrations(),
        counts.allocations,
        stop.clone(),
    );
    Advertised {
        inventory: sender,
        readiness,
        registry,
        stop,
        ended: tokio::spawn(advertised),
    }
}

impl Advertised {
    /// Waits until the kubelet's part is what is waited for, or until nothing is.
    async fn waits_for(&self, parts: &[&str]) {
        // The clock stands still while anybody is busy, and moves on when everybody waits: so the limit holds.
        let moment = Duration::from_millis(1);
        let there = async {
            while self.readiness.waiting() != parts {
                tokio::time::sleep(moment).await;
            }
        };
        within("readiness", there).await;
    }

    fn counts(&self, line: &str) {
        let page = self.registry.page();
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }

    async fn stopped(self) {
        self.stop.cancel();
        within("the end of the advertisement", self.ended)
            .await
            .unwrap();
    }
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn registers_the_resource_and_lists_every_gpu_as_healthy() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let agent = advertise(directory.path(), &["GPU-1", "GPU-2"]);
    let request = kubelet.request().await;
    assert_eq!(request.version, "v1beta1");
    assert_eq!(request.resource_name, "nvidia.com/gpu");
    assert!(!request.endpoint.contains('/'), "a name, and not a path");
    assert_eq!(kubelet.watch().await.devices().await, ["GPU-1", "GPU-2"]);
    agent.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_without_gpus_lists_no_devices() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let _agent = advertise(directory.path(), &[]);
    assert!(kubelet.watch().await.devices().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn is_ready_while_the_kubelet_watches() {
    let directory = tempfile::tempdir().unwrap();
    let agent = advertise(directory.path(), &["GPU-1"]);
    assert_eq!(agent.readiness.waiting(), ["kubelet"]);
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let watch = kubelet.watch().await;
    agent.waits_for(&[]).await;
    agent.counts("gpu_capgate_kubelet_registrations_total{outcome=\"done\"} 1");
    drop(watch);
    agent.waits_for(&["kubelet"]).await;
    let _watch = kubelet.watch().await;
    agent.waits_for(&[]).await;
    agent.counts("gpu_capgate_kubelet_registrations_total{outcome=\"done\"} 2");
}

#[tokio::test(start_paused = true)]
async fn gives_a_container_the_gpus_that_the_kubelet_chose() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let _agent = advertise(directory.path(), &["GPU-1", "GPU-2", "GPU-3"]);
    let mut watch = kubelet.watch().await;
    let environment = watch.allocate(&["GPU-3", "GPU-1"]).await.unwrap();
    assert_eq!(environment["NVIDIA_VISIBLE_DEVICES"], "GPU-3,GPU-1");
}

#[tokio::test(start_paused = true)]
async fn refuses_a_gpu_that_is_gone_in_words_for_the_owner_of_the_pod() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let agent = advertise(directory.path(), &["GPU-1"]);
    let mut watch = kubelet.watch().await;
    let refused = watch.allocate(&["GPU-1", "GPU-9"]).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "gpu-capgate: GPU \"GPU-9\" is not on this node any more; delete the Pod, so that its controller makes another"
    );
    // One refusal is no reason to give up the rest.
    assert!(watch.allocate(&["GPU-1"]).await.is_ok());
    agent.counts("gpu_capgate_allocations_total{outcome=\"refused\"} 1");
    agent.counts("gpu_capgate_allocations_total{outcome=\"given\"} 1");
}

#[tokio::test(start_paused = true)]
async fn an_allocation_follows_the_latest_inventory() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let agent = advertise(directory.path(), &["GPU-1"]);
    let mut watch = kubelet.watch().await;
    agent.inventory.send(inventory(&["GPU-2"])).unwrap();
    assert!(watch.allocate(&["GPU-1"]).await.is_err());
    assert!(watch.allocate(&["GPU-2"]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn registers_when_a_kubelet_appears_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let _agent = advertise(directory.path(), &["GPU-1"]);
    a_minute_passes().await;
    assert_eq!(names(&directory), [] as [&str; 0], "nothing half done");
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    assert_eq!(kubelet.watch().await.devices().await, ["GPU-1"]);
}

#[tokio::test(start_paused = true)]
async fn registers_when_the_whole_directory_appears_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("device-plugins");
    let _agent = advertise(&missing, &["GPU-1"]);
    a_minute_passes().await;
    fs::create_dir(&missing).unwrap();
    let mut kubelet = Kubelet::start(&missing, Manner::Proper);
    assert_eq!(kubelet.watch().await.devices().await, ["GPU-1"]);
}

#[tokio::test(start_paused = true)]
async fn registers_again_under_a_new_name_when_the_kubelet_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = Kubelet::start(directory.path(), Manner::Proper);
    let _agent = advertise(directory.path(), &["GPU-1"]);
    let first = before.request().await.endpoint;
    let watch = before.watch().await;
    drop((before, watch));
    let mut after = Kubelet::start(directory.path(), Manner::Proper);
    let second = after.request().await.endpoint;
    assert_ne!(first, second);
    assert_eq!(after.watch().await.devices().await, ["GPU-1"]);
    assert_eq!(names(&directory), [second, "kubelet.sock".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn registers_again_under_a_new_name_when_the_kubelet_drops_the_device_list() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let _agent = advertise(directory.path(), &["GPU-1"]);
    let first = kubelet.request().await.endpoint;
    drop(kubelet.watch().await);
    let second = kubelet.request().await.endpoint;
    assert_ne!(first, second);
    assert_eq!(kubelet.watch().await.devices().await, ["GPU-1"]);
    assert_eq!(names(&directory), [second, "kubelet.sock".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn tries_again_under_a_new_name_when_the_kubelet_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let refusing = Manner::Refuses("device plugin already connected");
    let mut kubelet = Kubelet::start(directory.path(), refusing);
    let agent = advertise(directory.path(), &["GPU-1"]);
    let first = kubelet.request().await.endpoint;
    assert_ne!(first, kubelet.request().await.endpoint);
    assert!(!names(&directory).contains(&first), "its socket is gone");
    assert_eq!(agent.readiness.waiting(), ["kubelet"]);
    agent.counts("gpu_capgate_kubelet_registrations_total{outcome=\"failed\"} 1");
}

#[tokio::test(start_paused = true)]
async fn does_not_trust_a_kubelet_that_registers_it_and_never_asks_for_the_devices() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Forgetful);
    let agent = advertise(directory.path(), &["GPU-1"]);
    let first = kubelet.request().await.endpoint;
    assert_ne!(first, kubelet.request().await.endpoint);
    assert!(!names(&directory).contains(&first), "its socket is gone");
    assert_eq!(agent.readiness.waiting(), ["kubelet"]);
}

#[tokio::test(start_paused = true)]
async fn tries_again_when_the_kubelet_takes_the_call_and_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Silent);
    let _agent = advertise(directory.path(), &["GPU-1"]);
    let first = kubelet.request().await.endpoint;
    assert_ne!(first, kubelet.request().await.endpoint);
}

#[tokio::test(start_paused = true)]
async fn sends_a_changed_inventory_on_the_open_list() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let agent = advertise(directory.path(), &["GPU-1", "GPU-2"]);
    let mut watch = kubelet.watch().await;
    assert_eq!(watch.devices().await, ["GPU-1", "GPU-2"]);
    agent.inventory.send(inventory(&["GPU-2"])).unwrap();
    assert_eq!(watch.devices().await, ["GPU-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_list_and_removes_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let agent = advertise(directory.path(), &["GPU-1"]);
    let mut watch = kubelet.watch().await;
    watch.devices().await;
    agent.stop.cancel();
    watch.ended().await;
    agent.stopped().await;
    assert_eq!(names(&directory), ["kubelet.sock"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_not_held_up_by_a_kubelet_that_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Silent);
    let agent = advertise(directory.path(), &["GPU-1"]);
    kubelet.request().await;
    let before = tokio::time::Instant::now();
    agent.stopped().await;
    assert!(before.elapsed().as_secs() <= 2, "{:?}", before.elapsed());
    assert_eq!(names(&directory), ["kubelet.sock"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_not_held_up_by_a_peer_that_connects_and_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(directory.path(), Manner::Proper);
    let agent = advertise(directory.path(), &["GPU-1"]);
    let endpoint = kubelet.request().await.endpoint;
    let _watch = kubelet.watch().await;
    let _silent = UnixStream::connect(directory.path().join(endpoint))
        .await
        .unwrap();
    let before = tokio::time::Instant::now();
    agent.stopped().await;
    assert!(before.elapsed().as_secs() <= 2, "{:?}", before.elapsed());
    assert_eq!(names(&directory), ["kubelet.sock"]);
}

#[tokio::test(start_paused = true)]
async fn removes_dead_sockets_of_an_earlier_agent_and_touches_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let dead = |name: &str| drop(UnixListener::bind(directory.path().join(name)).unwrap());
    dead("gpu-capgate-1.sock");
    dead("nvidia-gpu.sock");
    fs::write(directory.path().join("gpu-capgate-notes"), "mine").unwrap();
    fs::write(directory.path().join("kubelet_internal_checkpoint"), "{}").unwrap();
    let _alive = UnixListener::bind(directory.path().join("gpu-capgate-2.sock")).unwrap();
    let agent = advertise(directory.path(), &["GPU-1"]);
    a_minute_passes().await;
    agent.stopped().await;
    assert_eq!(
        names(&directory),
        [
            "gpu-capgate-2.sock",
            "gpu-capgate-notes",
            "kubelet_internal_checkpoint",
            "nvidia-gpu.sock"
        ]
    );
}
