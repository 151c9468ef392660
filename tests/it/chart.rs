//! What the chart holds a copy of is what the program knows, and what it renders is what the program takes.

use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::drift::{self, Asked, Webhook};
use gpu_capgate::admission::policy::Policy;
use gpu_capgate::cluster::resource::GpuResources;
use gpu_capgate::cluster::workload::{Kinds, Shape};
use serde_json::{Value, json};

/// The kinds, as far as the API server's own filter needs them, in the form of the chart's file.
fn expected() -> Vec<String> {
    let kinds = Kinds::bundled().unwrap();
    let quoted = |patterns: &[gpu_capgate::cluster::workload::PathPattern]| {
        let quoted: Vec<String> = patterns.iter().map(|path| format!("\"{path}\"")).collect();
        quoted.join(", ")
    };
    // Pods first: most objects are.
    let mut entries: Vec<_> = kinds.entries().iter().collect();
    entries.sort_by_key(|entry| entry.kinds != ["Pod"]);
    let mut lines = Vec::new();
    for entry in entries {
        lines.push(format!("- group: \"{}\"", entry.group));
        lines.push(format!("  versions: [{}]", entry.versions.join(", ")));
        lines.push(format!("  kinds: [{}]", entry.kinds.join(", ")));
        lines.push("  template:".to_owned());
        for template in &entry.template {
            let shape = match template.shape {
                Shape::Template => "template",
                Shape::Spec => "spec",
            };
            lines.push(format!("    - path: \"{}\"", template.path));
            lines.push(format!("      shape: {shape}"));
            let containers = &template.containers;
            if quoted(&containers.main) != "\"containers[]\"" {
                lines.push("      containers:".to_owned());
                lines.push(format!("        main: [{}]", quoted(&containers.main)));
                lines.push(format!("        init: [{}]", quoted(&containers.init)));
                lines.push(format!("        resources: {}", containers.resources));
            }
        }
    }
    lines
}

#[test]
fn the_chart_registers_every_kind_that_the_program_knows() {
    let file = std::fs::read_to_string("charts/gpu-capgate/files/workloads.yaml").unwrap();
    let entries: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let expected = expected();
    assert!(
        entries == expected,
        "charts/gpu-capgate/files/workloads.yaml must hold, under its comment:\n{}",
        expected.join("\n")
    );
}

/// The rendered object of a kind; there is one.
fn rendered(kind: &str) -> Value {
    let text = std::fs::read_to_string("deploy/gpu-capgate.yaml").unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let mut found = objects.into_iter().filter(|object| object["kind"] == kind);
    let object = found.next().unwrap();
    assert_eq!(found.next(), None, "one {kind}");
    object
}

#[test]
fn the_charts_defaults_are_the_programs() {
    let file = rendered("ConfigMap")["data"]["config.yaml"].clone();
    let configuration = Configuration::parse(file.as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(configuration.policy, Policy::default());
    assert_eq!(configuration.resources, GpuResources::default());
    assert!(configuration.pools.is_empty() && configuration.exemptions.is_empty());
}

#[test]
fn what_the_chart_registers_agrees_with_what_it_configures() {
    let registration = rendered("ValidatingWebhookConfiguration");
    let asked = Asked::to_check(&serde_json::from_value(registration).unwrap());
    let differences = |configuration: &[u8]| {
        let configuration = Configuration::parse(configuration).unwrap();
        drift::differences(Webhook::Check, asked.as_ref(), &configuration)
    };
    assert_eq!(differences(b""), [].into());
    assert_eq!(differences(b"resources: [example.com/gpu]").len(), 6);
}

#[test]
fn the_agent_asks_for_root_and_two_host_paths_and_no_more() {
    let pod = rendered("DaemonSet")["spec"]["template"]["spec"].take();
    let root =
        json!({"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(pod["securityContext"], root);
    for field in [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "hostUsers",
        "initContainers",
    ] {
        assert_eq!(pod[field], Value::Null, "{field}");
    }
    let containers = pod["containers"].as_array().unwrap();
    let [agent] = containers.as_slice() else {
        panic!("{containers:?}")
    };
    let given_up = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
    assert_eq!(agent["securityContext"], given_up);
    assert_eq!(
        agent["ports"],
        json!([{"name": "health", "containerPort": 8081}])
    );
    let mounts = json!([
        {"name": "inventory", "mountPath": "/etc/gpu-capgate", "readOnly": true},
        {"name": "device-plugins", "mountPath": "/var/lib/kubelet/device-plugins"},
    ]);
    assert_eq!(agent["volumeMounts"], mounts);
    let volumes = json!([
        {"name": "inventory", "hostPath": {"path": "/etc/gpu-capgate", "type": "DirectoryOrCreate"}},
        {"name": "device-plugins", "hostPath": {"path": "/var/lib/kubelet/device-plugins", "type": "Directory"}},
    ]);
    assert_eq!(pod["volumes"], volumes);
}
