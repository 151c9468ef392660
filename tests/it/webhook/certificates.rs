//! The webhook's CA and its registration, against a fake API server: in process, and the real program.

use std::path::Path;

use axum::http::StatusCode;
use gpu_capgate::admission::certificates::{Identity, authority, keep_registered};
use gpu_capgate::lifecycle::Readiness;
use k8s_openapi::ByteString;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::support::api_server::{ApiServer, Instead};
use crate::support::http::get;
use crate::support::process::{Running, failure, gpu_capgate};
use crate::support::within;

const SECRET: &str = "/api/v1/namespaces/gpu-capgate/secrets/ca";
const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/capgate";

fn identity() -> Identity {
    Identity {
        namespace: "gpu-capgate".to_owned(),
        service: "webhook".to_owned(),
        ca_secret: "ca".to_owned(),
        configuration: "capgate".to_owned(),
    }
}

/// Bytes as they stand in a Secret and in a caBundle.
fn encoded(bytes: &str) -> Value {
    serde_json::to_value(ByteString(bytes.as_bytes().to_vec())).unwrap()
}

fn secret(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca", "namespace": "gpu-capgate"}, "data": data})
}

/// A registration with another's webhook before those of that name.
fn registration(name: &str) -> Value {
    let webhook = |name: &str| {
        json!({
            "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
            "clientConfig": {"service": {"name": "webhook", "namespace": "gpu-capgate", "path": "/validate"}},
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "capgate"}, "webhooks": [webhook("other.example.com"), webhook(name)],
    })
}

fn ours() -> Value {
    registration("check.gpu-capgate.io")
}

async fn made(api: &ApiServer) -> String {
    let client = api.client();
    let authority = within("a CA", authority(&client, &identity())).await;
    authority.certificate_pem().to_owned()
}

#[tokio::test]
async fn an_empty_secret_is_filled_at_the_version_that_was_read() {
    let mut api = ApiServer::start().await.with(SECRET, secret(&Value::Null));
    let version = api.object(SECRET)["metadata"]["resourceVersion"].clone();
    let pem = made(&api).await;
    let write = api.write().await;
    assert_eq!(write.path, SECRET);
    assert_eq!(write.body["metadata"]["resourceVersion"], version);
    assert_eq!(api.object(SECRET)["data"]["tls.crt"], encoded(&pem));
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn a_ca_that_is_there_is_used_and_nothing_is_written() {
    let api = ApiServer::start().await.with(SECRET, secret(&json!({})));
    let first = made(&api).await;
    let filled = api.object(SECRET);
    let mut api = ApiServer::start().await.with(SECRET, filled);
    assert_eq!(made(&api).await, first);
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn a_replica_that_comes_second_takes_the_ca_of_the_first() {
    let before = ApiServer::start().await.with(SECRET, secret(&json!({})));
    let first = made(&before).await;
    // Between its read and its write the other replica has filled the Secret.
    let overtaken = Instead::Overtake(before.object(SECRET));
    let mut api = ApiServer::start()
        .await
        .with(SECRET, secret(&json!({})))
        .instead([overtaken]);
    assert_eq!(made(&api).await, first);
    assert_eq!(api.unread_writes(), 1);
}

#[tokio::test]
async fn two_replicas_at_once_end_with_one_ca() {
    let api = ApiServer::start().await.with(SECRET, secret(&json!({})));
    let (one, other) = tokio::join!(made(&api), made(&api));
    assert_eq!(one, other);
    assert_eq!(api.object(SECRET)["data"]["tls.crt"], encoded(&one));
}

struct Registered {
    readiness: Readiness,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

fn register(api: &ApiServer, pem: &str) -> Registered {
    let (readiness, stop) = (Readiness::default(), CancellationToken::new());
    let ready = readiness.wait_for("registration");
    let registered = keep_registered(
        api.client(),
        identity(),
        pem.to_owned(),
        ready,
        stop.clone(),
    );
    Registered {
        readiness,
        stop,
        ended: tokio::spawn(registered),
    }
}

impl Registered {
    async fn ready(&self) {
        let ready = async {
            while !self.readiness.waiting().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        within("readiness", ready).await;
    }
}

#[tokio::test]
async fn of_the_registration_only_our_ca_bundle_is_written() {
    let mut api = ApiServer::start().await.with(CONFIGURATION, ours());
    let registered = register(&api, "PEM");
    let write = api.write().await;
    let bundle =
        json!({"name": "check.gpu-capgate.io", "clientConfig": {"caBundle": encoded("PEM")}});
    assert_eq!(write.body, json!({"webhooks": [bundle]}));
    registered.ready().await;
}

#[tokio::test]
async fn a_ca_bundle_that_is_right_is_not_written_again() {
    let mut right = ours();
    right["webhooks"][1]["clientConfig"]["caBundle"] = encoded("PEM");
    let mut api = ApiServer::start().await.with(CONFIGURATION, right);
    register(&api, "PEM").ready().await;
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn a_ca_bundle_of_another_installation_is_replaced() {
    let mut stale = ours();
    stale["webhooks"][1]["clientConfig"]["caBundle"] = encoded("stale");
    let api = ApiServer::start().await.with(CONFIGURATION, stale);
    register(&api, "PEM").ready().await;
    let webhooks = &api.object(CONFIGURATION)["webhooks"];
    assert_eq!(webhooks[1]["clientConfig"]["caBundle"], encoded("PEM"));
    assert_eq!(webhooks[0]["clientConfig"]["caBundle"], Value::Null);
}

#[tokio::test]
async fn a_registration_that_could_not_be_written_is_written_again() {
    let refused = Instead::Refuse(403, "validatingwebhookconfigurations is forbidden");
    let mut api = ApiServer::start()
        .await
        .with(CONFIGURATION, ours())
        .instead([refused]);
    let registered = register(&api, "PEM");
    api.write().await;
    assert_eq!(registered.readiness.waiting(), ["registration"]);
    api.write().await;
    registered.ready().await;
}

#[tokio::test]
async fn a_stop_is_not_held_up_by_an_api_server_that_does_not_answer() {
    let mut api = ApiServer::start()
        .await
        .with(CONFIGURATION, ours())
        .instead([Instead::KeepWaiting]);
    let registered = register(&api, "PEM");
    api.write().await;
    registered.stop.cancel();
    within("the end of the registration", registered.ended)
        .await
        .unwrap();
}

/// The real webhook, in front of that API server.
fn program(api: &ApiServer, folder: &Path) -> Command {
    let mut command = gpu_capgate(&[
        "webhook",
        "--listen=127.0.0.1:0",
        "--health-listen=127.0.0.1:0",
        "--namespace=gpu-capgate",
        "--service=webhook",
        "--ca-secret=ca",
        "--configuration=capgate",
    ]);
    command.env("KUBECONFIG", api.kubeconfig(folder));
    command
}

async fn waits_for(health: &str, part: &str) {
    let (status, body) = get(health, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(part), "{body}");
}

#[tokio::test]
async fn the_program_makes_its_ca_registers_it_and_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut api = ApiServer::start()
        .await
        .with(SECRET, secret(&json!({})))
        .with(CONFIGURATION, ours());
    let mut webhook = Running::start(&mut program(&api, folder.path()));
    let health = webhook.listens("--health-listen").await;
    let (filled, registered) = (api.write().await, api.write().await);
    assert_eq!(
        filled.body["data"]["tls.crt"],
        registered.body["webhooks"][0]["clientConfig"]["caBundle"]
    );
    webhook.says(&["ready"]).await;
    webhook.says(&["ready"]).await;
    let answer = get(&health, "/readyz").await;
    assert_eq!(answer, (StatusCode::OK, "ok\n".to_owned()));
}

#[tokio::test]
async fn a_secret_that_holds_no_ca_is_named_with_the_way_out_and_never_ready() {
    let garbage = json!({"tls.crt": encoded("garbage"), "tls.key": encoded("garbage")});
    never_ready_with(&garbage).await;
}

#[tokio::test]
async fn a_secret_that_holds_half_a_ca_is_never_ready() {
    let api = ApiServer::start().await.with(SECRET, secret(&json!({})));
    made(&api).await;
    let mut half = api.object(SECRET)["data"].clone();
    half.as_object_mut().unwrap().remove("tls.key");
    never_ready_with(&half).await;
}

#[tokio::test]
async fn a_certificate_with_the_key_of_another_is_no_ca() {
    let api = ApiServer::start().await.with(SECRET, secret(&json!({})));
    made(&api).await;
    let mut mixed = api.object(SECRET)["data"].clone();
    mixed["tls.key"] = encoded(&KeyPair::generate().unwrap().serialize_pem());
    never_ready_with(&mixed).await;
}

async fn never_ready_with(data: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut api = ApiServer::start()
        .await
        .with(SECRET, secret(data))
        .with(CONFIGURATION, ours());
    let mut webhook = Running::start(&mut program(&api, folder.path()));
    let health = webhook.listens("--health-listen").await;
    let words = ["Secret ca holds no usable CA", "kubectl patch secret ca"];
    // Twice: it goes on trying, since somebody may empty the Secret.
    webhook.says(&words).await;
    webhook.says(&words).await;
    waits_for(&health, "registration").await;
    assert_eq!(
        api.unread_writes(),
        0,
        "what it does not understand it does not replace"
    );
    assert_eq!(api.object(SECRET)["data"], *data);
}

#[tokio::test]
async fn a_registration_without_our_webhook_is_named_and_never_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut api = ApiServer::start()
        .await
        .with(SECRET, secret(&json!({})))
        .with(CONFIGURATION, registration("check.example.com"));
    let mut webhook = Running::start(&mut program(&api, folder.path()));
    let health = webhook.listens("--health-listen").await;
    let words = [
        "ValidatingWebhookConfiguration capgate has no webhook check.gpu-capgate.io",
        "install it with the chart",
    ];
    webhook.says(&words).await;
    waits_for(&health, "registration").await;
    assert_eq!(api.write().await.path, SECRET);
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let api = ApiServer::start().await.with(CONFIGURATION, ours());
    let mut webhook = Running::start(&mut program(&api, folder.path()));
    webhook.says(&["cannot read Secret ca", "not found"]).await;
    let mut api = api.with(SECRET, secret(&json!({})));
    assert_eq!(api.write().await.path, SECRET);
}

#[tokio::test]
async fn names_that_make_no_certificate_end_the_program_with_the_names() {
    let folder = tempfile::tempdir().unwrap();
    let api = ApiServer::start().await.with(
        SECRET.replace("gpu-capgate", "caf\u{e9}").as_str(),
        secret(&json!({})),
    );
    let mut command = program(&api, folder.path());
    command.arg("--service=w\u{f6}rk");
    let (code, text) = failure(&mut command).await;
    assert_ne!(code, 0, "{text}");
}
