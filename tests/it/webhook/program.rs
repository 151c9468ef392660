//! The real webhook as an API server meets it: TLS by its own CA, both protocols, slow peers, metrics, and its end.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::certificates::{installed, trusted};
use super::{CA_SECRET, UID, WITHOUT_SM_60, creation, pod, program_of};
use crate::support::api_server::ApiServer;
use crate::support::http::{get, send, send_in_h2};
use crate::support::process::Running;
use crate::support::tls::{NAME, connect};
use crate::support::within;

struct Program {
    api: ApiServer,
    running: Running,
    address: SocketAddr,
    health: String,
    _folder: TempDir,
}

/// A webhook that is ready, in a cluster without nodes.
async fn program(delay: &str) -> Program {
    let (api, folder) = (installed().await, tempfile::tempdir().unwrap());
    let more = [CA_SECRET, "--shutdown-delay-seconds", delay];
    let mut command = program_of(&api, folder.path(), &more);
    let mut running = Running::start(&mut command);
    let address = running
        .listens("option=\"--listen\"")
        .await
        .parse()
        .unwrap();
    let health = running.listens("--health-listen").await;
    running.says(&["ready"]).await;
    running.says(&["ready"]).await;
    Program {
        api,
        running,
        address,
        health,
        _folder: folder,
    }
}

fn review(body: String) -> Request<Body> {
    Request::post(format!("https://{NAME}/validate?timeout=5s"))
        .header("host", NAME)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

impl Program {
    /// Sends a review over a new connection; the response within the answer.
    async fn asked(&self, protocol: &str, body: String) -> Value {
        let authority = trusted(&self.api);
        let connecting = connect(self.address, &authority, NAME, protocol);
        let stream = Box::pin(connecting).await.unwrap();
        let (status, answer) = if protocol == "h2" {
            Box::pin(send_in_h2(stream, review(body))).await
        } else {
            Box::pin(send(stream, review(body))).await
        };
        assert_eq!(status, StatusCode::OK, "{answer}");
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["uid"], UID);
        answer["response"].take()
    }

    async fn counts(&self, line: &str) {
        let (status, page) = get(&self.health, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
}

#[tokio::test]
async fn both_protocols_answer_small_and_large_reviews_and_count_them() {
    let program = program("0").await;
    let mut large = pod(WITHOUT_SM_60);
    large["metadata"]["annotations"]["padding"] = json!("x".repeat(3_000_000));
    for protocol in ["http/1.1", "h2"] {
        for pod in [&pod(WITHOUT_SM_60), &large] {
            let response = program.asked(protocol, creation(pod).to_string()).await;
            assert_eq!(response["allowed"], true, "there are no nodes");
            assert_ne!(response["auditAnnotations"]["decision"], "unchecked");
        }
    }
    program
        .counts("gpu_capgate_review_duration_seconds_count 4")
        .await;
    program.counts("gpu_capgate_reviews_in_flight 0").await;
    program.counts("gpu_capgate_certificate_trusted 1").await;
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("gpu_capgate_build_info{{version=\"{version}\"}} 1");
    program.counts(&build).await;
    assert_eq!(program.running.stop().await, Some(0));
}

#[tokio::test]
async fn the_metrics_are_a_page_that_a_scraper_reads() {
    let program = program("0").await;
    let (_, page) = get(&program.health, "/metrics").await;
    let mut families = Vec::new();
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            families.push(family.split_once(' ').unwrap().0.to_owned());
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let family = families.last().unwrap();
            assert!(sample.starts_with(family.as_str()), "{line} of {family}");
        }
    }
    assert!(families.iter().all(|name| name.starts_with("gpu_capgate_")));
    let count = families.len();
    families.sort();
    families.dedup();
    assert_eq!(families.len(), count, "each family stands there once");
    assert!(
        page.contains("gpu_capgate_certificate_expiry_timestamp_seconds{certificate=\"leaf\"}")
    );
    assert!(page.contains("gpu_capgate_certificate_expiry_timestamp_seconds{certificate=\"ca\"}"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_admitted_unchecked_in_time() {
    let program = program("0").await;
    let authority = trusted(&program.api);
    let connecting = connect(program.address, &authority, NAME, "http/1.1");
    let mut stream = Box::pin(connecting).await.unwrap();
    let head = format!(
        "POST /validate?timeout=1s HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\ncontent-length: 5000\r\n\r\n\
         {{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{{\"uid\":\"{UID}\",\"obj"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = within("an answer", stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"reason\":\"deadline\""), "{answer}");
    assert!(answer.contains(UID), "{answer}");
    program
        .counts("gpu_capgate_unchecked_total{reason=\"deadline\"} 1")
        .await;
}

#[tokio::test]
async fn a_program_that_is_told_to_stop_is_not_ready_and_serves_on_for_a_while() {
    let program = program("3").await;
    program.running.terminate().await;
    let stopping = async {
        while get(&program.health, "/readyz").await.0 == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    within("unreadiness", stopping).await;
    let answer = get(&program.health, "/readyz").await;
    assert_eq!(answer.1, "stopping\n");
    let response = program
        .asked("http/1.1", creation(&pod(WITHOUT_SM_60)).to_string())
        .await;
    assert_eq!(response["allowed"], true);
    program
        .counts("gpu_capgate_review_duration_seconds_count 1")
        .await;
    assert_eq!(program.running.ended().await, Some(0));
}
