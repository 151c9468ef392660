//! What objects ask for.

use serde_json::{Value, json};

use super::*;
use crate::cluster::placement::{Basis, Claims, PodNetwork};
use crate::cluster::pod_hints::{ImplicitAccess, SharedMemory, SoftwareChange};

fn read_from(object: &Value, origin: Origin) -> Result<Reading, DemandError> {
    let kinds = Kinds::bundled().unwrap();
    let resources = GpuResources::default();
    Reader {
        kinds: &kinds,
        resources: &resources,
        origin,
    }
    .read(object)
}

fn workload(object: &Value) -> Workload {
    match read_from(object, Origin::Manifest).unwrap() {
        Reading::Workload(workload) => workload,
        Reading::Skipped(skip) => panic!("skipped: {skip:?}"),
    }
}

fn demands(object: &Value) -> Vec<Demand> {
    workload(object)
        .groups
        .into_iter()
        .map(|group| group.demand)
        .collect()
}

fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

fn demand(spec: &Value) -> Option<Demand> {
    demands(&pod(spec)).into_iter().next()
}

fn container(gpus: &str) -> Value {
    json!({"name": "train", "image": "i", "resources": {"limits": {"nvidia.com/gpu": gpus}}})
}

fn only(spec: &Value) -> ContainerDemand {
    let mut containers = demand(spec).unwrap().containers;
    assert_eq!(containers.len(), 1);
    containers.remove(0)
}

fn need(spec: &Value) -> Option<u64> {
    demand(spec)?
        .placement
        .resources
        .get("nvidia.com/gpu")
        .copied()
}

/// A container like [`container`] with other fields.
fn with(fields: &Value) -> Value {
    let mut container = container("1");
    for (name, value) in fields.as_object().unwrap() {
        container[name] = value.clone();
    }
    container
}

fn changed(fields: &Value) -> Option<SoftwareChange> {
    only(&json!({"containers": [with(fields)]})).changed
}

#[test]
fn a_pod_without_gpus_is_none_of_our_business() {
    assert_eq!(
        demand(&json!({"containers": [{"name": "web", "image": "nginx"}]})),
        None
    );
    assert_eq!(demand(&json!({"containers": [container("0")]})), None);
    assert_eq!(demand(&json!({})), None);
}

#[test]
fn containers_of_every_kind_carry_their_paths_and_roles() {
    let mut sidecar = container("1");
    sidecar["restartPolicy"] = json!("Always");
    let spec = json!({"initContainers": [container("1"), sidecar], "containers": [{"name": "x"}, container("2")],
        "ephemeralContainers": [container("1")]});
    let found = demand(&spec).unwrap().containers;
    let found: Vec<_> = found
        .iter()
        .map(|found| (found.field.to_string(), found.role, found.gpu_count()))
        .collect();
    let expected = [
        ("spec.initContainers[0].image", Role::Init, 1),
        ("spec.initContainers[1].image", Role::Sidecar, 1),
        ("spec.containers[1].image", Role::Main, 2),
    ];
    assert_eq!(
        found,
        expected.map(|(field, role, gpus)| (field.to_owned(), role, gpus))
    );
}

#[test]
fn the_pod_needs_what_the_scheduler_counts() {
    let mut sidecar = container("1");
    sidecar["restartPolicy"] = json!("Always");
    assert_eq!(
        need(&json!({"containers": [container("1"), container("2")]})),
        Some(3)
    );
    assert_eq!(
        need(&json!({"initContainers": [container("4")], "containers": [container("2")]})),
        Some(4)
    );
    assert_eq!(
        need(&json!({"initContainers": [sidecar, container("4")], "containers": [container("2")]})),
        Some(5)
    );
}

#[test]
fn quantities_are_read_in_every_legal_spelling_and_others_named() {
    let of = |value: &Value| json!({"containers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": value}}}]});
    for (written, count) in [
        (json!(2), 2),
        (json!("2e0"), 2),
        (json!("1k"), 1000),
        (json!(2.0), 2),
        (json!("2000m"), 2),
    ] {
        assert_eq!(need(&of(&written)), Some(count), "{written}");
    }
    for absurd in [
        json!("1.5"),
        json!(-1),
        json!("many"),
        json!("1e99"),
        json!(null),
        json!([1]),
        json!("9".repeat(1000)),
    ] {
        let error = read_from(&pod(&of(&absurd)), Origin::Manifest).unwrap_err();
        assert_eq!(
            error.field().to_string(),
            "spec.containers[0].resources",
            "{error}"
        );
        assert!(error.to_string().contains("nvidia.com/gpu"), "{error}");
    }
    let unrelated =
        json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "nonsense"}}}]});
    assert_eq!(demand(&unrelated), None);
}

#[test]
fn requests_default_to_limits_and_other_extended_resources_are_kept_for_placement() {
    let spec = json!({"containers": [{"name": "a", "resources":
        {"limits": {"nvidia.com/gpu": 2, "rdma/hca": 1, "cpu": 4}, "requests": {"nvidia.com/gpu": 2, "memory": "1Gi"}}}]});
    let placement = demand(&spec).unwrap().placement;
    let expected =
        [("nvidia.com/gpu", 2), ("rdma/hca", 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(placement.resources, BTreeMap::from(expected));
    let requested =
        json!({"containers": [{"name": "a", "resources": {"requests": {"nvidia.com/gpu": 2}}}]});
    assert_eq!(need(&requested), Some(2));
}

#[test]
fn pod_level_resources_stand_for_all_containers() {
    let spec = json!({"resources": {"limits": {"nvidia.com/gpu": 4, "cpu": 2}}, "containers": [container("1")]});
    assert_eq!(need(&spec), Some(4));
}

#[test]
fn a_pod_of_a_review_and_one_of_a_file_differ_in_their_basis() {
    let object = pod(&json!({"containers": [container("1")]}));
    let basis = |origin| match read_from(&object, origin).unwrap() {
        Reading::Workload(workload) => workload.groups[0].demand.placement.basis,
        Reading::Skipped(skip) => panic!("{skip:?}"),
    };
    assert_eq!(basis(Origin::Review), Basis::AdmittedPod);
    assert_eq!(basis(Origin::Manifest), Basis::WrittenPod);
    let daemons = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "spec": {"template": {"spec": {"hostNetwork": true, "containers": [container("1")]}}}});
    assert_eq!(
        demands(&daemons)[0].placement.basis,
        Basis::DaemonSet(PodNetwork::Host)
    );
}

#[test]
fn mirror_pods_deleted_objects_and_unknown_kinds_are_skipped() {
    let skip = |object: &Value| match read_from(object, Origin::Review).unwrap() {
        Reading::Skipped(skip) => skip,
        Reading::Workload(_) => panic!("judged"),
    };
    let mut object = pod(&json!({"containers": [container("1")]}));
    object["metadata"]["annotations"] = json!({MIRROR_ANNOTATION: "x"});
    assert_eq!(skip(&object), Skip::MirrorPod);
    object["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
    assert_eq!(skip(&object), Skip::Deleted);
    object["kind"] = json!("Pot");
    assert_eq!(skip(&object), Skip::Kind(ObjectKind::new("v1", "Pot")));
    assert_eq!(skip(&json!({"kind": "Pod"})), Skip::NoKind);
    assert_eq!(skip(&json!([])), Skip::NoKind);
}

#[test]
fn a_mode_is_the_templates_or_else_the_objects_and_requirements_are_the_templates() {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"annotations": {MODE_ANNOTATION: "off", REQUIRES_ANNOTATION: "cuda=11.8"}},
        "spec": {"template": {"metadata": {}, "spec": {"containers": [container("1")]}}}});
    assert_eq!(demands(&object)[0].mode.as_deref(), Some("off"));
    assert_eq!(demands(&object)[0].containers[0].requires, None);
    object["spec"]["template"]["metadata"] =
        json!({"annotations": {MODE_ANNOTATION: "warn", REQUIRES_ANNOTATION: "cuda=12.6"}});
    assert_eq!(demands(&object)[0].mode.as_deref(), Some("warn"));
    assert_eq!(
        demands(&object)[0].containers[0].requires.as_deref(),
        Some("cuda=12.6")
    );
    let own = format!("{CONTAINER_REQUIRES_ANNOTATION}train");
    object["spec"]["template"]["metadata"]["annotations"][&own] = json!("cuda=13.0");
    assert_eq!(
        demands(&object)[0].containers[0].requires.as_deref(),
        Some("cuda=13.0")
    );
}

#[test]
fn the_controlling_owner_is_told() {
    let mut object = pod(&json!({"containers": [container("1")]}));
    object["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1"},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "2", "controller": true}]);
    let owner = workload(&object).owner.unwrap();
    assert_eq!(
        (
            owner.kind.to_string().as_str(),
            owner.name.as_str(),
            owner.uid.as_str()
        ),
        ("apps/v1 ReplicaSet", "r", "2")
    );
}

#[test]
fn a_field_of_another_type_is_an_error_that_names_it() {
    let refused = |spec: &Value| {
        read_from(&pod(spec), Origin::Manifest)
            .unwrap_err()
            .to_string()
    };
    let found = refused(&json!({"containers": [{"name": "a", "args": [1]}]}));
    assert!(
        found.starts_with("spec.containers[0]: invalid type: integer `1`, expected a string"),
        "{found}"
    );
    let found = refused(&json!({"containers": [container("1")], "nodeSelector": ["a"]}));
    assert!(found.starts_with("spec: "), "{found}");
    let many: Vec<Value> = (0..65_600).map(|_| json!({})).collect();
    assert!(refused(&json!({"containers": many})).contains("more than 65536 containers"));
}

#[test]
fn runtime_variables_are_told_and_what_is_not_written_is_elsewhere() {
    let spec = json!({"containers": [with(&json!({"env": [{"name": "NVIDIA_DISABLE_REQUIRE", "value": "1"},
        {"name": "NVIDIA_REQUIRE_CUDA", "valueFrom": {"fieldRef": {}}}, {"name": "OTHER", "value": "x"}]}))]});
    let environment = only(&spec).environment;
    assert_eq!(
        environment.get("NVIDIA_DISABLE_REQUIRE"),
        Setting::Text("1".to_owned())
    );
    assert_eq!(environment.get("NVIDIA_REQUIRE_CUDA"), Setting::Elsewhere);
    assert_eq!(environment.get("NVIDIA_VISIBLE_DEVICES"), Setting::Unset);
    assert_eq!(
        environment.texts().collect::<Vec<_>>(),
        [("NVIDIA_DISABLE_REQUIRE", "1")]
    );
    let spec =
        json!({"containers": [with(&json!({"envFrom": [{"configMapRef": {"name": "c"}}]}))]});
    assert_eq!(
        only(&spec).environment.get("NVIDIA_DISABLE_REQUIRE"),
        Setting::Elsewhere
    );
}

#[test]
fn several_gpus_need_shared_memory_unless_a_volume_or_the_node_gives_it() {
    let of = |gpus: &str, mount: Option<&str>, ipc: bool| {
        let mut one = container(gpus);
        one["volumeMounts"] = mount
            .iter()
            .map(|path| json!({"name": "v", "mountPath": path}))
            .collect();
        only(&json!({"containers": [one], "hostIPC": ipc})).shared_memory
    };
    assert_eq!(of("4", None, false), SharedMemory::Default);
    assert_eq!(of("4", Some("/data"), false), SharedMemory::Default);
    assert_eq!(of("4", Some("/dev/shm/"), false), SharedMemory::Enough);
    assert_eq!(of("4", None, true), SharedMemory::Enough);
    assert_eq!(of("1", None, false), SharedMemory::Enough);
}

#[test]
fn the_script_of_an_argo_step_is_part_of_its_command() {
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {
        "nodeSelector": {"pool": "a"}, "templates": [
            {"name": "a", "script": {"image": "i", "command": ["bash"], "source": "pip install torch",
                "resources": {"limits": {"nvidia.com/gpu": 1}}}},
            {"name": "b", "nodeSelector": {"pool": "b"}, "container": container("2")},
            {"name": "c", "dag": {}}]}});
    let found = demands(&object);
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0].containers[0].field.to_string(),
        "spec.templates[0].script.image"
    );
    assert_eq!(found[0].containers[0].name, "script");
    assert!(matches!(
        found[0].containers[0].changed,
        Some(SoftwareChange::Installs { .. })
    ));
    assert_eq!(found[0].placement.node_selector["pool"], "a");
    assert_eq!(found[1].placement.node_selector["pool"], "b");
    assert_eq!(found[0].standing, Standing::Completed);
}

/// The false denials of facts/users.md 2 that are decided by what an object asks for; numbers are its own.
mod false_denials {
    use super::*;

    #[test]
    fn item_5_a_pod_that_disables_requirements_says_so() {
        let spec = json!({"containers": [with(&json!({"env": [{"name": "NVIDIA_DISABLE_REQUIRE", "value": "true"}]}))]});
        assert_eq!(
            only(&spec).environment.get("NVIDIA_DISABLE_REQUIRE"),
            Setting::Text("true".to_owned())
        );
    }

    #[test]
    fn item_6_torch_that_is_installed_at_start_is_not_the_images() {
        for fields in [
            json!({"command": ["sh", "-c", "pip install torch && python train.py"]}),
            json!({"args": ["-c", "uv sync && uv run train.py"]}),
            json!({"volumeMounts": [{"name": "v", "mountPath": "/opt/venv"}]}),
            json!({"volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}]}),
            json!({"command": ["/mnt/venv/bin/python", "t.py"], "volumeMounts": [{"name": "v", "mountPath": "/mnt"}]}),
            json!({"command": ["bash", "/start/run.sh"], "volumeMounts": [{"name": "v", "mountPath": "/start"}]}),
        ] {
            assert!(changed(&fields).is_some(), "{fields}");
        }
        assert_eq!(
            changed(&json!({"command": ["python", "pipeline.py"]})),
            None
        );
        assert_eq!(
            changed(&json!({"volumeMounts": [{"name": "v", "mountPath": "/data"}]})),
            None
        );
    }

    #[test]
    fn item_9_a_template_that_a_queue_completes_only_warns() {
        let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {},
            "spec": {"template": {"spec": {"containers": [container("1")]}}}});
        let standing = |job: &Value| demands(job)[0].standing;
        assert_eq!(standing(&job), Standing::Final);
        job["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "team"});
        assert_eq!(standing(&job), Standing::Queued);
        job["spec"]["suspend"] = json!(true);
        assert_eq!(standing(&job), Standing::Suspended);
        let mut gated = pod(&json!({"containers": [container("1")]}));
        gated["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "team"});
        assert_eq!(standing(&gated), Standing::Final);
    }

    #[test]
    fn item_11_only_containers_that_get_gpus_count_and_static_pods_do_not() {
        let spec = json!({"initContainers": [{"name": "copy", "image": "busybox"}],
            "containers": [container("1"), {"name": "proxy", "image": "envoy", "resources": {"limits": {"cpu": 1}}}],
            "ephemeralContainers": [{"name": "debug", "image": "busybox"}]});
        assert_eq!(only(&spec).name, "train");
    }

    #[test]
    fn item_11_a_pod_that_a_daemon_set_pins_keeps_its_node() {
        let pinned = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]},
            "preferredDuringSchedulingIgnoredDuringExecution": "not read"});
        let spec = json!({"containers": [container("1")], "nodeName": "node-1",
            "affinity": {"nodeAffinity": pinned, "podAffinity": "not read"}});
        let placement = demand(&spec).unwrap().placement;
        assert_eq!(placement.node_name.as_deref(), Some("node-1"));
        assert_eq!(
            placement.required.unwrap()[0].match_fields[0].values,
            ["node-1"]
        );
    }

    #[test]
    fn item_12_gpus_by_other_names_and_without_a_request_are_found() {
        for name in [
            "nvidia.com/gpu.shared",
            "nvidia.com/mig-1g.5gb",
            "nvidia.com/mig-1g.5gb.shared",
        ] {
            let found =
                only(&json!({"containers": [{"name": "a", "resources": {"limits": {name: 1}}}]}));
            assert_eq!(found.gpus, BTreeMap::from([(name.to_owned(), 1)]));
        }
        let seen = json!({"containers": [{"name": "a", "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}]});
        let value = "all".to_owned();
        assert_eq!(
            only(&seen).implicit,
            Some(ImplicitAccess::Variable { value })
        );
        let class = json!({"runtimeClassName": "nvidia", "containers": [{"name": "a"}]});
        let name = "nvidia".to_owned();
        assert_eq!(
            only(&class).implicit,
            Some(ImplicitAccess::RuntimeClass { name })
        );
        assert_eq!(need(&class), None);
    }

    #[test]
    fn item_12_what_gives_no_gpu_is_none() {
        for value in ["void", "none", ""] {
            let hidden = json!({"runtimeClassName": "nvidia",
                "containers": [{"name": "a", "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": value}]}]});
            assert_eq!(demand(&hidden), None, "{value}");
        }
        let beside = json!({"runtimeClassName": "nvidia", "containers": [container("1"), {"name": "proxy"}]});
        assert_eq!(only(&beside).implicit, None);
        let memory = json!({"containers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpumem": 3000}}}]});
        assert_eq!(demand(&memory), None);
    }

    #[test]
    fn item_13_a_claim_is_a_wish_for_devices() {
        let spec = json!({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}],
            "containers": [{"name": "a", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}, {"name": "b"}]});
        assert_eq!(demand(&spec).unwrap().placement.claims, Claims::Some);
        assert_eq!(only(&spec).claims, ["gpu"]);
    }
}

#[test]
fn an_update_matters_only_if_it_changes_what_is_asked_for() {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1, "template": {"metadata": {}, "spec": {"containers": [container("1")]}}}});
    let before = workload(&object);
    let after = |(place, value): (&str, Value)| {
        let mut object = object.clone();
        let (parent, field) = place.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        workload(&object)
    };
    let spec = |rest: &str| format!("/spec/template/spec/{rest}");
    for (place, value) in [
        ("/spec/replicas", json!(5)),
        (
            "/metadata/annotations",
            json!({"deployment.kubernetes.io/revision": "2"}),
        ),
        ("/spec/template/metadata/labels", json!({"a": "b"})),
        (
            &spec("containers/0/env"),
            json!([{"name": "A", "value": "b"}]),
        ),
    ] {
        assert!(before.asks_the_same(&after((place, value))), "{place}");
    }
    for (place, value) in [
        ("/metadata/annotations", json!({MODE_ANNOTATION: "warn"})),
        (
            "/metadata/labels",
            json!({"kueue.x-k8s.io/queue-name": "q"}),
        ),
        (&spec("containers/0/image"), json!("j")),
        (&spec("containers/0/command"), json!(["x"])),
        (
            &spec("containers/0/resources"),
            json!({"limits": {"nvidia.com/gpu": 2}}),
        ),
        (&spec("nodeSelector"), json!({"a": "b"})),
        (&spec("tolerations"), json!([{"operator": "Exists"}])),
        (&spec("runtimeClassName"), json!("nvidia")),
        (&spec("resourceClaims"), json!([{"name": "a"}])),
    ] {
        assert!(!before.asks_the_same(&after((place, value))), "{place}");
    }
}

proptest::proptest! {
    #[test]
    fn no_object_panics(text in "[\\[\\]{}:,\"a0-9]{0,40}", place in 0_usize..6) {
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let mut spec = json!({"containers": [container("1")], "initContainers": [], "nodeSelector": {}, "resources": {}});
        let pointers = ["/containers", "/containers/0", "/containers/0/resources/limits", "/initContainers", "/nodeSelector", "/resources"];
        if let Some(target) = spec.pointer_mut(pointers[place]) {
            *target = value;
        }
        let _ = read_from(&pod(&spec), Origin::Review);
    }
}
