//! What dashboards, alerts and documentation say of metrics is what the two programs export.

use std::collections::BTreeMap;
use std::fs;

use axum::http::StatusCode;
use serde_json::json;

use super::certificates::installed;
use super::{CA_SECRET, program_of};
use crate::support::api_server::ApiServer;
use crate::support::gpu;
use crate::support::http::get;
use crate::support::kubelet::{Kubelet, Manner};
use crate::support::process::{Running, argument, gpu_capgate};
use crate::support::within;

const PREFIX: &str = "gpu_capgate_";

/// What is exported under a name: the labels of each sample.
type Exported = BTreeMap<String, Vec<String>>;

/// The page of a program, once it is ready.
async fn page(mut running: Running) -> String {
    let health = running.listens("--health-listen").await;
    let ready = async {
        while get(&health, "/readyz").await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    within("readiness", ready).await;
    get(&health, "/metrics").await.1
}

/// A webhook with all that may be switched on.
async fn of_the_webhook() -> String {
    let (api, folder) = (installed().await, tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    fs::write(&config, "").unwrap();
    let more = [
        CA_SECRET,
        "--steering-configuration=steering",
        "--config",
        argument(&config),
    ];
    let mut command = program_of(&api, folder.path(), &more);
    page(Running::start(&mut command)).await
}

async fn of_the_agent() -> String {
    let folder = tempfile::tempdir().unwrap();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1"}});
    let api = ApiServer::start().await.with("/api/v1/nodes/gpu-1", node);
    let inventory = folder.path().join("inventory.yaml");
    fs::write(
        &inventory,
        format!("gpus: [{}]", gpu("GPU-1", "Tesla T4", "7.5")),
    )
    .unwrap();
    let mut kubelet = Kubelet::start(folder.path(), Manner::Proper);
    let mut command = gpu_capgate(&[
        "agent",
        "--node-name=gpu-1",
        "--inventory",
        argument(&inventory),
        "--device-plugin-dir",
        argument(folder.path()),
        "--health-listen=127.0.0.1:0",
    ]);
    command.env("KUBECONFIG", api.kubeconfig(folder.path()));
    let running = Running::start(&mut command);
    let _watch = kubelet.watch().await;
    page(running).await
}

fn exported(pages: &[String]) -> Exported {
    let mut exported = Exported::new();
    for line in pages.iter().flat_map(|page| page.lines()) {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            exported.entry(word(family).to_owned()).or_default();
        } else if !line.starts_with('#') {
            let name = word(line);
            let labels = line[name.len()..].to_owned();
            exported.entry(name.to_owned()).or_default().push(labels);
        }
    }
    exported
}

/// The name that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Names of metrics of ours in a text, each with what selects among its samples: `key="value"`, or a bare `key`.
fn mentions(text: &str) -> Vec<(String, Vec<String>)> {
    let text = text.replace("\\\"", "\"");
    let mut found = Vec::new();
    for (start, _) in text.match_indices(PREFIX) {
        let name = word(&text[start..]);
        let rest = &text[start + name.len()..];
        let selector = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let selector = selector.map_or("", |(selector, _)| selector);
        let parts = selector.split(',').filter(|part| !part.is_empty());
        let parts = parts.map(|part| part.replace("!=", "="));
        found.push((name.to_owned(), parts.collect()));
    }
    found
}

#[tokio::test]
async fn every_metric_that_dashboard_alerts_and_documentation_name_is_exported() {
    let exported = exported(&[of_the_webhook().await, of_the_agent().await]);
    for (file, least) in [
        ("charts/gpu-capgate/files/dashboard.json", 12),
        ("charts/gpu-capgate/files/alerts.yaml", 6),
        ("docs/operators.md", 12),
    ] {
        let mentions = mentions(&fs::read_to_string(file).unwrap());
        assert!(mentions.len() >= least, "{file}: {mentions:?}");
        for (name, parts) in mentions {
            let samples = exported.get(&name);
            let samples = samples.unwrap_or_else(|| panic!("{file}: {name} is not exported"));
            for part in parts {
                let there = samples.iter().any(|labels| labels.contains(&part));
                assert!(there, "{file}: {name} has no {part} in {samples:?}");
            }
        }
    }
}

#[test]
fn a_mention_is_found_with_what_selects_among_its_samples() {
    let text = r#""expr": "sum(gpu_capgate_a_total{b=\"c\",d!=\"e\"}) / gpu_capgate_f", `gpu_capgate_g{h}`"#;
    let found = mentions(text);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["gpu_capgate_a_total", "gpu_capgate_f", "gpu_capgate_g"]
    );
    assert_eq!(found[0].1, ["b=\"c\"", "d=\"e\""]);
    assert_eq!(found[2].1, ["h"]);
}
