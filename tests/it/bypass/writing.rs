//! The ways in which one and the same Pod can be written.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use super::RESOURCE;

/// A digest, which changes nothing: an image is judged by its tag until somebody has read the digest.
const DIGEST: &str = "@sha256:0f00000000000000000000000000000000000000000000000000000000000001";

/// A way to write a Pod.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    place: Place,
    amount: Value,
    form: Form,
    registry: &'static str,
    digest: &'static str,
    container: Vec<(&'static str, Value)>,
    spec: Vec<(&'static str, Value)>,
    metadata: Vec<(&'static str, Value)>,
    annotations: Vec<(&'static str, Value)>,
    beside: Beside,
}

/// Where the container stands that asks for GPUs.
#[derive(Debug, Clone, Copy)]
enum Place {
    Main,
    Second,
    Init,
    Sidecar,
}

/// How it asks.
#[derive(Debug, Clone, Copy)]
enum Form {
    Limits,
    Both,
    Requests,
    BesideOthers,
}

/// What the container beside it does.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    AsksToo,
    AsksForNone,
}

/// All spellings of whole numbers from 1 to 1024 that Kubernetes takes for a quantity
/// (k8s.io/apimachinery/pkg/api/resource/quantity.go, `ParseQuantity`).
fn amounts() -> impl Strategy<Value = Value> {
    select(vec![
        json!("1"),
        json!(1),
        json!(1.0),
        json!("+1"),
        json!("01"),
        json!("1."),
        json!("1.0"),
        json!("1000m"),
        json!("1000000u"),
        json!("1000000000n"),
        json!("1e0"),
        json!("1E0"),
        json!("10e-1"),
        json!("0.1E1"),
        json!("0.001k"),
        json!(".001k"),
        json!("0.000001M"),
        json!("2"),
        json!("1k"),
        json!("1e3"),
        json!("1Ki"),
        json!("0.5Ki"),
    ])
}

fn some_of(of: Vec<(&'static str, Value)>) -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let most = of.len().min(4);
    subsequence(of, 0..=most)
}

/// Fields of a container that change nothing of what its image holds.
fn container_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("command", json!(["python", "train.py"])),
        (
            "command",
            json!(["bash", "-c", "nvidia-smi && python train.py --epochs 3"]),
        ),
        (
            "command",
            json!([
                "sh",
                "-c",
                "pip list; pip show torch; conda info; uv --version; python train.py"
            ]),
        ),
        ("args", json!(["--pip-install", "no"])),
        ("args", json!(["pipeline", "installed", "curl", "wget"])),
        ("workingDir", json!("/workspace")),
        (
            "env",
            json!([{"name": "PYTHONPATH", "value": "/workspace"}, {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}]),
        ),
        (
            "env",
            json!([{"name": "NVIDIA_DISABLE_REQUIRE", "value": "true"}, {"name": "TORCH_CUDA_ARCH_LIST", "value": "6.0"}]),
        ),
        ("envFrom", json!([{"configMapRef": {"name": "settings"}}])),
        (
            "volumeMounts",
            json!([{"name": "shm", "mountPath": "/dev/shm"}, {"name": "data", "mountPath": "/data"}]),
        ),
        ("imagePullPolicy", json!("Never")),
        ("securityContext", json!({"privileged": true})),
        ("ports", json!([{"containerPort": 80}])),
        (
            "resizePolicy",
            json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
        ),
        (
            "lifecycle",
            json!({"postStart": {"exec": {"command": ["true"]}}}),
        ),
        (
            "unknown",
            json!({"image": "good", "resources": {"limits": {RESOURCE: "0"}}}),
        ),
    ]
}

/// Fields of a Pod's specification that leave it nodes which cannot run it, and none that can.
fn spec_fields() -> Vec<(&'static str, Value)> {
    let preferred = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "good", "operator": "Exists"}]}}]},
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}]}});
    let required = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "good", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "good", "operator": "DoesNotExist"}]}]}}});
    vec![
        ("nodeName", json!("node-0")),
        ("nodeSelector", json!({"pool": "batch"})),
        ("nodeSelector", json!(null)),
        ("affinity", preferred),
        ("affinity", required),
        ("tolerations", json!([{"operator": "Exists"}])),
        (
            "tolerations",
            json!([{"key": RESOURCE, "operator": "Equal", "value": "present", "effect": "NoSchedule"}]),
        ),
        ("schedulerName", json!("volcano")),
        ("schedulingGates", json!([{"name": "example.com/wait"}])),
        (
            "topologySpreadConstraints",
            json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
        ),
        (
            "resources",
            json!({"limits": {"cpu": "4", "memory": "8Gi"}, "requests": {"cpu": "2"}}),
        ),
        ("overhead", json!({"cpu": "250m"})),
        ("runtimeClassName", json!("nvidia")),
        ("hostIPC", json!(true)),
        ("hostNetwork", json!(true)),
        ("priorityClassName", json!("system-node-critical")),
        ("serviceAccountName", json!("admin")),
        ("os", json!({"name": "linux"})),
        (
            "ephemeralContainers",
            json!([{"name": "debug", "image": "busybox"}]),
        ),
        (
            "volumes",
            json!([{"name": "shm", "emptyDir": {"medium": "Memory"}}, {"name": "data", "emptyDir": {}}]),
        ),
        ("restartPolicy", json!("Never")),
        ("suspend", json!(true)),
        ("template", json!({"spec": {"containers": []}})),
    ]
}

/// Metadata that a Pod may have, and that hides nothing.
fn metadata_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("generateName", json!("train-")),
        (
            "labels",
            json!({"gpu-capgate.io/mode": "off", "kueue.x-k8s.io/queue-name": "team"}),
        ),
        (
            "labels",
            json!({"app.kubernetes.io/managed-by": "gpu-capgate"}),
        ),
        ("finalizers", json!(["example.com/stay"])),
        (
            "ownerReferences",
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "train", "uid": "u"}]),
        ),
        (
            "managedFields",
            json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:containers": {}}}}]),
        ),
        ("deletionGracePeriodSeconds", json!(0)),
        ("deletionTimestamp", json!(null)),
        ("namespace", json!("kube-system")),
    ]
}

/// Annotations that say nothing, though they look as if they did.
fn annotations() -> Vec<(&'static str, Value)> {
    vec![
        ("gpu-capgate.io/mode", json!("Off")),
        ("gpu-capgate.io/mode", json!(" off")),
        ("gpu-capgate.io/mode", json!("off,warn")),
        ("gpu-capgate.io/mode", json!("")),
        ("gpu-capgate.io/mode", json!("disabled")),
        ("gpu-capgate.io/mode", json!("off\u{0}")),
        ("gpu-capgate.io/mode", json!("o\u{fb00}")),
        ("gpu-capgate.io/mode", json!("off".repeat(40_000))),
        ("gpu-capgate.io/mode", json!(["off"])),
        ("gpu-capgate.io/mode", json!("enforce")),
        ("gpu-capgate.io/Mode", json!("off")),
        ("GPU-CAPGATE.IO/mode", json!("off")),
        ("gpu-capgate.io/mode ", json!("off")),
        ("gpu-capgate.io/skip", json!("true")),
        ("gpu-capgate.io/inventory", json!("{}")),
        ("gpu-capgate.io/requires", json!("sm=banana")),
        ("gpu-capgate.io/requires", json!("sm=60; sm=60")),
        ("gpu-capgate.io/requires", json!("sm=60;".repeat(20_000))),
        ("gpu-capgate.io/requires", json!({"sm": 60})),
        ("requires.gpu-capgate.io/other", json!("cuda=12.6; sm=60")),
        ("kubernetes.io/config.source", json!("file")),
        ("kubernetes.io/config.seen", json!("2026-01-01T00:00:00Z")),
    ]
}

/// All ways to write a Pod.
pub(super) fn writings() -> impl Strategy<Value = Writing> {
    let place = select(vec![
        Place::Main,
        Place::Second,
        Place::Init,
        Place::Sidecar,
    ]);
    let form = select(vec![
        Form::Limits,
        Form::Both,
        Form::Requests,
        Form::BesideOthers,
    ]);
    let registry = select(vec!["", "docker.io/", "index.docker.io/"]);
    let digest = select(vec!["", DIGEST]);
    let beside = select(vec![Beside::Nothing, Beside::AsksToo, Beside::AsksForNone]);
    let fields = (
        some_of(container_fields()),
        some_of(spec_fields()),
        some_of(metadata_fields()),
        some_of(annotations()),
    );
    (place, amounts(), form, registry, digest, beside, fields).prop_map(
        |(place, amount, form, registry, digest, beside, fields)| {
            let (container, spec, metadata, annotations) = fields;
            Writing {
                place,
                amount,
                form,
                registry,
                digest,
                container,
                spec,
                metadata,
                annotations,
                beside,
            }
        },
    )
}

impl Writing {
    /// The shortest way.
    pub(super) fn plain() -> Self {
        Self {
            place: Place::Main,
            amount: json!("1"),
            form: Form::Limits,
            registry: "",
            digest: "",
            container: Vec::new(),
            spec: Vec::new(),
            metadata: Vec::new(),
            annotations: Vec::new(),
            beside: Beside::Nothing,
        }
    }

    /// The Pod with that image in the container that asks for GPUs.
    pub(super) fn pod(&self, image: &str) -> Value {
        let mut asking = json!({
            "name": "train", "image": format!("{}{image}{}", self.registry, self.digest),
            "resources": self.resources(),
        });
        extend(&mut asking, &self.container);
        let busybox = json!({"name": "log", "image": "busybox:1.36"});
        let (mut init, mut main) = (Vec::new(), vec![busybox.clone()]);
        match self.place {
            Place::Main => main = vec![asking],
            Place::Second => main.push(asking),
            Place::Init => init.push(asking),
            Place::Sidecar => {
                asking["restartPolicy"] = json!("Always");
                init.extend([busybox, asking]);
            }
        }
        main.extend(self.beside());
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "train", "namespace": "ml", "annotations": {}},
            "spec": {"containers": main, "initContainers": init},
        });
        extend(&mut pod["spec"], &self.spec);
        extend(&mut pod["metadata"], &self.metadata);
        extend(&mut pod["metadata"]["annotations"], &self.annotations);
        pod
    }

    fn resources(&self) -> Value {
        let amount = json!({RESOURCE: self.amount});
        match self.form {
            Form::Limits => json!({"limits": amount}),
            Form::Both => json!({"limits": amount, "requests": amount}),
            Form::Requests => json!({"requests": amount}),
            Form::BesideOthers => json!({
                "limits": {RESOURCE: self.amount, "cpu": "500m", "memory": "1.5Gi", "ephemeral-storage": "1e9"},
                "requests": {"cpu": 0.1, "hugepages-2Mi": "0"},
            }),
        }
    }

    fn beside(&self) -> Option<Value> {
        let limits = match self.beside {
            Beside::Nothing => return None,
            Beside::AsksToo => json!({RESOURCE: "2"}),
            Beside::AsksForNone => json!({RESOURCE: "0"}),
        };
        Some(json!({
            "name": "beside", "image": "nvidia/cuda:11.8.0-base-ubuntu22.04", "resources": {"limits": limits},
        }))
    }
}

fn extend(object: &mut Value, fields: &[(&'static str, Value)]) {
    let fields: Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    object.as_object_mut().unwrap().extend(fields);
}
