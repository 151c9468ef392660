//! The examples, run through `check` as their README says, and through the webhook: both decide what
//! `examples/expected.toml` says, in the same words.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{fs, iter};

use arc_swap::ArcSwap;
use gpu_capgate::admission::configuration::Configuration;
use gpu_capgate::admission::review::Reviewer;
use gpu_capgate::cluster::fleet::{NodeObject, Roster, Settings};
use gpu_capgate::cluster::manifest::{self, Limits};
use gpu_capgate::cluster::watch::ClusterState;
use gpu_capgate::compat::Catalog;
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

/// The webhook of the cluster that `nodes.yaml` tells of.
fn reviewer() -> Reviewer {
    let mut roster = Roster::new(Settings::default(), Catalog::embedded());
    let nodes = manifest::read(
        "nodes.yaml",
        text("nodes.yaml").as_bytes(),
        &Limits::default(),
    );
    for node in nodes.documents {
        roster.put_node(&NodeObject::from_json(&node.object).unwrap());
    }
    let overlay = json!({"overlay": text("aliases.toml")});
    let configuration = Configuration::parse(overlay.to_string().as_bytes()).unwrap();
    let cluster = ClusterState::of(roster.fleet());
    Reviewer::new(
        Arc::new(ArcSwap::from_pointee(cluster)),
        Arc::new(ArcSwap::from_pointee(configuration)),
        Repositories::bundled().unwrap(),
    )
}

fn reviewed(reviewer: &Reviewer, object: &Value) -> Value {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "1", "operation": "CREATE", "object": object},
    });
    let judged = reviewer.answer(review.to_string().as_bytes()).unwrap();
    serde_json::to_value(judged.reply).unwrap()["response"].take()
}

#[test]
fn the_webhook_says_the_same_as_check_about_every_example() {
    let reviewer = reviewer();
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
            let mut of_object = told.iter().filter(|told| {
                told["name"].as_str() == document.name.as_deref()
                    && told["kind"] == document.kind.kind
            });
            let first = of_object.next().unwrap();
            let worst = iter::once(first).chain(of_object).max_by_key(|told| {
                ["allow", "warn", "undecided", "deny"]
                    .iter()
                    .position(|one| told["decision"] == *one)
            });
            let worst = worst.unwrap();
            assert_eq!(worst["decision"], decision, "{}", example.file);
            if decision == "deny" {
                assert_eq!(
                    response["status"]["message"], worst["message"],
                    "{}",
                    example.file
                );
            } else {
                let none = json!([]);
                let warnings = response.get("warnings").unwrap_or(&none);
                assert_eq!(
                    warnings,
                    worst.get("warnings").unwrap_or(&none),
                    "{}",
                    example.file
                );
            }
        }
    }
    for decision in ["allow", "warn", "undecided", "deny"] {
        assert!(decisions.contains_key(decision), "{decisions:?}");
    }
}
