//! Text from users that is made to hurt: whatever it is, the answer stays short and clean, and nothing panics.

use std::sync::LazyLock;

use axum::Router;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::json::{any_json, places};

use super::{RESOURCE, WITHOUT_SM_60, answer, creation, labelled, p100, pod, post, webhook};

const HOSTILE: [&str; 8] = [
    "\u{1b}[31mred\u{1b}[0m",
    "a\nfix    rm -rf /",
    "tab\tbell\u{7}nul\u{0}",
    "quote\" and \\ and `",
    "right\u{202e}to left",
    "c1\u{9b}31m",
    "",
    "\u{1F600}\u{0301}",
];

/// Holds a response to what every message promises.
fn is_clean(response: &Value) {
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert!(message.len() <= 900, "{} bytes", message.len());
    let lines: Vec<&str> = message.split('\n').collect();
    let (headline, rest) = lines.split_first().unwrap();
    assert!(headline.chars().count() <= 160, "{headline}");
    assert!(rest.iter().all(|line| line.starts_with("  ")), "{message}");
    assert!(
        !message.replace('\n', "").contains(is_hidden),
        "{message:?}"
    );
    for cause in response["status"]["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
    {
        assert!(
            !cause["message"].as_str().unwrap().contains(is_hidden),
            "{cause:?}"
        );
    }
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().unwrap();
        assert!(warning.chars().count() <= 250, "{warning}");
        assert!(!warning.contains(is_hidden), "{warning:?}");
    }
}

/// What a terminal does not show as it is: control characters, and those that turn the direction of text.
fn is_hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

async fn answers_cleanly(webhook: &Router, pod: &Value) {
    let refused = answer(webhook, &creation(pod)).await;
    is_clean(&refused);
    let mut warned = pod.clone();
    warned["metadata"]["annotations"]["gpu-capgate.io/mode"] = json!("warn");
    is_clean(&answer(webhook, &creation(&warned)).await);
}

#[tokio::test]
async fn a_hostile_container_name_does_no_harm() {
    let webhook = webhook([p100()]);
    let long = "x".repeat(100_000);
    for name in HOSTILE.into_iter().chain([long.as_str()]) {
        let mut pod = pod(WITHOUT_SM_60);
        pod["spec"]["containers"][0]["name"] = json!(name);
        answers_cleanly(&webhook, &pod).await;
    }
}

#[tokio::test]
async fn a_hostile_image_name_does_no_harm() {
    let webhook = webhook([p100()]);
    let long = format!("registry.example/{}", "x/".repeat(50_000));
    for name in HOSTILE.into_iter().chain([long.as_str()]) {
        let tagged = format!("pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime{name}");
        let hosted = format!("{name}/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime");
        for image in [name, &tagged, &hosted] {
            answers_cleanly(&webhook, &pod(image)).await;
        }
    }
}

#[tokio::test]
async fn a_hostile_node_selection_does_no_harm() {
    let long = "x".repeat(100_000);
    for value in HOSTILE.into_iter().chain([long.as_str()]) {
        let mut node = p100();
        node["metadata"]["labels"][value] = json!(value);
        let mut pod = pod(WITHOUT_SM_60);
        pod["spec"]["nodeSelector"] = json!({value: value});
        answers_cleanly(&webhook([node]), &pod).await;
    }
}

#[tokio::test]
async fn a_hostile_product_name_on_a_node_does_no_harm() {
    let long = "x".repeat(100_000);
    for product in HOSTILE.into_iter().chain([long.as_str()]) {
        let mut node = labelled("T", "6.0");
        let key = "gpu-capgate.io/inventory";
        let inventory = node["metadata"]["annotations"][key].as_str().unwrap();
        let mut inventory: Value = serde_json::from_str(inventory).unwrap();
        inventory["groups"][0]["product"] = json!(product);
        node["metadata"]["annotations"][key] = json!(inventory.to_string());
        answers_cleanly(&webhook([node]), &pod(WITHOUT_SM_60)).await;
    }
}

#[tokio::test]
async fn a_thousand_containers_make_one_short_answer() {
    let mut pod = pod(WITHOUT_SM_60);
    let container = pod["spec"]["containers"][0].clone();
    pod["spec"]["containers"] = json!(vec![container; 1000]);
    let mut review = creation(&pod);
    review["request"]["object"]["metadata"]["annotations"]["gpu-capgate.io/mode"] = json!("warn");
    let mut node = p100();
    node["status"]["capacity"][RESOURCE] = json!("1000");
    let response = answer(&webhook([node.clone()]), &review).await;
    is_clean(&response);
    assert!(response["warnings"].as_array().unwrap().len() <= 10);
    let refused = answer(&webhook([node]), &creation(&pod)).await;
    is_clean(&refused);
    assert_eq!(refused["allowed"], false);
}

/// One runtime and one webhook for all cases of all properties.
static WEBHOOK: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    (runtime, webhook([p100()]))
});

fn posted(body: Vec<u8>) -> u16 {
    let (runtime, webhook) = &*WEBHOOK;
    runtime.block_on(post(webhook, body)).0.as_u16()
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
        prop_assert_eq!(posted(body), 400);
    }

    #[test]
    fn no_json_panics(body in any_json()) {
        prop_assert_eq!(posted(body.to_string().into_bytes()), 400);
    }

    #[test]
    fn no_value_in_any_place_of_a_review_panics(place in prop::sample::select(places(&creation(&pod(WITHOUT_SM_60)))), value in any_json()) {
        let mut review = creation(&pod(WITHOUT_SM_60));
        *review.pointer_mut(&place).unwrap() = value;
        let status = posted(review.to_string().into_bytes());
        prop_assert!(status == 200 || status == 400, "{}", status);
    }

    #[test]
    fn no_names_make_an_answer_unclean(name in "(?s).{0,40}", image in "(?s).{0,40}") {
        let (runtime, webhook) = &*WEBHOOK;
        let mut pod = pod(&format!("{WITHOUT_SM_60}{image}"));
        pod["spec"]["containers"][0]["name"] = json!(name);
        runtime.block_on(answers_cleanly(webhook, &pod));
        pod["spec"]["containers"][0]["image"] = json!(WITHOUT_SM_60);
        runtime.block_on(answers_cleanly(webhook, &pod));
    }
}
