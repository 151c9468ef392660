//! What a person reads who applies a file: `kubectl` on a real API server, the whole text, against files that were read
//! and found good. The nodes are those of the examples, and some more; no kubelet runs on them. Needs root on Linux.
//!
//! `UPDATE_GOLDEN=1` writes the files anew. Read them before you commit them: they are the interface.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

use crate::cluster::chart;
use crate::cluster::harness::{Cluster, Outcome, until};
use crate::registration::serve_all_kinds;

const EXPECTED: &str = "tests/golden/expected";
const UPDATE: &str = "UPDATE_GOLDEN";
/// What kubectl writes before the text of a refusal.
const DENIED: &str = " denied the request: ";
/// What it writes behind each object that it did not really make.
const DRY: &str = " (server dry run)";

#[test]
fn real_cluster_kubectl_shows_what_the_golden_files_say() {
    let test = "real_cluster_kubectl_shows_what_the_golden_files_say";
    let Outcome::Started(cluster) = Cluster::start(test) else {
        return;
    };
    cluster.load_images();
    serve_all_kinds(&cluster);
    install(&cluster);
    let mut golden = Golden::default();
    add_nodes(&cluster, "examples/nodes.yaml", "edge-1");
    golden.compare(&cluster, &manifests("examples"), &[]);
    add_nodes(&cluster, "tests/golden/nodes.yaml", "strange-1");
    golden.compare(&cluster, &manifests("tests/golden/objects"), &[]);
    real_objects_are_told_the_same(&cluster);
    refuse_partial_fits(&cluster);
    golden.compare(&cluster, &manifests("tests/golden/strict"), &["--strict"]);
    nodes_that_are_not_ready_change_nothing(&cluster);
    golden.end();
    cluster.passed();
}

/// The documentation quotes, and what it quotes was seen.
#[test]
fn every_message_in_the_documentation_is_one_that_kubectl_shows() {
    let shown: String = fs::read_dir(EXPECTED)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let documentation = fs::read_to_string("docs/codes.md").unwrap();
    let sections = documentation.split("### Message\n\n```text\n").skip(1);
    let messages: Vec<&str> = sections.map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(messages.len(), 17, "one for each code");
    for message in messages {
        let line = format!("{message}\n");
        assert!(shown.contains(&line), "nobody sees this: {message}");
    }
}

fn install(cluster: &Cluster) {
    let values = [
        "--values=tests/golden/values.yaml",
        "--set-file=webhook.config.overlay=examples/aliases.toml",
    ];
    chart::apply(cluster, &[&values[..], &chart::WAIT].concat());
    cluster.kubectl(&["create", "namespace", "research"]);
    cluster.kubectl(&["create", "-f", "tests/golden/runtimeclass.yaml"]);
}

/// Makes nodes, and waits until the webhook knows the last of them. The API server takes their status on creation.
fn add_nodes(cluster: &Cluster, file: &str, last: &str) {
    cluster.kubectl(&["create", "--validate=false", "-f", file]);
    let spec = format!(
        r#"{{"spec": {{"nodeSelector": {{"kubernetes.io/hostname": "{last}"}}, "tolerations": [{{"operator": "Exists"}}],
        "containers": [{{"name": "probe", "image": "probe", "resources": {{"limits": {{"nvidia.com/gpu": "1"}}}}}}]}}}}"#
    );
    let overrides = format!("--overrides={spec}");
    until("the webhook knows the nodes", || {
        let probe = ["run", "probe", "--image=probe", "--dry-run=server"];
        let probe = cluster.run("kubectl", &[&probe[..], &[&overrides]].concat());
        assert_eq!(probe.code, Some(0), "{probe:?}");
        probe.stderr.contains("[GPU-UNCHECKED]") && !probe.stderr.contains("no node is known")
    });
}

/// From now on, what runs on some of its nodes only is refused.
fn refuse_partial_fits(cluster: &Cluster) {
    chart::reconfigure(cluster, "webhook.config.partialFit=deny", "strict");
    let manifest = Path::new("tests/golden/objects/partial-job.yaml");
    until("partial fits are refused", || {
        apply(cluster, manifest).contains(DENIED)
    });
}

/// The files of a folder that hold objects to apply, by name.
fn manifests(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("yaml" | "json")) && !path.ends_with("nodes.yaml")
    });
    files.sort();
    files
}

/// The comparison with the files.
#[derive(Default)]
struct Golden {
    seen: BTreeSet<PathBuf>,
    differences: Vec<String>,
}

impl Golden {
    /// `check` is asked too, with options that stand for how the webhook is configured.
    fn compare(&mut self, cluster: &Cluster, manifests: &[PathBuf], options: &[&str]) {
        let nodes = cluster.state().join("nodes.json");
        let listed = cluster.kubectl(&["get", "nodes,runtimeclasses", "-o", "json"]);
        fs::write(&nodes, listed).unwrap();
        for manifest in manifests {
            let shown = apply(cluster, manifest);
            self.compare_one(manifest, &shown);
            check_says_the_same(manifest, &nodes, &shown, options);
        }
    }

    fn compare_one(&mut self, manifest: &Path, shown: &str) {
        let file = expected(manifest);
        assert!(
            self.seen.insert(file.clone()),
            "two files for {}",
            file.display()
        );
        let text = format!("$ {}\n{shown}", command(manifest).join(" "));
        if env::var(UPDATE).is_ok_and(|value| value == "1") {
            fs::write(&file, text).unwrap();
            return;
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        if wanted != text {
            self.differences.push(format!(
                "--- {}\n{wanted}+++ what it is\n{text}",
                file.display()
            ));
        }
    }

    fn end(self) {
        let files = fs::read_dir(EXPECTED).unwrap();
        let files: BTreeSet<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        let stale: Vec<&PathBuf> = files.difference(&self.seen).collect();
        assert!(stale.is_empty(), "these belong to no object: {stale:?}");
        assert!(
            self.differences.is_empty(),
            "{}\n{UPDATE}=1 writes the files anew; then read them",
            self.differences.join("\n")
        );
    }
}

/// A dry run is worth something only if it says what will be.
fn real_objects_are_told_the_same(cluster: &Cluster) {
    for manifest in [
        "tests/golden/objects/arch-pod.yaml",
        "tests/golden/objects/mode-warn-pod.yaml",
        "examples/cpu-build.yaml",
    ] {
        let dry = apply(cluster, Path::new(manifest));
        let real = cluster.run("sh", &["-c", &format!("kubectl apply -f {manifest} 2>&1")]);
        assert_eq!(real.stdout, dry.replace(DRY, ""), "{manifest}");
    }
}

/// No kubelet reports for these nodes, so that the node controller gives them up after its grace period: they get
/// taints that pass, and these neither add nor take away a candidate.
fn nodes_that_are_not_ready_change_nothing(cluster: &Cluster) {
    let manifests = ["p100-batch.yaml", "nightly-eval.yaml", "pytorchjob.yaml"];
    let manifests = manifests.map(|name| Path::new("examples").join(name));
    let before = manifests.clone().map(|manifest| apply(cluster, &manifest));
    until("the node controller has given up the nodes", || {
        let taints = "jsonpath={.spec.taints[*].key}";
        ["batch-1", "a100-1", "h100-1"].iter().all(|node| {
            let taints = cluster.kubectl(&["get", "node", node, "-o", taints]);
            taints.contains("node.kubernetes.io/unreachable")
        })
    });
    for (manifest, before) in manifests.iter().zip(before) {
        assert_eq!(apply(cluster, manifest), before, "{}", manifest.display());
    }
}

fn command(manifest: &Path) -> Vec<&str> {
    let manifest = manifest.to_str().unwrap();
    vec!["kubectl", "apply", "--dry-run=server", "-f", manifest]
}

/// What a terminal shows.
fn apply(cluster: &Cluster, manifest: &Path) -> String {
    let line = format!("{} 2>&1", command(manifest).join(" "));
    cluster.run("sh", &["-c", &line]).stdout
}

fn expected(manifest: &Path) -> PathBuf {
    let name = manifest.file_stem().unwrap().to_str().unwrap();
    Path::new(EXPECTED).join(format!("{name}.txt"))
}

/// The same words from `check` for the same file and nodes: of every refusal the whole text, and every warning.
fn check_says_the_same(manifest: &Path, nodes: &Path, shown: &str, options: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
        .args(["check", "--overlay=examples/aliases.toml", "-o=json", "-f"])
        .arg(manifest)
        .arg("--nodes")
        .arg(nodes)
        .args(options)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let documents = report["documents"].as_array().unwrap();
    let texts = |field: &str, decision: &str| -> BTreeSet<String> {
        let of_decision =
            |document: &&Value| document["decision"] == decision || decision.is_empty();
        let found = documents.iter().filter(of_decision);
        let found = found.flat_map(|document| {
            let value = &document[field];
            let texts = value.as_array().cloned();
            texts.unwrap_or_else(|| vec![value.clone()])
        });
        found
            .filter_map(|text| Some(text.as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(
        refusals(shown),
        texts("message", "deny"),
        "{}",
        manifest.display()
    );
    let warned: BTreeSet<String> = warnings(shown).collect();
    let told = texts("warnings", "");
    assert!(
        warned.is_subset(&told),
        "{}: {warned:#?} {told:#?}",
        manifest.display()
    );
}

/// The texts of the refusals, without what kubectl adds.
fn refusals(shown: &str) -> BTreeSet<String> {
    let parts = shown.split("Error from server").skip(1);
    let text = |part: &str| {
        let (_, text) = part.split_once(DENIED)?;
        let lines = text.lines().enumerate();
        let own = lines.take_while(|(number, line)| *number == 0 || line.starts_with("  "));
        Some(own.map(|(_, line)| line).collect::<Vec<&str>>().join("\n"))
    };
    parts.filter_map(text).collect()
}

/// What was warned of, but for what `check` tells in other ways: unchecked admissions and modes.
fn warnings(shown: &str) -> impl Iterator<Item = String> {
    let warnings = shown
        .lines()
        .filter_map(|line| line.strip_prefix("Warning: "));
    let other =
        |line: &&str| line.ends_with("[GPU-UNCHECKED]") || line.contains("gpu-capgate.io/mode");
    warnings.filter(move |line| !other(line)).map(str::to_owned)
}
