//! `check --config`: with the same configuration, `check` and the webhook say the same about every example.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use gpu_capgate::cluster::manifest::{self, Limits};
use serde_json::{Value, json};

use super::{expected, reviewed, reviewer, same_words, text};

/// Objects that only some configurations are about.
const MORE: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: other-resource}
spec:
  nodeSelector: {pool: batch}
  containers:
  - {name: a, image: pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime, resources: {limits: {example.com/gpu: 1}}}
---
apiVersion: example.com/v1
kind: Training
metadata: {name: own-kind}
spec:
  parts:
  - template:
      spec:
        nodeSelector: {pool: batch}
        containers:
        - {name: a, image: pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime, resources: {limits: {nvidia.com/gpu: 1}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: in-queue, labels: {example.com/queue: a}}
spec:
  template:
    spec:
      nodeSelector: {pool: batch}
      containers:
      - {name: a, image: pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime, resources: {limits: {nvidia.com/gpu: 1}}}
---
apiVersion: v1
kind: Pod
metadata: {name: asks, annotations: {gpu-capgate.io/mode: audit}}
spec:
  nodeSelector: {pool: batch}
  containers:
  - {name: a, image: pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime, resources: {limits: {nvidia.com/gpu: 1}}}
---
apiVersion: v1
kind: Pod
metadata: {name: told, namespace: team-a}
spec:
  nodeSelector: {pool: batch}
  containers:
  - {name: a, image: pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime, resources: {limits: {nvidia.com/gpu: 1}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {gpu-capgate.io/mode: warn}}
";

/// What configurations say, one key each; a file that says nothing but the defaults comes first.
const CONFIGURATIONS: [&str; 15] = [
    "mode: enforce",
    "mode: warn",
    "mode: audit",
    "mode: \"off\"",
    "podModes: false",
    "namespaceModes: false",
    "partialFit: deny",
    "cpuBuild: deny",
    "unchecked: told",
    "autoscaler: undeclared",
    "pools: [{name: new, labels: {pool: batch}, gpu: Tesla T4, count: 4, driver: 550.54.15}]",
    "resources: [example.com/gpu]",
    "kinds: [{group: example.com, versions: [v1], kinds: [Training], source: test, template: [{path: \"spec.parts[].template\", shape: template}]}]",
    "queueLabels: [example.com/queue]",
    "exemptions: [{namespaces: [team-*], reason: they know}, {images: [\"rocm/*\"], reason: for later}]",
];

struct Checked {
    folder: tempfile::TempDir,
}

impl Checked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("more.yaml"), MORE).unwrap();
        Self { folder }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs `check` on all examples and [`MORE`] by a configuration file.
    fn run(&self, config: &str, arguments: &[&str]) -> Output {
        let more = self.folder.path().join("more.yaml");
        let files = expected()
            .into_iter()
            .map(|example| format!("examples/{}", example.file));
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"));
        command.args(["check", "--nodes", "examples/nodes.yaml", "-f"]);
        command.arg(more).args(["--config", config]).args(arguments);
        for file in files {
            command.args(["-f", &file]);
        }
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap()
    }

    /// All that `check` tells by a configuration.
    fn documents(&self, configuration: &str) -> Vec<Value> {
        let config = self.write("config.yaml", configuration);
        let output = self.run(&config, &["-o", "json"]);
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        report["documents"].as_array().unwrap().clone()
    }
}

/// The examples and [`MORE`].
fn objects() -> Vec<manifest::Document> {
    let examples = expected().into_iter().map(|example| {
        let text = text(&example.file);
        (example.file, text)
    });
    let all = examples.chain([("more.yaml".to_owned(), MORE.to_owned())]);
    let read = |(name, text): (String, String)| {
        manifest::read(&name, text.as_bytes(), &Limits::default()).documents
    };
    all.flat_map(read).collect()
}

#[test]
fn with_the_same_configuration_check_and_the_webhook_say_the_same() {
    let (checked, objects) = (Checked::new(), objects());
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for configuration in CONFIGURATIONS {
        let with_aliases = format!(
            "{configuration}\noverlay: {}\n",
            json!(text("aliases.toml"))
        );
        let documents = checked.documents(&with_aliases);
        let told: Vec<&Value> = documents.iter().collect();
        let reviewer = reviewer(&with_aliases, &[("team-a", "warn")]);
        let mut answers = 0;
        for object in &objects {
            let response = reviewed(&reviewer, &object.object);
            if response["auditAnnotations"]["decision"].is_string() {
                answers += 1;
                same_words(&told, object, &response);
            }
        }
        assert!(answers > 3, "{configuration}: {answers}");
        // A configuration that changed nothing would show nothing.
        let told = json!(documents).to_string();
        if let Some(same) = seen.insert(told, configuration) {
            panic!("{configuration} changes nothing of {same}");
        }
    }
}

#[test]
fn a_configmap_is_read_as_the_file_that_it_holds() {
    let checked = Checked::new();
    let map = |name: &str, text: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "gpu-capgate"},
            "data": {"config.yaml": text}})
    };
    let list =
        |items: Value| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
    let quiet = map("w", "mode: audit\n");

    let plain = checked.documents("mode: audit\n");
    assert_eq!(checked.documents(&quiet.to_string()), plain);
    assert_eq!(checked.documents(&list(json!([pod, quiet]))), plain);

    let refused = |text: &str| {
        let config = checked.write("config.yaml", text);
        let output = checked.run(&config, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        let told = String::from_utf8(output.stderr).unwrap();
        told.replace(&config, "FILE")
    };
    let key = "key \"mod\" is not known here: did you mean mode?";
    let told = refused("# first\nmod: audit\n");
    assert!(
        told.starts_with(&format!("gpu-capgate: error: --config FILE:2:1: {key}")),
        "{told}"
    );
    let told = refused(&map("w", "# first\nmod: audit\n").to_string());
    let place = "--config FILE: ConfigMap gpu-capgate/w: config.yaml:2:1: ";
    assert!(told.contains(&format!("{place}{key}")), "{told}");
    let told = refused(&list(json!([quiet, map("v", "")])));
    assert!(
        told.contains(
            "config.yaml is in several ConfigMaps (gpu-capgate/w, gpu-capgate/v): pass one of them"
        ),
        "{told}"
    );
    let told = refused(&pod.to_string());
    assert!(
        told.contains("--config FILE: no ConfigMap with config.yaml among its objects: pass"),
        "{told}"
    );
    assert!(refused(" \n").contains("--config FILE: nothing in it: leave --config out"));
}

#[test]
fn the_configuration_of_the_rendered_chart_is_read() {
    let checked = Checked::new();
    let rendered = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/gpu-capgate.yaml");
    let output = checked.run(rendered, &["-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let documents = report["documents"].as_array().unwrap();
    assert_eq!(documents, &checked.documents("mode: enforce"));
}

#[test]
fn what_is_exempt_or_not_enforced_says_why() {
    let checked = Checked::new();
    let config = checked.write(
        "config.yaml",
        "exemptions: [{namespaces: [team-a], reason: they know}]\nmode: warn\n",
    );
    let output = checked.run(&config, &[]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("Pod team-a/told\n  mode   warn (namespace)\n  exempt they know\n"),
        "{told}"
    );
    assert!(told.contains("  mode   audit (pod)\n"), "{told}");
    assert!(told.contains("  mode   warn (configuration)\n"), "{told}");
}

#[test]
fn objects_without_a_namespace_are_in_the_one_that_is_told() {
    let checked = Checked::new();
    let config = checked.write(
        "config.yaml",
        "exemptions: [{namespaces: [ci], reason: for later}]",
    );
    let exempt = |arguments: &[&str]| {
        let arguments = [arguments, &["-o", "json"]].concat();
        let report: Value =
            serde_json::from_slice(&checked.run(&config, &arguments).stdout).unwrap();
        let documents = report["documents"].as_array().unwrap().iter();
        documents
            .filter(|document| document["exemption"] == "for later")
            .map(|document| document["namespace"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(exempt(&[]), Vec::<Value>::new());
    let found = exempt(&["--namespace", "ci"]);
    assert!(
        !found.is_empty() && found.iter().all(Value::is_null),
        "{found:?}"
    );
}

#[test]
fn flags_that_the_configuration_takes_the_place_of_are_refused_beside_it() {
    let checked = Checked::new();
    let config = checked.write("config.yaml", "mode: enforce");
    for flag in [
        &["--strict"][..],
        &["--autoscaled"],
        &["--resource", "a.b/c"],
        &["--overlay", "x"],
    ] {
        let output = checked.run(&config, flag);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains("--config")
                && told.contains("cannot be used with")
                && told.contains(flag[0]),
            "{told}"
        );
    }
}

#[test]
fn an_image_on_gpus_by_name_is_answered_by_the_configuration() {
    let checked = Checked::new();
    let config = checked.write("config.yaml", "partialFit: deny\n");
    let run = |config: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
            .args([
                "check",
                "--image",
                "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime",
            ])
            .args(["--gpu", "P100,L4"])
            .args(config)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(run(&[]), Some(0));
    assert_eq!(run(&["--config", &config]), Some(1));
}
