//! The chart's registration on a real API server, with failurePolicy Fail and no webhook there: whatever asks for a GPU
//! is refused, because nobody answers, and nothing else is touched. Needs root on Linux.

use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::drift::{self, Asked, Webhook};
use gpu_capgate::cluster::workload::{Kind, Kinds, Shape, Template};
use serde_json::{Value, json};

use crate::cluster::chart::{self, of_webhook_pods};
use crate::cluster::credentials::Thief;
use crate::cluster::harness::{Cluster, Outcome, until};

const NAMESPACE: &str = "gpu-capgate";
const REGISTRATION: &str = "validatingwebhookconfiguration/gpu-capgate-webhook";
/// The API server wanted to ask us, and nobody was there.
const ASKED: &str = "failed calling webhook \"check.gpu-capgate.io\"";

#[test]
fn real_cluster_asks_about_what_asks_for_gpus_and_nothing_else() {
    let Outcome::Started(cluster) =
        Cluster::start_control_plane("real_cluster_asks_about_what_asks_for_gpus_and_nothing_else")
    else {
        return;
    };
    serve_all_kinds(&cluster);
    install(&cluster, &[]);
    every_template_of_every_kind_is_asked_about(&cluster);
    what_asks_for_no_gpu_is_left_alone(&cluster);
    no_shape_of_an_object_makes_the_filter_fail(&cluster);
    every_way_to_ask_for_a_gpu_counts(&cluster);
    a_pod_with_many_containers_stays_within_the_cost_limit(&cluster);
    our_own_pods_and_exempt_namespaces_are_left_alone(&cluster);
    the_registration_agrees_with_the_configuration(&cluster);
    the_webhook_may_change_nothing_but_its_ca(&cluster);
    our_pods_meet_the_pod_security_levels_that_are_told(&cluster);
    other_names_reach_filter_and_configuration_alike(&cluster);
    cluster.passed();
}

fn install(cluster: &Cluster, more: &[&str]) {
    let fail = "--set=webhook.failurePolicy=Fail";
    chart::apply(cluster, &[&[fail][..], more].concat());
    until("the API server knows of the registration", || {
        asked(cluster, &pod(&json!({"containers": [container("1")]})))
    });
}

/// Makes the API server take each kind that is not its own, whatever stands in it.
pub(crate) fn serve_all_kinds(cluster: &Cluster) {
    let kinds = Kinds::bundled().unwrap();
    let mut names = Vec::new();
    let mut definitions = Vec::new();
    for entry in kinds.entries().iter().filter(|entry| !is_builtin(entry)) {
        for kind in &entry.kinds {
            let plural = format!("{}s", kind.to_lowercase());
            let scope = if kind.starts_with("Cluster") {
                "Cluster"
            } else {
                "Namespaced"
            };
            let version = |(index, version): (usize, &String)| {
                json!({"name": version, "served": true, "storage": index == 0, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
            };
            let versions: Vec<Value> = entry.versions.iter().enumerate().map(version).collect();
            let name = format!("{plural}.{}", entry.group);
            definitions.push(json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {
                    "name": name,
                    "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
                },
                "spec": {
                    "group": entry.group,
                    "scope": scope,
                    "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                    "versions": versions,
                },
            }));
            names.push(format!("crd/{name}"));
        }
    }
    cluster.create(&definitions);
    let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.kubectl(&[&wait[..], &names].concat());
    until("Pods can be created", || {
        cluster
            .run("kubectl", &["get", "serviceaccount", "default"])
            .code
            == Some(0)
    });
}

fn is_builtin(entry: &Kind) -> bool {
    ["", "apps", "batch"].contains(&entry.group.as_str())
}

fn every_template_of_every_kind_is_asked_about(cluster: &Cluster) {
    let kinds = Kinds::bundled().unwrap();
    let mut objects = Vec::new();
    for entry in kinds.entries() {
        for (version, kind) in members(entry) {
            let asking = |template| object(entry, version, kind, &[template], "1");
            objects.extend(entry.template.iter().map(asking));
        }
    }
    let made = cluster.write("create", &objects, &["--dry-run=server"]);
    assert_eq!(made.stdout, "", "nobody asked about these");
    let refusals = made.stderr.lines().filter(|line| line.contains(ASKED));
    assert_eq!(refusals.count(), objects.len(), "{}", made.stderr);
}

fn what_asks_for_no_gpu_is_left_alone(cluster: &Cluster) {
    let kinds = Kinds::bundled().unwrap();
    let mut objects = Vec::new();
    for entry in kinds.entries() {
        let templates: Vec<&Template> = entry.template.iter().collect();
        for (version, kind) in members(entry) {
            objects.push(object(entry, version, kind, &templates, "0"));
        }
    }
    assert_left_alone(cluster, &objects);
}

/// Each kind with something else at each step on the way to its containers.
fn no_shape_of_an_object_makes_the_filter_fail(cluster: &Cluster) {
    let kinds = Kinds::bundled().unwrap();
    let odd = [
        json!(null),
        json!("text"),
        json!(1),
        json!([]),
        json!([null, 1, "text", {}, []]),
        json!({}),
        json!({"a": null, "b": 1, "c": "text", "d": []}),
        json!({"containers": [null, {"resources": null}, {"resources": "text"}, {"resources": {"limits": null, "requests": 1}},
            {"resources": {"limits": {"cpu": null}}}], "initContainers": {"a": 1}, "resources": [], "resourceClaims": 1}),
    ];
    let mut objects = Vec::new();
    for entry in kinds.entries().iter().filter(|entry| !is_builtin(entry)) {
        let (version, kind) = members(entry).next().unwrap();
        for template in &entry.template {
            let path = template.path.to_string();
            let steps: Vec<&str> = path.split('.').collect();
            for length in 1..=steps.len() {
                // What a Pod's specification may be stands at the end only.
                let odd = if length == steps.len() {
                    &odd[..]
                } else {
                    &odd[..2]
                };
                for value in odd {
                    let mut object = base(entry, version, kind);
                    put(&mut object, &steps[..length], value);
                    objects.push(object);
                }
            }
        }
    }
    assert_left_alone(cluster, &objects);
}

fn every_way_to_ask_for_a_gpu_counts(cluster: &Cluster) {
    let plain = json!({"name": "a", "image": "i"});
    let with = |limits: Value| json!({"name": "b", "image": "i", "resources": {"limits": limits}});
    let spec = |containers: Value| json!({"containers": containers});
    let asking = [
        spec(json!([plain, with(json!({"nvidia.com/gpu": "1"}))])),
        spec(json!([with(
            json!({"cpu": "1", "nvidia.com/gpu.shared": "2"})
        )])),
        spec(json!([with(json!({"nvidia.com/mig-1g.5gb": "1"}))])),
        json!({"containers": [plain], "initContainers": [with(json!({"nvidia.com/gpu": 1}))]}),
        json!({"containers": [plain], "resourceClaims": [{"name": "g", "resourceClaimName": "g"}]}),
    ];
    for spec in asking {
        assert!(asked(cluster, &pod(&spec)), "{spec}");
    }
    // A template that another webhook completes may have requests alone.
    let requests =
        json!({"containers": [{"name": "a", "resources": {"requests": {"nvidia.com/gpu": 1}}}]});
    let set = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "try"},
        "spec": {"replicatedJobs": [{}, {"template": {"spec": {"template": {"spec": requests}}}}]},
    });
    assert!(asked(cluster, &set));
    let innocent = [
        spec(json!([with(json!({"nvidia.com/gpu": "0"}))])),
        spec(json!([with(json!({"nvidia.com/hostdev": "1"}))])),
        spec(json!([with(json!({"amd.com/gpu": "1", "cpu": "1"}))])),
        spec(
            json!([{"name": "a", "image": "i", "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}]),
        ),
    ];
    assert_left_alone(cluster, &innocent.map(|spec| pod(&spec)));
}

fn a_pod_with_many_containers_stays_within_the_cost_limit(cluster: &Cluster) {
    let containers = |count: usize| -> Vec<Value> {
        let container = |index| {
            json!({"name": format!("c{index}"), "image": "i",
                "resources": {"limits": {"cpu": "1", "memory": "1Mi", "ephemeral-storage": "1Mi"}}})
        };
        (0..count).map(container).collect()
    };
    let mains = containers(1000);
    let many = json!({"containers": mains, "initContainers":
        [{"name": "first", "image": "i", "resources": {"limits": {"memory": "1Mi"}}}]});
    assert_left_alone(cluster, &[pod(&many)]);
}

fn our_own_pods_and_exempt_namespaces_are_left_alone(cluster: &Cluster) {
    let gpu = pod(&json!({"containers": [container("1")]}));
    cluster.kubectl(&["create", "namespace", "quiet"]);
    cluster.kubectl(&["label", "namespace", "quiet", "gpu-capgate.io/mode=off"]);
    for namespace in [NAMESPACE, "kube-system", "quiet"] {
        until("the namespace can hold Pods", || {
            let flag = format!("--namespace={namespace}");
            let get = ["get", "serviceaccount", "default", &flag];
            cluster.run("kubectl", &get).code == Some(0)
        });
        until("it is left alone", || {
            let flag = format!("--namespace={namespace}");
            cluster
                .write(
                    "create",
                    std::slice::from_ref(&gpu),
                    &[&flag, "--dry-run=server"],
                )
                .code
                == Some(0)
        });
    }
    let label = [
        "label",
        "namespace",
        "quiet",
        "gpu-capgate.io/mode=warn",
        "--overwrite",
    ];
    cluster.kubectl(&label);
    until("a namespace in another mode is asked about", || {
        let made = cluster.write(
            "create",
            std::slice::from_ref(&gpu),
            &["--namespace=quiet", "--dry-run=server"],
        );
        made.stderr.contains(ASKED)
    });
}

fn the_registration_agrees_with_the_configuration(cluster: &Cluster) {
    assert_eq!(differences(cluster), [""; 0]);
    let patch =
        r#"[{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]"#;
    cluster.kubectl(&["patch", REGISTRATION, "--type=json", "-p", patch]);
    assert_eq!(
        differences(cluster),
        ["UPDATE of pods is in no rule of check.gpu-capgate.io, so that they pass unchecked"]
    );
}

/// What the webhook would tell of the registration that is there and of the file that it is given.
fn differences(cluster: &Cluster) -> Vec<String> {
    let text = cluster.kubectl(&["get", REGISTRATION, "-o", "json"]);
    let registration = serde_json::from_str(&text).unwrap();
    let path = "jsonpath={.data.config\\.yaml}";
    let namespace = "--namespace=gpu-capgate";
    let file = cluster.kubectl(&[
        "get",
        "configmap",
        "gpu-capgate-webhook",
        namespace,
        "-o",
        path,
    ]);
    let configuration = Configuration::parse(file.as_bytes()).unwrap();
    let asked = Asked::to_check(&registration);
    let found = drift::differences(Webhook::Check, asked.as_ref(), &configuration);
    found.iter().map(ToString::to_string).collect()
}

fn the_webhook_may_change_nothing_but_its_ca(cluster: &Cluster) {
    until("the webhook has a Pod", || {
        !of_webhook_pods(cluster, ".metadata.name").is_empty()
    });
    let thief = Thief::of_bound_token(cluster);
    thief.may_change_only_the_ca_of(REGISTRATION);
    for (verb, what) in [
        ("patch", "validatingwebhookconfiguration/other"),
        ("create", "validatingwebhookconfiguration"),
        ("patch", "mutatingwebhookconfiguration/gpu-capgate-webhook"),
        ("patch", "secret/other"),
        ("list", "secrets"),
        ("create", "pods"),
    ] {
        assert!(!thief.may(verb, what), "{verb} {what}");
    }
    assert!(thief.may("patch", "secret/gpu-capgate-webhook-ca"));
}

/// The real admission plugin on Pods as the chart renders them: the webhook's meet the strictest level, and the agent's
/// ask for nothing but root and two host paths.
fn our_pods_meet_the_pod_security_levels_that_are_told(cluster: &Cluster) {
    for level in ["baseline", "privileged", "restricted"] {
        let enforced = format!("pod-security.kubernetes.io/enforce={level}");
        cluster.kubectl(&["create", "namespace", level]);
        cluster.kubectl(&["label", "namespace", level, &enforced]);
        let namespace = format!("--namespace={level}");
        cluster.kubectl(&["wait", "serviceaccount/default", "--for=create", &namespace]);
    }
    let webhook = |more: &str| rendered_pod(cluster, "webhook/deployment", more);
    let agent = rendered_pod(cluster, "agent/daemonset", "--set=webhook.enabled=false");
    let plain = "--set=agent.enabled=false";
    assert_eq!(violations(cluster, "restricted", &webhook(plain)), [""; 0]);
    let host = webhook("--set=webhook.hostNetwork=true,webhook.port=10260");
    let in_host = ["host namespaces", "hostPort"];
    assert_eq!(violations(cluster, "baseline", &host), in_host);
    assert_eq!(violations(cluster, "privileged", &agent), [""; 0]);
    let in_baseline = ["hostPath volumes"];
    assert_eq!(violations(cluster, "baseline", &agent), in_baseline);
    let in_restricted = [
        "restricted volume types",
        "runAsNonRoot != true",
        "runAsUser=0",
    ];
    assert_eq!(violations(cluster, "restricted", &agent), in_restricted);
}

/// A Pod of the workload in a template of the chart, without the ServiceAccount that would have to be there.
fn rendered_pod(cluster: &Cluster, template: &str, more: &str) -> Value {
    let show = format!("--show-only=templates/{template}.yaml");
    let arguments = ["template", "try", "charts/gpu-capgate", &show, more];
    let object: Value = serde_saphyr::from_str(&cluster.succeeds("helm", &arguments)).unwrap();
    let mut spec = object["spec"]["template"]["spec"].clone();
    spec.as_object_mut()
        .unwrap()
        .remove("serviceAccountName")
        .unwrap();
    pod(&spec)
}

/// The controls of a namespace's Pod Security level that a Pod does not meet.
fn violations(cluster: &Cluster, level: &str, pod: &Value) -> Vec<String> {
    let options = ["--dry-run=server", &format!("--namespace={level}")];
    let made = cluster.write("create", std::slice::from_ref(pod), &options);
    if made.code == Some(0) {
        return Vec::new();
    }
    let told = format!("violates PodSecurity \"{level}:latest\": ");
    let (_, controls) = made
        .stderr
        .split_once(&told)
        .unwrap_or_else(|| panic!("{made:?}"));
    let name = |control: &str| control.split(" (").next().unwrap_or_default().to_owned();
    controls.split("), ").map(name).collect()
}

fn other_names_reach_filter_and_configuration_alike(cluster: &Cluster) {
    install(
        cluster,
        &[
            // The hand-made change above is in the way of server-side apply.
            "--force-conflicts",
            "--set=agent.resource=nvidia.com/gpu",
            "--set=webhook.gpuResources={example.com/a100}",
            "--set=webhook.match.resourceClaims=false",
            "--set=webhook.match.implicit=true",
        ],
    );
    let limits = json!({"containers": [{"name": "a", "image": "i", "resources": {"limits": {"example.com/a100": "1"}}}]});
    until("the API server knows of the new registration", || {
        asked(cluster, &pod(&limits))
    });
    let implicit = json!({"containers": [{"name": "a", "image": "i", "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}]});
    assert!(asked(cluster, &pod(&implicit)));
    let claims = json!({"containers": [{"name": "a", "image": "i"}], "resourceClaims": [{"name": "g", "resourceClaimName": "g"}]});
    assert_left_alone(cluster, &[pod(&claims)]);
    assert_eq!(differences(cluster), [""; 0]);
}

fn members(entry: &Kind) -> impl Iterator<Item = (&String, &String)> {
    let versions = entry.versions.iter();
    versions.flat_map(|version| entry.kinds.iter().map(move |kind| (version, kind)))
}

fn base(entry: &Kind, version: &str, kind: &str) -> Value {
    let api_version = match entry.group.as_str() {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "try"}})
}

/// An object of a kind whose templates each have one container that asks for so many GPUs.
fn object(entry: &Kind, version: &str, kind: &str, templates: &[&Template], gpus: &str) -> Value {
    let mut object = base(entry, version, kind);
    if entry.group == "apps" {
        object["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
    }
    if kind == "CronJob" && entry.group == "batch" {
        object["spec"]["schedule"] = json!("0 0 * * *");
    }
    for template in templates {
        let mut spec = json!({});
        if is_builtin(entry) && entry.group == "batch" {
            spec["restartPolicy"] = json!("Never");
        }
        let containers = &template.containers;
        let main = containers.main.first().unwrap().to_string();
        let mut container = container(gpus);
        if containers.resources != "resources" {
            let resources = container.as_object_mut().unwrap().remove("resources");
            container[&containers.resources] = resources.unwrap();
        }
        let steps: Vec<&str> = main.split('.').collect();
        put(&mut spec, &steps, &container);
        let path = template.path.to_string();
        let steps: Vec<&str> = path.split('.').collect();
        let value = match template.shape {
            Shape::Template => json!({"metadata": {"labels": {"a": "b"}}, "spec": spec}),
            Shape::Spec => spec,
        };
        put(&mut object, &steps, &value);
    }
    object
}

/// Puts a value at a path, with one element in each list and one entry in each mapping on the way.
fn put(object: &mut Value, steps: &[&str], value: &Value) {
    let Some((step, rest)) = steps.split_first() else {
        if let (Value::Object(there), Value::Object(more)) = (&mut *object, value) {
            there.extend(more.clone());
        } else {
            *object = value.clone();
        }
        return;
    };
    let next = match (*step, step.strip_suffix("[]")) {
        ("*", _) => &mut object["Worker"],
        (_, Some(list)) => {
            if !object[list].is_array() {
                object[list] = json!([{}]);
            }
            &mut object[list][0]
        }
        (field, None) => &mut object[field],
    };
    if next.is_null() {
        *next = json!({});
    }
    put(next, rest, value);
}

fn container(gpus: &str) -> Value {
    json!({"name": "a", "image": "i", "resources": {"limits": {"nvidia.com/gpu": gpus}}})
}

fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": spec})
}

/// Whether the API server asked the webhook about an object; if not, it must have taken it.
fn asked(cluster: &Cluster, object: &Value) -> bool {
    let made = cluster.write(
        "create",
        std::slice::from_ref(object),
        &["--dry-run=server"],
    );
    if made.code == Some(0) {
        return false;
    }
    assert!(made.stderr.contains(ASKED), "{object}\n{}", made.stderr);
    true
}

fn assert_left_alone(cluster: &Cluster, objects: &[Value]) {
    let made = cluster.write("create", objects, &["--dry-run=server"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert_eq!(
        made.stdout.lines().count(),
        objects.len(),
        "{}",
        made.stdout
    );
}
