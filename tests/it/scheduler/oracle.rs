//! Creates nodes and Pods in the cluster, and compares what the scheduler does with what we say.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use gpu_capgate::cluster::fleet::{Fleet, NodeObject, Roster, Settings};
use gpu_capgate::cluster::placement::{Basis, Placement};
use gpu_capgate::cluster::quantity;
use gpu_capgate::cluster::schedule;
use gpu_capgate::compat::Catalog;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use super::arbitrary::{self, ArbitraryNode, Comparisons, Random};

/// Nodes that are there at a time, and Pods that are created at a time: one for each.
const NODES: usize = 200;
/// Sets of Pods for one set of nodes.
const WAVES: usize = 6;
/// Requests that are under way at a time.
const ABREAST: usize = 24;
/// A Pod that should be scheduled and is not after that long never will be.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pairs that are compared at least, unless CASES says otherwise.
const CASES: usize = 3600;

/// Compares until there were enough pairs.
pub(super) fn run() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("SEED").unwrap_or_else(|| u64::try_from(now.as_millis()).unwrap());
    let wanted = number("CASES").map_or(CASES, |cases| usize::try_from(cases).unwrap());
    println!("SEED={seed} CASES={wanted}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fit, all) = runtime.block_on(async {
        let mut oracle = Oracle::connect(seed).await;
        let (mut fit, mut all) = (0, 0);
        for round in 0.. {
            if all >= wanted {
                break;
            }
            let (fitting, pairs) = oracle.round(round).await;
            fit += fitting;
            all += pairs;
        }
        (fit, all)
    });
    println!("{all} pairs agree, of which {fit} fit (SEED={seed})");
    let share = fit * 100 / all;
    assert!(
        (15..=85).contains(&share),
        "{share} % fit: the pairs say little"
    );
}

struct Oracle {
    random: Random,
    seed: u64,
    nodes: Api<Node>,
    pods: Api<Pod>,
    comparisons: Comparisons,
}

/// A Pod that was created, and what we say of it.
struct Case {
    pod: Pod,
    fits: bool,
}

impl Oracle {
    async fn connect(seed: u64) -> Self {
        let client = kube::Client::try_default().await.unwrap();
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let mut probe = {
            let mut random = Random::new(1);
            let node = arbitrary::node(&mut random, "n");
            arbitrary::pod(&mut random, "probe", &node, Comparisons::Refused)
        };
        probe["spec"]["tolerations"] = json!([{"key": "level", "operator": "Gt", "value": "4"}]);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let answer = pods
            .create(&dry, &serde_json::from_value(probe).unwrap())
            .await;
        let comparisons = if answer.is_ok() {
            Comparisons::Accepted
        } else {
            Comparisons::Refused
        };
        println!("numeric tolerations: {comparisons:?}");
        Self {
            random: Random::new(seed),
            seed,
            nodes: Api::all(client),
            pods,
            comparisons,
        }
    }

    /// One set of nodes and its Pods; how many pairs fitted, of how many.
    async fn round(&mut self, round: usize) -> (usize, usize) {
        let names = (0..NODES).map(|index| format!("n{round}-{index}"));
        let nodes: Vec<ArbitraryNode> = names
            .map(|name| arbitrary::node(&mut self.random, &name))
            .collect();
        stream::iter(&nodes)
            .map(|node| self.create_node(node))
            .buffer_unordered(ABREAST)
            .collect::<Vec<()>>()
            .await;
        self.wait_for_scheduler(round).await;
        let fleet = self.fleet().await;
        let (mut fit, mut all) = (0, 0);
        for wave in 0..WAVES {
            let pod = |node: &ArbitraryNode| {
                let name = format!("p{wave}-{}", node.name());
                arbitrary::pod(&mut self.random, &name, node, self.comparisons)
            };
            let pods: Vec<Value> = nodes.iter().map(pod).collect();
            let cases = self.create_pods(pods, &fleet).await;
            fit += cases.values().filter(|case| case.fits).count();
            all += cases.len();
            self.compare(cases).await;
            self.remove_pods().await;
        }
        self.nodes
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .unwrap();
        (fit, all)
    }

    /// A node that is stricter than it is to be until the last change: whatever the scheduler has not seen yet can
    /// only make it refuse, and it asks again later.
    async fn create_node(&self, node: &ArbitraryNode) {
        let (name, spec) = (node.name(), &node.spec);
        let labels = &node.labels;
        let status = &node.status;
        let node = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
        let params = PostParams::default();
        self.nodes
            .create(&params, &serde_json::from_value(node).unwrap())
            .await
            .unwrap();
        let patch = |value: Value| Patch::Merge(value);
        let params = PatchParams::default();
        self.nodes
            .patch_status(name, &params, &patch(json!({"status": status})))
            .await
            .unwrap();
        // Admission has added the taint node.kubernetes.io/not-ready.
        self.nodes
            .patch(
                name,
                &params,
                &patch(json!({"spec": {"taints": spec["taints"]}})),
            )
            .await
            .unwrap();
    }

    /// Events of nodes come in order: when the last node is used, the scheduler knows all of them.
    async fn wait_for_scheduler(&self, round: usize) {
        let name = format!("last-{round}");
        let amounts = json!({"cpu": "10", "memory": "10Gi", "pods": "10"});
        let status = json!({"capacity": amounts, "allocatable": amounts});
        self.create_node(&ArbitraryNode {
            labels: BTreeMap::from([("pin".to_owned(), name.clone())]),
            spec: json!({"taints": []}),
            status,
        })
        .await;
        let pod = json!({"metadata": {"name": name}, "spec": {"nodeSelector": {"pin": name}, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i"}]}});
        let pod = self
            .pods
            .create(
                &PostParams::default(),
                &serde_json::from_value(pod).unwrap(),
            )
            .await
            .unwrap();
        let case = Case { pod, fits: true };
        self.compare(HashMap::from([(name, case)])).await;
        self.remove_pods().await;
    }

    async fn fleet(&self) -> Fleet {
        let mut roster = Roster::new(Settings::default(), Catalog::embedded());
        let listed = self.nodes.list(&ListParams::default()).await.unwrap();
        for node in listed.items {
            roster.put_node(&NodeObject::from(node));
        }
        roster.fleet()
    }

    async fn create_pods(&self, pods: Vec<Value>, fleet: &Fleet) -> HashMap<String, Case> {
        stream::iter(pods)
            .map(|written| async move {
                let object: Pod = serde_json::from_value(written).unwrap();
                let pod = self.pods.create(&PostParams::default(), &object).await;
                let pod =
                    pod.unwrap_or_else(|error| panic!("SEED={}: {error}: {object:?}", self.seed));
                let name = pod.metadata.name.clone().unwrap();
                (name, self.case(pod, &object, fleet))
            })
            .buffer_unordered(ABREAST)
            .collect()
            .await
    }

    /// What we say of a Pod: the same before admission has changed it and after.
    fn case(&self, pod: Pod, written: &Pod, fleet: &Fleet) -> Case {
        let fits = |pod: &Pod, basis| schedule::now(&placement(pod, basis), fleet).nodes() == 1;
        let admitted = fits(&pod, Basis::AdmittedPod);
        assert_eq!(
            fits(written, Basis::WrittenPod),
            admitted,
            "SEED={}: admission changed {pod:?}",
            self.seed
        );
        assert!(
            !admitted
                || schedule::possible(&placement(&pod, Basis::AdmittedPod), fleet).nodes() == 1,
            "SEED={}: now and not possible: {pod:?}",
            self.seed
        );
        Case {
            pod,
            fits: admitted,
        }
    }

    /// Follows the Pods until the scheduler has said of each what we say.
    async fn compare(&self, mut open: HashMap<String, Case>) {
        let pods = watcher(self.pods.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects();
        let mut pods = std::pin::pin!(pods);
        while !open.is_empty() {
            let Ok(pod) = tokio::time::timeout(PATIENCE, pods.try_next()).await else {
                let case = open.into_values().next().unwrap();
                self.disagreement(&case, None).await;
                return;
            };
            let pod = pod.unwrap().unwrap();
            let name = pod.metadata.name.clone().unwrap_or_default();
            let Some((case, scheduled)) = open.get(&name).zip(scheduled(&pod)) else {
                continue;
            };
            if scheduled && !case.fits {
                self.disagreement(case, Some(&pod)).await;
            }
            if scheduled == case.fits {
                open.remove(&name);
            }
        }
    }

    async fn disagreement(&self, case: &Case, now: Option<&Pod>) {
        let pinned = &case
            .pod
            .spec
            .as_ref()
            .unwrap()
            .node_selector
            .as_ref()
            .unwrap()["pin"];
        let node = self.nodes.get(pinned).await.unwrap();
        let name = case.pod.metadata.name.as_deref().unwrap();
        let pod = match now {
            Some(pod) => pod.clone(),
            None => self.pods.get(name).await.unwrap(),
        };
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        panic!(
            "SEED={}: we say that the Pod {} the node, and the scheduler does not\nPod spec {}\nPod conditions {}\nNode spec {}\nNode labels {}\nallocatable {}",
            self.seed,
            if case.fits { "fits" } else { "does not fit" },
            pretty(&json!(case.pod.spec)),
            pretty(&json!(pod.status.and_then(|status| status.conditions))),
            pretty(&json!(node.spec)),
            pretty(&json!(node.metadata.labels)),
            pretty(&json!(node.status.and_then(|status| status.allocatable))),
        );
    }

    async fn remove_pods(&self) {
        let now = DeleteParams::default().grace_period(0);
        self.pods
            .delete_collection(&now, &ListParams::default())
            .await
            .unwrap();
    }
}

/// What the scheduler has said of a Pod, if anything.
fn scheduled(pod: &Pod) -> Option<bool> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled")?;
    Some(condition.status == "True")
}

fn placement(pod: &Pod, basis: Basis) -> Placement {
    let spec = pod.spec.as_ref().unwrap();
    let limits = spec.containers[0]
        .resources
        .as_ref()
        .and_then(|resources| resources.limits.clone());
    let amounts = limits.unwrap_or_default().into_iter();
    let resources = amounts.map(|(name, amount)| (name, quantity::whole(&amount.0).unwrap()));
    Placement::of_spec(spec, basis, resources.collect())
}
