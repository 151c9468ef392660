//! The examples, run through `check` as their README says, and through the webhook: both decide what
//! `examples/expected.toml` says, in the same words.

mod configured;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::review::Reviewer;
use gpu_capgate::cluster::fleet::{NodeObject, Roster, Settings};
use gpu_capgate::cluster::manifest::{self, Limits};
use gpu_capgate::cluster::watch::ClusterState;
use gpu_capgate::image::repositories::Repositories;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Expected {
    example: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    file: String,
    decision: String,
    codes: Vec<String>,
}

fn text(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    fs::read_to_string(folder.join(file)).unwrap()
}

fn expected() -> Vec<Example> {
    toml::from_str::<Expected>(&text("expected.toml"))
        .unwrap()
        .example
}

/// What `check -f` says about a file, and how it ends.
fn checked(file: &str) -> (Value, Option<i32>) {
    let path = format!("examples/{file}");
    let arguments = [
        "check",
        "-f",
        &path,
        "--nodes",
        "examples/nodes.yaml",
        "-o",
        "json",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
        .args(arguments)
        .args(["--overlay", "examples/aliases.toml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    (
        serde_json::from_slice(&output.stdout).unwrap(),
        output.status.code(),
    )
}

#[test]
fn check_decides_as_expected_about_every_example() {
    for example in expected() {
        let (report, code) = checked(&example.file);
        let codes: Vec<&str> = report["documents"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|document| document["codes"].as_array().unwrap())
            .map(|code| code.as_str().unwrap())
            .collect();
        let found = (report["decision"].as_str().unwrap(), codes);
        let codes = example.codes.iter().map(String::as_str).collect();
        assert_eq!(
            found,
            (example.decision.as_str(), codes),
            "{}",
            example.file
        );
        assert_eq!(
            code,
            Some(i32::from(example.decision == "deny")),
            "{}",
            example.file
        );
    }
}

/// The webhook of the cluster that `nodes.yaml` tells of, with a configuration and modes of Namespaces.
fn reviewer(configuration: &str, modes: &[(&str, &str)]) -> Reviewer {
    let configuration = Configuration::parse(configuration.as_bytes()).unwrap();
    let settings = Settings {
        resources: configuration.resources.clone(),
        trust: configuration.trust,
    };
    let mut roster = Roster::new(settings, configuration.catalog());
    let nodes = manifest::read(
        "nodes.yaml",
        text("nodes.yaml").as_bytes(),
        &Limits::default(),
    );
    for node in nodes.documents {
        roster.put_node(&NodeObject::from_json(&node.object).unwrap());
    }
    for pool in &configuration.pools {
        roster.put_declared_pool(pool);
    }
    let modes = modes
        .iter()
        .map(|(name, mode)| ((*name).to_owned(), (*mode).to_owned()));
    let mut cluster = ClusterState::of(roster.fleet());
    cluster.namespaces = Arc::new(modes.collect());
    Reviewer::new(
        Arc::new(ArcSwap::from_pointee(cluster)),
        Arc::new(ArcSwap::from_pointee(configuration)),
        Repositories::bundled().unwrap(),
    )
}

fn reviewed(reviewer: &Reviewer, object: &Value) -> Value {
    let namespace = object.pointer("/metadata/namespace");
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "1", "operation": "CREATE", "object": object,
            "namespace": namespace.cloned().unwrap_or(json!("default"))},
    });
    let judged = reviewer.answer(review.to_string().as_bytes()).unwrap();
    serde_json::to_value(judged.reply).unwrap()["response"].take()
}

#[test]
fn the_webhook_says_the_same_as_check_about_every_example() {
    let overlay = json!({"overlay": text("aliases.toml")});
    let reviewer = reviewer(&overlay.to_string(), &[]);
    let mut decisions: BTreeMap<String, usize> = BTreeMap::new();
    for example in expected() {
        let (report, _) = checked(&example.file);
        let told: Vec<&Value> = report["documents"].as_array().unwrap().iter().collect();
        let documents = manifest::read(
            &example.file,
            text(&example.file).as_bytes(),
            &Limits::default(),
        );
        for document in documents.documents {
            let response = reviewed(&reviewer, &document.object);
            let decision = response["auditAnnotations"]["decision"].as_str();
            let Some(decision) = decision else { continue };
            *decisions.entry(decision.to_owned()).or_default() += 1;
            same_words(&told, &document, &response);
        }
    }
    for decision in ["allow", "warn", "undecided", "deny"] {
        assert!(decisions.contains_key(decision), "{decisions:?}");
    }
}

/// Holds what `check` told about an object against the webhook's answer: the decision of the worst of its Pods, its text
/// if it is refused, else all warnings.
fn same_words(told: &[&Value], document: &manifest::Document, response: &Value) {
    let name = document.name.as_deref();
    let of_object = told
        .iter()
        .filter(|told| told["name"].as_str() == name && told["kind"] == document.kind.kind)
        .filter(|told| {
            told["source"]
                .as_str()
                .unwrap()
                .ends_with(&*document.source)
        });
    let of_object: Vec<&&Value> = of_object.collect();
    let badness = |told: &&&&Value| {
        ["allow", "warn", "undecided", "deny"]
            .iter()
            .position(|one| told["decision"] == *one)
    };
    let worst = of_object.iter().rev().max_by_key(badness).unwrap();
    assert_eq!(
        worst["decision"], response["auditAnnotations"]["decision"],
        "{name:?}"
    );
    if worst["decision"] == "deny" {
        assert_eq!(response["status"]["message"], worst["message"], "{name:?}");
    } else {
        let warned = |told: &Value| told.get("warnings").and_then(Value::as_array).cloned();
        let all = of_object.iter().filter_map(|told| warned(told)).flatten();
        let answered = warned(response).unwrap_or_default();
        assert_eq!(
            all.map(|line| line.to_string()).collect::<BTreeSet<_>>(),
            answered.iter().map(ToString::to_string).collect(),
            "{name:?}"
        );
    }
}
