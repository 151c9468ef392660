//! The webhook behind a real API server (KUBECONFIG): what it adds to the creation of a Pod, and what a client sees while
//! replicas come and go. Every creation is a dry run: nothing is stored, and the webhook is asked all the same.

use std::time::{Duration, Instant};

use kube::client::Body;
use serde_json::{Value, json};

use super::load::quantile;

/// A namespace whose Pods are reviewed, and one whose mode is `off`: the API server does not ask about it.
const REVIEWED: &str = "reviewed";
const QUIET: &str = "quiet";
/// The demo's node has P100s, which the second image has no code for.
const FITS: &str = "pytorch/pytorch:2.8.0-cuda12.6-cudnn9-runtime";
const FITS_NOWHERE: &str = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime";

/// Longest answer, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// How a creation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Admitted,
    /// By the webhook.
    Refused,
    Failed,
}

fn pod(image: &str, resource: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "measured"},
        "spec": {"containers": [{"name": "train", "image": image, "resources": {"limits": {resource: "1"}}}]},
    })
}

async fn create(client: &kube::Client, namespace: &str, pod: &Value) -> (Ended, Duration) {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let request = axum::http::Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(pod.to_string().into_bytes()))
        .unwrap();
    let begin = Instant::now();
    let Ok(response) = client.send(request).await else {
        return (Ended::Failed, begin.elapsed());
    };
    let code = response.status().as_u16();
    let answer = axum::body::Body::new(response.into_body());
    let text = axum::body::to_bytes(answer, ANSWER_LIMIT)
        .await
        .unwrap_or_default();
    let took = begin.elapsed();
    let by_us = String::from_utf8_lossy(&text).contains("denied the request: container");
    let ended = match (code, by_us) {
        (201, _) => Ended::Admitted,
        (403, true) => Ended::Refused,
        _ => Ended::Failed,
    };
    (ended, took)
}

/// Creates each Pod in both namespaces, in turns, and prints what the reviewed one takes more.
#[tokio::main]
pub(crate) async fn latency(count: usize) {
    let client = kube::Client::try_default().await.unwrap();
    println!(
        "| Pod | without p50, p99 us | with p50, p99 us | difference of pairs p50 us | of p99s us |"
    );
    println!("|---|---|---|---|---|");
    for (name, image, resource, expected) in [
        ("GPU, admitted", FITS, "nvidia.com/gpu", Ended::Admitted),
        (
            "GPU, refused",
            FITS_NOWHERE,
            "nvidia.com/gpu",
            Ended::Refused,
        ),
        ("CPU", FITS, "cpu", Ended::Admitted),
    ] {
        let pod = pod(image, resource);
        let (mut with, mut without, mut more) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..count + count / 10 {
            let order = if round % 2 == 0 {
                [REVIEWED, QUIET]
            } else {
                [QUIET, REVIEWED]
            };
            let (mut reviewed, mut quiet) = (Duration::ZERO, Duration::ZERO);
            for namespace in order {
                let (ended, took) = create(&client, namespace, &pod).await;
                let (slot, wanted) = match namespace {
                    REVIEWED => (&mut reviewed, expected),
                    _ => (&mut quiet, Ended::Admitted),
                };
                assert_eq!(ended, wanted, "{name} in {namespace}");
                *slot = took;
            }
            // The first tenth warms up.
            if round >= count / 10 {
                with.push(reviewed);
                without.push(quiet);
                more.push(reviewed.as_secs_f64() - quiet.as_secs_f64());
            }
        }
        with.sort_unstable();
        without.sort_unstable();
        more.sort_unstable_by(f64::total_cmp);
        let middle = more.get(more.len() / 2).copied().unwrap_or(f64::NAN) * 1e6;
        let [p50, p99] = [500, 990].map(|rank| [quantile(&without, rank), quantile(&with, rank)]);
        println!(
            "| {name} | {:.0}, {:.0} | {:.0}, {:.0} | {middle:.0} | {:.0} |",
            p50[0],
            p99[0],
            p50[1],
            p99[1],
            p99[1] - p99[0]
        );
    }
}

/// Creates a Pod that has to be refused, again and again over several clients, and tells what else happened and when.
#[tokio::main]
pub(crate) async fn soak(time: Duration) {
    let begin = Instant::now();
    let clients = (0..8).map(|_| async {
        let client = kube::Client::try_default().await.unwrap();
        let pod = pod(FITS_NOWHERE, "nvidia.com/gpu");
        let mut seen = Vec::new();
        while begin.elapsed() < time {
            let at = begin.elapsed();
            let (ended, took) = create(&client, REVIEWED, &pod).await;
            seen.push((at, ended, took));
        }
        seen
    });
    let mut seen = futures::future::join_all(clients).await.concat();
    seen.sort_unstable_by_key(|(at, _, _)| *at);
    let count = |wanted| seen.iter().filter(|(_, ended, _)| *ended == wanted).count();
    let (refused, admitted, failed) = (
        count(Ended::Refused),
        count(Ended::Admitted),
        count(Ended::Failed),
    );
    let mut times: Vec<Duration> = seen.iter().map(|(_, _, took)| *took).collect();
    times.sort_unstable();
    println!(
        "{refused} refused, {admitted} admitted unchecked, {failed} failed; p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        quantile(&times, 500) / 1e3,
        quantile(&times, 990) / 1e3,
        quantile(&times, 1000) / 1e3
    );
    let wrong: Vec<_> = seen
        .iter()
        .filter(|(_, ended, _)| *ended != Ended::Refused)
        .collect();
    if let (Some((first, _, _)), Some((last, _, _))) = (wrong.first(), wrong.last()) {
        println!("the first of them began after {first:.2?}, the last after {last:.2?}");
    }
}
