//! The whole product on a real cluster: API server, scheduler, kubelet, containerd, Helm. Needs root on Linux.

pub(crate) mod chart;
pub(crate) mod credentials;
pub(crate) mod harness;
pub(crate) mod objects;

use harness::{Cluster, Outcome, Ran, until};

/// Names by which the test and the demo know what they install.
const INSTALL: [&str; 8] = [
    "install",
    "gpu-capgate",
    "charts/gpu-capgate",
    "--namespace=gpu-capgate",
    "--create-namespace",
    "--wait",
    "--timeout=90s",
    "--hide-notes",
];

const LABELS: &str = "\
gpu-capgate.io/compute.max=60
gpu-capgate.io/compute.min=60
gpu-capgate.io/cuda.major=12
gpu-capgate.io/cuda.max=1204
gpu-capgate.io/driver.major=550
gpu-capgate.io/driver.version=550.54.15
gpu-capgate.io/family=pascal
gpu-capgate.io/gpu.count=4
gpu-capgate.io/memory.min-mib=16384
gpu-capgate.io/platform=dgpu
gpu-capgate.io/product.Tesla-P100-PCIE-16GB=4
gpu-capgate.io/runtime.mode=legacy
gpu-capgate.io/sm-60=4
";

const CAUSE: &str = "image has no GPU code for Tesla P100-PCIE-16GB (sm_60), the only GPU type this Pod can land on \
    [GPU-ARCH]";

const ASK_FOR_A_GPU: [&str; 4] = [
    "set",
    "resources",
    "deployment/serve",
    "--limits=nvidia.com/gpu=1",
];

const REFUSAL: &str = "Error from server (Forbidden): error when creating \"demo/train-cuda12.8.yaml\": admission webhook \
    \"check.gpu-capgate.io\" denied the request: container \"train\": image has no GPU code for Tesla P100-PCIE-16GB \
    (sm_60), the only GPU type this Pod can land on [GPU-ARCH]";

/// One cluster for all of it: starting one takes longer than most of what happens on it.
#[test]
fn real_cluster_shows_the_whole_product() {
    let Outcome::Started(cluster) = Cluster::start("real_cluster_shows_the_whole_product") else {
        return;
    };
    cluster.load_images();
    install(&cluster);
    the_node_carries_exactly_its_labels(&cluster);
    the_gpus_can_be_allocated(&cluster);
    a_pod_that_cannot_run_is_refused_with_the_cause(&cluster);
    a_dry_run_gives_the_same_answer(&cluster);
    a_pod_that_can_run_gets_its_gpus(&cluster);
    a_deployment_is_refused_when_it_begins_to_ask_for_gpus(&cluster);
    a_deployment_that_is_let_in_shows_the_cause_in_its_events(&cluster);
    an_upgrade_keeps_the_webhook_trusted(&cluster);
    an_upgrade_to_another_mode_is_in_force_without_a_restart(&cluster);
    a_kubelet_that_restarts_gets_the_gpus_again(&cluster);
    without_the_webhook_pods_are_admitted(&cluster);
    uninstalling_leaves_nothing_but_labels(&cluster);
    cluster.passed();
}

fn install(cluster: &Cluster) {
    let inventory = cluster.state().join("gpus");
    std::fs::create_dir_all(&inventory).unwrap();
    std::fs::copy("demo/inventory.yaml", inventory.join("inventory.yaml")).unwrap();
    let directory = format!("--set=agent.inventoryDir={}", inventory.display());
    cluster.succeeds("helm", &[&INSTALL[..], &[&directory]].concat());
}

fn the_node_carries_exactly_its_labels(cluster: &Cluster) {
    let labels = cluster.kubectl(&[
        "get",
        "node",
        "lab",
        "-o",
        "go-template={{range $k, $v := .metadata.labels}}{{$k}}={{$v}}{{\"\\n\"}}{{end}}",
    ]);
    let ours: Vec<&str> = labels
        .lines()
        .filter(|line| line.starts_with("gpu-capgate.io/"))
        .collect();
    let expected: Vec<&str> = LABELS.lines().collect();
    assert_eq!(ours, expected);
}

fn the_gpus_can_be_allocated(cluster: &Cluster) {
    cluster.kubectl(&[
        "wait",
        "node/lab",
        "--for=jsonpath={.status.allocatable.nvidia\\.com/gpu}=4",
        "--timeout=60s",
    ]);
}

fn a_pod_that_cannot_run_is_refused_with_the_cause(cluster: &Cluster) {
    let refused = cluster.run("kubectl", &["apply", "-f", "demo/train-cuda12.8.yaml"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.stderr.lines().next(), Some(REFUSAL));
    for part in [
        "\n  image  docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime\n",
        "\n  nodes  1 possible: 1x Tesla P100-PCIE-16GB (sm_60) -> 0 of 1 can run it\n",
        "\n  skip   annotation gpu-capgate.io/mode: warn\n",
        "\n  more   gpu-capgate explain GPU-ARCH\n",
    ] {
        assert!(
            refused.stderr.contains(part),
            "{part:?} is not in:\n{}",
            refused.stderr
        );
    }
    assert_eq!(cluster.kubectl(&["get", "pods", "-o", "name"]), "");
}

fn a_dry_run_gives_the_same_answer(cluster: &Cluster) {
    let dry = cluster.run(
        "kubectl",
        &[
            "apply",
            "--dry-run=server",
            "-f",
            "demo/train-cuda12.8.yaml",
        ],
    );
    assert_eq!(dry.stderr.lines().next(), Some(REFUSAL));
}

fn a_pod_that_can_run_gets_its_gpus(cluster: &Cluster) {
    cluster.kubectl(&["apply", "-f", "demo/train-cuda12.6.yaml"]);
    cluster.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "pod/train",
        "--timeout=60s",
    ]);
    let environment = cluster.kubectl(&["exec", "train", "--", "env"]);
    let devices = environment
        .lines()
        .find_map(|line| line.strip_prefix("NVIDIA_VISIBLE_DEVICES="));
    let mut devices: Vec<&str> = devices
        .unwrap_or_else(|| panic!("no devices in:\n{environment}"))
        .split(',')
        .collect();
    devices.sort_unstable();
    devices.dedup();
    let of_the_node = |id: &&str| id.starts_with("GPU-5c1f000") && id.ends_with("-p100");
    assert!(
        devices.len() == 2 && devices.iter().all(of_the_node),
        "{devices:?}"
    );
    cluster.kubectl(&["delete", "pod", "train", "--wait"]);
}

/// A Deployment that begins without GPUs and without Pods, and then asks for one.
fn a_deployment_is_refused_when_it_begins_to_ask_for_gpus(cluster: &Cluster) {
    cluster.kubectl(&[
        "create",
        "deployment",
        "serve",
        "--image=pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime",
        "--replicas=0",
    ]);
    let refused = cluster.run("kubectl", &ASK_FOR_A_GPU);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let first = refused.stderr.lines().next().unwrap_or_default();
    assert!(first.ends_with(CAUSE), "{refused:?}");
}

/// The annotation on the Deployment itself goes to its ReplicaSet, and not to the Pods.
fn a_deployment_that_is_let_in_shows_the_cause_in_its_events(cluster: &Cluster) {
    let off = ["annotate", "deployment/serve", "gpu-capgate.io/mode=off"];
    cluster.kubectl(&off);
    cluster.kubectl(&ASK_FOR_A_GPU);
    cluster.kubectl(&["scale", "deployment/serve", "--replicas=1"]);
    until("the ReplicaSet tells why it has no Pod", || {
        let told = first_line_of_event(cluster, "FailedCreate");
        told.starts_with("Error creating: admission webhook") && told.ends_with(CAUSE)
    });
    until("the webhook tells the ReplicaSet why it has no Pod", || {
        first_line_of_event(cluster, "GPU-ARCH")
            == format!("gpu-capgate: container \"pytorch\": {CAUSE}")
    });
    let listed = cluster.kubectl(&["get", "events", "--field-selector=reason=GPU-ARCH"]);
    assert!(
        listed.contains("GPU-ARCH") && listed.contains("replicaset/serve-"),
        "{listed}"
    );
    let by = "jsonpath={.items[*].reportingComponent}";
    let by = cluster.kubectl(&[
        "get",
        "events",
        "--field-selector=reason=GPU-ARCH",
        "-o",
        by,
    ]);
    // Once from each replica that was asked.
    let mut by = by.split_whitespace();
    assert!(by.all(|by| by == "gpu-capgate.io/webhook"), "{listed}");
    cluster.kubectl(&["delete", "deployment", "serve", "--wait"]);
}

fn first_line_of_event(cluster: &Cluster, reason: &str) -> String {
    let selector = format!("--field-selector=reason={reason}");
    let messages = "jsonpath={.items[*].message}";
    let told = cluster.kubectl(&["get", "events", &selector, "-o", messages]);
    told.lines().next().unwrap_or_default().to_owned()
}

fn an_upgrade_keeps_the_webhook_trusted(cluster: &Cluster) {
    let bundle = || {
        let path = "jsonpath={.webhooks[0].clientConfig.caBundle}";
        cluster.kubectl(&[
            "get",
            "validatingwebhookconfiguration",
            "gpu-capgate-webhook",
            "-o",
            path,
        ])
    };
    let before = bundle();
    assert!(!before.is_empty());
    let debug = ["--reuse-values", "--set=logLevel=debug"];
    chart::apply(cluster, &[&debug[..], &chart::WAIT].concat());
    assert_eq!(bundle(), before);
    let refused = cluster.run("kubectl", &["apply", "-f", "demo/train-cuda12.8.yaml"]);
    assert_eq!(
        refused.stderr.lines().next(),
        Some(REFUSAL),
        "after an upgrade"
    );
}

fn an_upgrade_to_another_mode_is_in_force_without_a_restart(cluster: &Cluster) {
    let template = "-o=jsonpath={.items[*].metadata.generation}";
    let template = ["get", "deployments", template];
    let template = || cluster.kubectl(&[&template[..], &chart::WEBHOOK_PODS].concat());
    let try_it = ["apply", "--dry-run=server", "-f=demo/train-cuda12.8.yaml"];
    for (mode, code, stderr) in [
        (
            "warn",
            0,
            format!("Warning: gpu-capgate: container \"train\": {CAUSE}"),
        ),
        ("enforce", 1, REFUSAL.to_owned()),
    ] {
        let before = template();
        chart::reconfigure(cluster, &format!("webhook.config.mode={mode}"), mode);
        until("both replicas have the new mode", || {
            let ran: Vec<Ran> = (0..8).map(|_| cluster.run("kubectl", &try_it)).collect();
            ran.iter().all(|ran| {
                ran.code == Some(code) && ran.stderr.lines().next() == Some(stderr.as_str())
            })
        });
        assert_eq!(template(), before);
    }
}

fn a_kubelet_that_restarts_gets_the_gpus_again(cluster: &Cluster) {
    let registrations = || {
        let log = cluster.kubectl(&[
            "--namespace=gpu-capgate",
            "logs",
            "daemonset/gpu-capgate-agent",
        ]);
        log.matches("registered with the kubelet").count()
    };
    let before = registrations();
    cluster.restart_kubelet();
    until("the agent registered again", || {
        let log = cluster.run(
            "kubectl",
            &[
                "--namespace=gpu-capgate",
                "logs",
                "daemonset/gpu-capgate-agent",
            ],
        );
        log.stdout.matches("registered with the kubelet").count() > before
    });
    the_gpus_can_be_allocated(cluster);
}

fn without_the_webhook_pods_are_admitted(cluster: &Cluster) {
    cluster.kubectl(&[
        "--namespace=gpu-capgate",
        "scale",
        "deployment/gpu-capgate-webhook",
        "--replicas=0",
    ]);
    until("the webhook is gone", || {
        let pods = [
            "--namespace=gpu-capgate",
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/component=webhook",
            "-o",
            "name",
        ];
        cluster.kubectl(&pods).is_empty()
    });
    // failurePolicy is Ignore unless the administrator wants otherwise.
    cluster.kubectl(&[
        "apply",
        "--dry-run=server",
        "-f",
        "demo/train-cuda12.8.yaml",
    ]);
}

fn uninstalling_leaves_nothing_but_labels(cluster: &Cluster) {
    cluster.succeeds(
        "helm",
        &[
            "uninstall",
            "gpu-capgate",
            "--namespace=gpu-capgate",
            "--wait",
            "--cascade=foreground",
        ],
    );
    let kinds = "all,secrets,configmaps,roles,rolebindings,poddisruptionbudgets,clusterroles,clusterrolebindings,validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings";
    let left = cluster.kubectl(&[
        "get",
        kinds,
        "--all-namespaces",
        "-l",
        "app.kubernetes.io/name=gpu-capgate",
        "-o",
        "name",
    ]);
    assert_eq!(left, "");
    assert_eq!(
        cluster.kubectl(&["get", "secrets", "--namespace=gpu-capgate", "-o", "name"]),
        ""
    );
}
