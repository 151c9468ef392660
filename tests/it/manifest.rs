//! The examples, read as `check -f` reads them: every file is a manifest, and asks for what its name says.
//!
//! What becomes of them on `examples/nodes.yaml` stands in `examples/expected.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gpu_capgate::cluster::demand::{ContainerDemand, Origin, Reader, Reading, Standing};
use gpu_capgate::cluster::manifest::{self, Document, Limits};
use gpu_capgate::cluster::resource::GpuResources;
use gpu_capgate::cluster::workload::Kinds;
use gpu_capgate::compat::{Catalog, Code};
use gpu_capgate::labels;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    example: Vec<Example>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    file: String,
    decision: String,
    codes: Vec<String>,
    source: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn text_of(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap()
}

fn expected() -> Vec<Example> {
    let expected: Expected = toml::from_str(&text_of("expected.toml")).unwrap();
    expected.example
}

fn documents(file: &str) -> Vec<Document> {
    let reading = manifest::read(file, text_of(file).as_bytes(), &Limits::default());
    assert_eq!(reading.errors, [], "{file}");
    reading.documents
}

fn reading(document: &Document) -> Reading {
    let (kinds, resources) = (Kinds::bundled().unwrap(), GpuResources::default());
    let reader = Reader {
        kinds: &kinds,
        resources: &resources,
        origin: Origin::Manifest,
    };
    reader.read(&document.object).unwrap()
}

/// How each container of a file gets GPUs, with how many Pods there are and how final they are.
fn asked(file: &str) -> Vec<(ContainerDemand, u64, Standing)> {
    let mut found = Vec::new();
    for document in documents(file) {
        if let Reading::Workload(workload) = reading(&document) {
            for group in workload.groups {
                let (replicas, standing) = (group.replicas, group.demand.standing);
                let containers = group.demand.containers.into_iter();
                found.extend(containers.map(|container| (container, replicas, standing)));
            }
        }
    }
    found
}

#[test]
fn every_example_is_expected_to_end_in_some_way() {
    let mut files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for other in ["README.md", "aliases.toml", "expected.toml", "nodes.yaml"] {
        assert!(files.remove(other), "{other}");
    }
    let expected = expected();
    let named: Vec<&str> = expected
        .iter()
        .map(|example| example.file.as_str())
        .collect();
    assert!(named.is_sorted());
    assert_eq!(files.iter().map(String::as_str).collect::<Vec<_>>(), named);
    let readme = text_of("README.md");
    for example in expected {
        assert!(["allow", "warn", "deny", "undecided"].contains(&example.decision.as_str()));
        let codes: Vec<Code> = example
            .codes
            .iter()
            .map(|code| code.parse().unwrap())
            .collect();
        assert!(
            codes.is_sorted(),
            "{}: the worst code stands first",
            example.file
        );
        let row = readme
            .lines()
            .find(|line| line.contains(&format!("({})", example.file)));
        let cell = format!("{} {}", example.decision, example.codes.join(", "));
        let row = row.unwrap().replace('*', "");
        assert!(row.contains(&format!("| {} |", cell.trim())), "{row}");
        assert!(!example.source.is_empty());
    }
}

#[test]
fn every_example_asks_for_gpus_and_its_images_are_found_in_the_text() {
    for example in expected() {
        let file = &example.file;
        let text = text_of(file);
        let mut images = 0;
        for document in documents(file) {
            let Reading::Workload(workload) = reading(&document) else {
                continue;
            };
            for container in workload
                .groups
                .iter()
                .flat_map(|group| &group.demand.containers)
            {
                let image = container.image.as_deref().unwrap();
                let position = document.position_of(&container.field);
                let line = text
                    .lines()
                    .nth(usize::try_from(position.line).unwrap() - 1)
                    .unwrap();
                let at: String = line
                    .chars()
                    .skip(usize::try_from(position.column).unwrap() - 1)
                    .collect();
                assert!(
                    at.trim_start_matches('"').starts_with(image),
                    "{file}:{position}: {at}"
                );
                images += 1;
            }
        }
        assert!(images > 0, "{file}");
    }
}

#[test]
fn examples_ask_for_what_they_say() {
    let count = |file: &str, resource: &str| -> Vec<u64> {
        let containers = asked(file).into_iter();
        containers
            .map(|(container, ..)| container.gpus.get(resource).copied().unwrap_or_default())
            .collect()
    };
    assert_eq!(count("ddp-train.yaml", "nvidia.com/gpu"), [4]);
    assert_eq!(count("mig-inference.yaml", "nvidia.com/mig-1g.10gb"), [1]);
    assert_eq!(count("shared-gpu.yaml", "nvidia.com/gpu.shared"), [1]);
    assert_eq!(count("pytorchjob.yaml", "nvidia.com/gpu"), [8, 8]);
    assert_eq!(count("raycluster.yaml", "nvidia.com/gpu"), [1]);
    assert_eq!(count("implicit.yaml", "nvidia.com/gpu"), [0]);
    assert!(asked("implicit.yaml")[0].0.implicit.is_some());
    assert!(asked("p100-batch-installs.yaml")[0].0.changed.is_some());
    assert!(asked("notebook.yaml")[0].0.changed.is_some());
    assert_eq!(asked("p100-batch.yaml")[0].0.changed, None);
    assert_eq!(asked("p100-batch-queued.yaml")[0].2, Standing::Suspended);
    assert_eq!(asked("p100-batch.yaml")[0].1, 4);
    assert_eq!(
        asked("vllm-server.yaml")[0].0.requires.as_deref(),
        Some("cuda=12.9; sm=80,90")
    );
}

#[test]
fn the_nodes_are_a_list_whose_inventories_can_be_read_and_whose_labels_agree() {
    let mut known = 0;
    let nodes = documents("nodes.yaml");
    assert_eq!(nodes.len(), 13);
    for node in &nodes {
        assert_eq!(node.kind.to_string(), "v1 Node");
        assert!(matches!(reading(node), Reading::Skipped(_)));
        let texts = |part: &str| -> BTreeMap<String, String> {
            serde_json::from_value(node.object["metadata"][part].clone()).unwrap()
        };
        let Some(gpus) = labels::decode(&texts("annotations")).unwrap() else {
            continue;
        };
        known += 1;
        let ours: BTreeMap<String, String> = texts("labels")
            .into_iter()
            .filter(|(key, _)| key.starts_with("gpu-capgate.io/"))
            .collect();
        assert_eq!(labels::encode(&gpus).labels, ours, "{:?}", node.name);
        assert_eq!(node.object["status"]["nodeInfo"]["bootID"], gpus.boot_id);
    }
    assert_eq!(known, 7);
}

#[test]
fn the_aliases_are_an_overlay() {
    let catalog = Catalog::with_overlay(text_of("aliases.toml").as_bytes()).unwrap();
    assert_eq!(catalog.aliases().len(), 1);
}
