//! Refusals that would have been wrong: one test for each kind that users of such webhooks have reported, with the
//! refusal beside it that is right, so that none of them passes by refusing nothing.

use gpu_capgate::admission::answer::{Answer, answer};
use gpu_capgate::admission::assess::{Assessor, NodeList};
use gpu_capgate::admission::decision::Decision;
use gpu_capgate::admission::policy::{Mode, Policy, Reaction};
use gpu_capgate::admission::recall::Recall;
use gpu_capgate::cluster::demand::{Demand, Origin, Reader, Reading};
use gpu_capgate::cluster::fleet::{
    DeclaredPool, DeviceClassObject, NodeObject, Roster, Settings, SliceObject,
};
use gpu_capgate::cluster::resource::GpuResources;
use gpu_capgate::cluster::workload::Kinds;
use gpu_capgate::compat::{Catalog, Code};
use gpu_capgate::image::evidence::Knowledge;
use gpu_capgate::image::repositories::Repositories;
use serde_json::{Value, json};

use Decision::{Allow, Deny, Undecided, Warn};

const GPU: &str = "nvidia.com/gpu";
/// No code below `sm_70` (pytorch/pytorch, release/2.8: `.ci/manywheel/build_cuda.sh`).
const CUDA_12_8: &str = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime";

/// Nodes of a cluster, and what is said about Pods there.
struct Cluster {
    roster: Roster<'static>,
    policy: Policy,
}

impl Cluster {
    fn of(nodes: impl IntoIterator<Item = Value>) -> Self {
        let mut roster = Roster::new(Settings::default(), Catalog::embedded());
        for (number, mut node) in nodes.into_iter().enumerate() {
            node["metadata"]["name"] = json!(format!("node-{number}"));
            roster.put_node(&NodeObject::from_json(&node).unwrap());
        }
        Self {
            roster,
            policy: Policy::default(),
        }
    }

    fn answer(&mut self, object: &Value) -> Answer {
        let (kinds, resources) = (Kinds::bundled().unwrap(), GpuResources::default());
        let reader = Reader {
            kinds: &kinds,
            resources: &resources,
            origin: Origin::Review,
        };
        let Reading::Workload(workload) = reader.read(object).unwrap() else {
            return Answer::silence();
        };
        let groups = workload.groups.into_iter().map(|group| group.demand);
        groups
            .map(|demand| self.judged(&demand))
            .next()
            .unwrap_or(Answer::silence())
    }

    fn judged(&mut self, demand: &Demand) -> Answer {
        let repositories = Repositories::bundled().unwrap();
        let assessor = Assessor {
            knowledge: Knowledge {
                catalog: Catalog::embedded(),
                repositories: &repositories,
            },
            policy: &self.policy,
            nodes: NodeList::Whole,
            recall: &Recall::default(),
        };
        let fleet = self.roster.fleet();
        answer(
            &assessor,
            &assessor.assess(demand, &fleet),
            &fleet,
            Mode::Enforce,
        )
    }

    fn decides(&mut self, object: &Value) -> (Decision, Vec<Code>) {
        let answer = self.answer(object);
        (answer.decision, answer.codes)
    }
}

/// A node with one GPU that our agent has labelled.
fn node(product: &str, capability: &str, driver: &str, cuda: &str) -> Value {
    let inventory = json!({
        "schema": 1, "driver": driver, "cuda": cuda, "platform": "dgpu", "bootID": "boot-1",
        "groups": [{"product": product, "computeCapability": capability, "memoryMiB": 16384, "count": 1}],
    });
    let compute = capability.replace('.', "");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "labels": {"gpu-capgate.io/compute.min": compute, "gpu-capgate.io/compute.max": compute,
                       "kubernetes.io/arch": "amd64"},
            "annotations": {"gpu-capgate.io/inventory": inventory.to_string()},
        },
        "status": {"capacity": {GPU: "1"}, "allocatable": {GPU: "1"},
                   "nodeInfo": {"bootID": "boot-1", "architecture": "amd64", "operatingSystem": "linux"}},
    })
}

fn p100() -> Value {
    node("Tesla P100-PCIE-16GB", "6.0", "580.65.06", "13.0")
}

fn a100() -> Value {
    node("NVIDIA A100-SXM4-80GB", "8.0", "580.65.06", "13.0")
}

fn with(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, key) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "train", "annotations": {}},
        "spec": {"containers": [
            {"name": "train", "image": image, "resources": {"limits": {GPU: "1"}}},
        ]},
    })
}

/// A Pod whose author declares what its image holds.
fn declared(requires: &str) -> Value {
    let pod = pod("registry.example.com/team/train:1");
    with(
        pod,
        "/metadata/annotations",
        json!({"gpu-capgate.io/requires": requires}),
    )
}

fn job(image: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train", "labels": {}},
        "spec": {"template": {"metadata": {}, "spec": pod(image)["spec"]}},
    })
}

/// What becomes of declared software on one GPU.
fn on(requires: &str, node: Value) -> (Decision, Vec<Code>) {
    Cluster::of([node]).decides(&declared(requires))
}

fn gpu(product: &str, capability: &str) -> Value {
    node(product, capability, "580.65.06", "13.0")
}

#[test]
fn the_control_is_refused() {
    assert_eq!(
        Cluster::of([p100()]).decides(&pod(CUDA_12_8)),
        (Deny, vec![Code::Arch])
    );
}

/// CUDA C++ programming guide, binary compatibility; `a` and `f` targets: NVCC guide, GPU feature list.
#[test]
fn item_1_code_runs_on_later_gpus_of_the_same_generation_and_never_backward() {
    for (requires, product, capability) in [
        ("cuda=12.6; sm=80", "NVIDIA A10", "8.6"),
        ("cuda=12.6; sm=80", "NVIDIA L4", "8.9"),
        ("cuda=12.8; sm=100", "NVIDIA B300", "10.3"),
        ("cuda=12.8; sm=120", "NVIDIA GB10", "12.1"),
        ("cuda=12.6; sm=90a", "NVIDIA H100 PCIe", "9.0"),
        ("cuda=12.9; sm=100f", "NVIDIA B300", "10.3"),
    ] {
        assert_eq!(
            on(requires, gpu(product, capability)),
            (Allow, vec![]),
            "{requires} on {capability}"
        );
    }
    for (requires, product, capability) in [
        ("cuda=12.6; sm=86", "NVIDIA A100-SXM4-80GB", "8.0"),
        ("cuda=12.6; sm=90", "NVIDIA B200", "10.0"),
        ("cuda=12.8; sm=100a", "NVIDIA B300", "10.3"),
    ] {
        assert_eq!(
            on(requires, gpu(product, capability)),
            (Deny, vec![Code::Arch]),
            "{requires} on {capability}"
        );
    }
}

#[test]
fn item_2_ptx_runs_on_any_later_gpu_if_the_driver_compiles_it_and_is_slow_at_first() {
    // On a GPU for which no forward-compatibility package could help.
    let rtx = |driver, cuda| node("NVIDIA GeForce RTX 4090", "8.9", driver, cuda);
    assert_eq!(
        on("cuda=12.4; ptx=80", rtx("550.54.15", "12.4")),
        (Warn, vec![Code::Jit])
    );
    assert_eq!(
        on("cuda=12.4; ptx=80", rtx("535.183.01", "12.2")),
        (Deny, vec![Code::Ptx])
    );
    let warned = Cluster::of([rtx("550.54.15", "12.4")]).answer(&declared("cuda=12.4; ptx=80"));
    assert!(
        warned.findings[0]
            .contains("only by compiling compute_80 PTX at the first start, which is slow"),
        "{warned:?}"
    );
}

/// CUDA compatibility guide, minor-version compatibility.
#[test]
fn item_3_compiled_code_of_a_later_minor_version_runs_on_an_older_driver() {
    let old = || node("NVIDIA GeForce RTX 4090", "8.9", "550.54.15", "12.4");
    assert_eq!(on("cuda=12.9; sm=80", old()), (Allow, vec![]));
    assert_eq!(on("cuda=13.0; sm=80", old()), (Deny, vec![Code::Driver]));
}

/// CUDA compatibility guide, forward compatibility; error 804.
#[test]
fn item_4_compat_libraries_help_data_centre_gpus_and_harm_others() {
    let devel = pod("pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel");
    let runtime = pod("pytorch/pytorch:2.6.0-cuda12.6-cudnn9-runtime");
    let a100 = || Cluster::of([node("NVIDIA A100-SXM4-80GB", "8.0", "470.82.01", "11.4")]);
    assert_ne!(a100().decides(&devel).0, Deny);
    assert_eq!(a100().decides(&runtime), (Deny, vec![Code::Driver]));
    let mut geforce = Cluster::of([node("NVIDIA GeForce RTX 4090", "8.9", "535.183.01", "12.2")]);
    let (decision, codes) = geforce.decides(&devel);
    assert_eq!(decision, Warn);
    assert!(codes.contains(&Code::Compat), "{codes:?}");
}

/// NVIDIA container toolkit: only the legacy runtime evaluates `NVIDIA_REQUIRE_*`, unless it is told not to.
#[test]
fn item_5_start_conditions_count_only_where_they_are_enforced() {
    let devel = "nvidia/cuda:12.6.3-base-ubuntu22.04";
    let with_runtime = |mode: &str| {
        let mut old = node("NVIDIA GeForce RTX 4090", "8.9", "550.54.15", "12.4");
        let key = "gpu-capgate.io/inventory";
        let inventory = old["metadata"]["annotations"][key].as_str().unwrap();
        let mut inventory: Value = serde_json::from_str(inventory).unwrap();
        inventory["runtime"] = json!(mode);
        old["metadata"]["annotations"][key] = json!(inventory.to_string());
        Cluster::of([old])
    };
    let (decision, codes) = with_runtime("legacy").decides(&pod(devel));
    assert_eq!((decision, codes.first()), (Deny, Some(&Code::Require)));
    assert_eq!(with_runtime("cdi").decides(&pod(devel)).0, Warn);
    let off = json!([{"name": "NVIDIA_DISABLE_REQUIRE", "value": "true"}]);
    let off = with(pod(devel), "/spec/containers/0/env", off);
    assert!(
        !with_runtime("legacy")
            .decides(&off)
            .1
            .contains(&Code::Require)
    );
    let own = json!([{"name": "NVIDIA_REQUIRE_CUDA", "value": "cuda>=12.0"}]);
    let own = with(pod(devel), "/spec/containers/0/env", own);
    assert!(
        !with_runtime("legacy")
            .decides(&own)
            .1
            .contains(&Code::Require)
    );
}

#[test]
fn item_6_software_that_comes_at_start_is_not_the_images() {
    let mut cluster = Cluster::of([p100()]);
    for command in [
        json!(["sh", "-c", "pip install torch==2.6.0 && python train.py"]),
        json!(["bash", "-c", "conda env update -f env.yml; python train.py"]),
        json!(["uv", "run", "train.py"]),
        json!(["bash", "-c", "curl -s https://example.com/setup.sh | bash"]),
    ] {
        let pod = with(
            pod(CUDA_12_8),
            "/spec/containers/0/command",
            command.clone(),
        );
        assert_eq!(cluster.decides(&pod).0, Undecided, "{command}");
    }
    let mounts = json!([{"name": "env", "mountPath": "/opt/conda"}]);
    let pod = with(pod(CUDA_12_8), "/spec/containers/0/volumeMounts", mounts);
    assert_eq!(cluster.decides(&pod).0, Undecided);
}

#[test]
fn item_7_nodes_that_may_come_or_are_not_labelled_yet_are_not_failing_ones() {
    assert_eq!(Cluster::of([]).decides(&pod(CUDA_12_8)).0, Undecided);
    let bare = with(p100(), "/metadata/annotations", json!({}));
    let bare = with(bare, "/metadata/labels", json!({}));
    assert_eq!(
        Cluster::of([p100(), bare.clone()])
            .decides(&pod(CUDA_12_8))
            .0,
        Undecided
    );
    // The driver is there and the plugin is not: labels, and no resource yet.
    let late = with(a100(), "/status/capacity", json!({}));
    let late = with(late, "/status/allocatable", json!({}));
    assert_eq!(Cluster::of([p100(), late]).decides(&pod(CUDA_12_8)).0, Warn);
    let mut pooled = Cluster::of([p100()]);
    pooled.roster.put_declared_pool(&DeclaredPool {
        name: "a100".to_owned(),
        gpu: Some("NVIDIA A100-SXM4-80GB".to_owned()),
        driver: Some("580.65.06".parse().unwrap()),
        ..DeclaredPool::default()
    });
    assert_eq!(
        pooled.decides(&pod(CUDA_12_8)),
        (Warn, vec![Code::Arch, Code::Partial])
    );
    let mut open = Cluster::of([p100()]);
    let pool = json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "gpu"},
        "spec": {"template": {"spec": {"requirements": []}}}});
    open.roster.put_node_pool(&pool).unwrap();
    assert_eq!(open.decides(&pod(CUDA_12_8)).0, Undecided);
}

#[test]
fn item_8_what_fits_some_nodes_is_admitted_with_the_affinity_that_picks_them() {
    let mut cluster = Cluster::of([p100(), p100(), a100()]);
    let warned = cluster.answer(&pod(CUDA_12_8));
    assert_eq!(
        (warned.decision, warned.codes),
        (Warn, vec![Code::Arch, Code::Partial])
    );
    assert_eq!(
        warned.findings,
        [
            "gpu-capgate: container \"train\": image has no GPU code for Tesla P100-PCIE-16GB (sm_60), and this Pod can \
          land there: it runs on 1 of 3 nodes; nodeAffinity gpu-capgate.io/compute.min Gt \"79\" keeps it off the others \
          [GPU-PARTIAL]"
        ]
    );
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "gpu-capgate.io/compute.min", "operator": "Gt", "values": ["79"]}]}]}}});
    let kept = with(pod(CUDA_12_8), "/spec/affinity", affinity);
    assert_eq!(cluster.decides(&kept), (Allow, vec![]));
    cluster.policy.partial_fit = Reaction::Deny;
    let refused = cluster.answer(&pod(CUDA_12_8));
    assert_eq!(refused.decision, Deny);
    assert!(refused.text.contains("[GPU-PARTIAL]\n"), "{}", refused.text);
    assert!(
        refused
            .text
            .contains("nodeAffinity gpu-capgate.io/compute.min Gt \"79\"   (1 such node)"),
        "{}",
        refused.text
    );
}

#[test]
fn item_9_a_template_that_a_queue_completes_is_not_refused() {
    let mut cluster = Cluster::of([p100()]);
    assert_eq!(cluster.decides(&job(CUDA_12_8)).0, Deny);
    let suspended = with(job(CUDA_12_8), "/spec/suspend", json!(true));
    assert_eq!(cluster.decides(&suspended).0, Warn);
    let queued = with(
        job(CUDA_12_8),
        "/metadata/labels",
        json!({"kueue.x-k8s.io/queue-name": "team"}),
    );
    assert_eq!(cluster.decides(&queued).0, Warn);
    // Tolerations may be added to Pods later: a tainted node counts for a template.
    let taint = json!({"taints": [{"key": "team", "value": "x", "effect": "NoSchedule"}]});
    let tainted = with(a100(), "/spec", taint);
    let mut cluster = Cluster::of([p100(), tainted]);
    assert_eq!(cluster.decides(&job(CUDA_12_8)).0, Warn);
    assert_eq!(cluster.decides(&pod(CUDA_12_8)).0, Deny);
}

#[test]
fn item_10_states_that_pass_exclude_no_node_and_taints_that_stay_do() {
    let good = |spec: Value| Cluster::of([p100(), with(a100(), "/spec", spec)]);
    for spec in [
        json!({"unschedulable": true, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}),
        json!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}),
        json!({"taints": [{"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}]}),
        json!({"taints": [{"key": "team", "effect": "PreferNoSchedule"}]}),
    ] {
        assert_eq!(
            good(spec.clone()).decides(&pod(CUDA_12_8)).0,
            Warn,
            "{spec}"
        );
    }
    let stays = json!({"taints": [{"key": "team", "value": "x", "effect": "NoSchedule"}]});
    assert_eq!(good(stays.clone()).decides(&pod(CUDA_12_8)).0, Deny);
    let tolerations = json!([{"key": "team", "operator": "Exists"}]);
    let tolerant = with(pod(CUDA_12_8), "/spec/tolerations", tolerations);
    assert_eq!(good(stays).decides(&tolerant).0, Warn);
    let busy = with(a100(), "/status/allocatable", json!({GPU: "0"}));
    assert_eq!(Cluster::of([p100(), busy]).decides(&pod(CUDA_12_8)).0, Warn);
}

#[test]
fn item_11_only_containers_that_get_gpus_are_judged_and_only_where_their_pod_can_be() {
    let mut cluster = Cluster::of([p100(), a100()]);
    let silent = |pod: &Value| assert_eq!(Cluster::of([p100()]).decides(pod), (Allow, vec![]));
    silent(&with(
        pod(CUDA_12_8),
        "/spec/containers/0/resources",
        json!({}),
    ));
    silent(&with(
        pod(CUDA_12_8),
        "/metadata/annotations",
        json!({"kubernetes.io/config.mirror": "x"}),
    ));
    silent(&with(
        pod(CUDA_12_8),
        "/spec/containers/0/resources",
        json!({"limits": {GPU: "0"}}),
    ));
    let debug = json!([{"name": "debug", "image": CUDA_12_8}]);
    let without = with(pod(CUDA_12_8), "/spec/containers/0/resources", json!({}));
    silent(&with(without.clone(), "/spec/ephemeralContainers", debug));
    let init = json!([{"name": "get", "image": CUDA_12_8}]);
    let fits = pod("pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime");
    silent(&with(fits, "/spec/initContainers", init));
    let asking = json!([{"name": "get", "image": CUDA_12_8, "resources": {"limits": {GPU: "1"}}}]);
    let asking = with(without, "/spec/initContainers", asking);
    assert_eq!(Cluster::of([p100()]).decides(&asking).0, Deny);
    // By name, on the node that fits, although another does not; and the other way round.
    assert_eq!(
        cluster.decides(&with(pod(CUDA_12_8), "/spec/nodeName", json!("node-1"))),
        (Allow, vec![])
    );
    assert_eq!(
        cluster
            .decides(&with(pod(CUDA_12_8), "/spec/nodeName", json!("node-0")))
            .0,
        Deny
    );
    let pinned = |name: &str| {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}});
        with(pod(CUDA_12_8), "/spec/affinity", affinity)
    };
    assert_eq!(cluster.decides(&pinned("node-1")), (Allow, vec![]));
    assert_eq!(cluster.decides(&pinned("node-0")).0, Deny);
}

#[test]
fn item_12_gpus_under_other_names_are_judged_and_those_nobody_asked_for_only_warn() {
    let shared = |product: &str, capability: &str, resource: &str| {
        let node = gpu(product, capability);
        let node = with(node, "/status/capacity", json!({resource: "4"}));
        with(node, "/status/allocatable", json!({resource: "4"}))
    };
    let asking = |resource: &str| {
        with(
            pod(CUDA_12_8),
            "/spec/containers/0/resources",
            json!({"limits": {resource: "1"}}),
        )
    };
    for resource in ["nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb"] {
        let mut good = Cluster::of([shared("NVIDIA A100-SXM4-80GB", "8.0", resource)]);
        assert_eq!(
            good.decides(&asking(resource)),
            (Allow, vec![]),
            "{resource}"
        );
        let mut bad = Cluster::of([shared("Tesla P100-PCIE-16GB", "6.0", resource)]);
        assert_eq!(bad.decides(&asking(resource)).0, Deny, "{resource}");
    }
    let all = json!([{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]);
    let implicit = with(pod(CUDA_12_8), "/spec/containers/0/resources", json!({}));
    let implicit = with(implicit, "/spec/containers/0/env", all);
    let implicit = with(implicit, "/spec/runtimeClassName", json!("nvidia"));
    assert_eq!(
        Cluster::of([p100()]).decides(&implicit),
        (Warn, vec![Code::Implicit])
    );
    let other = asking("nvidia.com/gpumem");
    assert_eq!(Cluster::of([p100()]).decides(&other), (Allow, vec![]));
}

/// KEP-5004: an extended resource may be met by devices of a DeviceClass, without any device plugin.
#[test]
fn item_13_devices_of_dynamic_resource_allocation_are_candidates_too() {
    let bare = || {
        let node = with(p100(), "/metadata/annotations", json!({}));
        let node = with(node, "/metadata/labels", json!({}));
        let node = with(node, "/status/capacity", json!({}));
        with(node, "/status/allocatable", json!({}))
    };
    let slice = |product: &str, capability: &str| {
        let slice = json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "node-1-gpu"},
            "spec": {"driver": "gpu.nvidia.com", "nodeName": "node-1",
                "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "gpu-0", "attributes": {
                    "type": {"string": "gpu"}, "productName": {"string": product},
                    "cudaComputeCapability": {"version": capability}, "driverVersion": {"version": "580.65.6"},
                    "cudaDriverVersion": {"version": "13.0.0"}}}]},
        });
        SliceObject::read(serde_json::from_value(slice).unwrap()).unwrap()
    };
    let class = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"},
        "spec": {"extendedResourceName": GPU, "selectors": [
            {"cel": {"expression": "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'"}}]},
    });
    let class = || DeviceClassObject::read(serde_json::from_value(class.clone()).unwrap()).unwrap();
    let cluster = |product: &str, capability: &str| {
        let mut cluster = Cluster::of([p100(), bare()]);
        cluster.roster.put_slice(slice(product, capability));
        cluster.roster.put_device_class(class());
        cluster
    };
    assert_eq!(
        cluster("NVIDIA A100-SXM4-80GB", "8.0.0")
            .decides(&pod(CUDA_12_8))
            .0,
        Warn
    );
    assert_eq!(
        cluster("Tesla P100-PCIE-16GB", "6.0.0")
            .decides(&pod(CUDA_12_8))
            .0,
        Deny
    );
    // Which devices a claim picks is not known here: never a refusal.
    let claims = json!({"claims": [{"name": "gpu"}]});
    let claiming = with(pod(CUDA_12_8), "/spec/containers/0/resources", claims);
    let claiming = with(
        claiming,
        "/spec/resourceClaims",
        json!([{"name": "gpu", "resourceClaimName": "x"}]),
    );
    assert_eq!(
        cluster("Tesla P100-PCIE-16GB", "6.0.0")
            .decides(&claiming)
            .0,
        Warn
    );
    assert_eq!(
        Cluster::of([p100(), bare()]).decides(&claiming).0,
        Undecided
    );
}
