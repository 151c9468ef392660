//! The webhook's CA and its registration, against a fake API server: in process, and the real program.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get as getting;
use gpu_capgate::admission::certificates::{
    CertificateCounts, Identity, Rhythm, Shown, Source, keep_files, keep_own,
};
use gpu_capgate::admission::tls::{Bounds, ConnectionCounts, Served, Server};
use gpu_capgate::lifecycle::Readiness;
use gpu_capgate::telemetry::metrics::Registry;
use k8s_openapi::ByteString;
use rcgen::KeyPair;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{CA_SECRET, program_of};
use crate::support::api_server::{ApiServer, Instead};
use crate::support::http::{get, send};
use crate::support::process::{Running, failure};
use crate::support::tls::{NAME, TestAuthority, connect};
use crate::support::within;

const SECRET: &str = "/api/v1/namespaces/gpu-capgate/secrets/ca";
pub(super) const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/capgate";
const DAY: i64 = 86_400;

fn identity() -> Identity {
    Identity {
        namespace: "gpu-capgate".to_owned(),
        service: "webhook".to_owned(),
        configuration: "capgate".to_owned(),
        steering: None,
    }
}

/// Bytes as they stand in a Secret and in a caBundle.
pub(super) fn encoded(bytes: &str) -> Value {
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

pub(super) fn ours() -> Value {
    registration("check.gpu-capgate.io")
}

/// A replica of the webhook: what looks after its certificate, and a server that shows it.
pub(super) struct Replica {
    address: SocketAddr,
    pub(super) readiness: Readiness,
    pub(super) registry: Registry,
    /// Seconds that its clock is ahead.
    ahead: Arc<AtomicI64>,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn replica(api: &ApiServer) -> Replica {
    replica_whose_clock_is_ahead(api, 0).await
}

async fn replica_whose_clock_is_ahead(api: &ApiServer, seconds: i64) -> Replica {
    let own = Source::Own {
        ca_secret: "ca".to_owned(),
    };
    replica_with(api, own, seconds).await
}

pub(super) async fn replica_with(api: &ApiServer, source: Source, seconds: i64) -> Replica {
    let (stop, registry) = (CancellationToken::new(), Registry::default());
    let (readiness, served) = (Readiness::default(), Arc::new(Served::default()));
    let ahead = Arc::new(AtomicI64::new(seconds));
    let set = Arc::clone(&ahead);
    let clock = Arc::new(move || {
        OffsetDateTime::now_utc() + time::Duration::seconds(set.load(Ordering::Relaxed))
    });
    let counts = CertificateCounts::new(&registry);
    let shown = Shown::new(
        identity(),
        Arc::clone(&served),
        readiness.clone(),
        clock,
        counts,
    );
    let shown = shown.unwrap().every(Rhythm {
        check: Duration::from_millis(50),
        retry: Duration::from_millis(50),
        // Longer than a busy machine takes from reading what is trusted to the end of a handshake.
        settle: Duration::from_millis(1500),
        files: Duration::from_millis(50),
    });
    let (client, stopped) = (api.client(), stop.clone());
    let ended = tokio::spawn(async move {
        match source {
            Source::Own { ca_secret } => keep_own(shown, client, ca_secret, stopped).await,
            Source::Files(files) => keep_files(shown, client, files, stopped).await,
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let webhook = Server {
        listener,
        served,
        router: Router::new().route("/", getting(async || "hello")),
        bounds: Bounds::default(),
        counts: ConnectionCounts::new(&registry),
    };
    tokio::spawn(webhook.serve(Duration::ZERO, stop.clone()));
    Replica {
        address,
        readiness,
        registry,
        ahead,
        stop,
        ended,
    }
}

impl Replica {
    pub(super) async fn ready(&self) {
        until("readiness", async || self.readiness.waiting().is_empty()).await;
    }

    pub(super) async fn not_ready(&self) {
        until("unreadiness", async || {
            self.readiness.waiting() == ["registration"]
        })
        .await;
    }

    /// Whether a client that has those CAs is served.
    pub(super) async fn serves(&self, authorities: &str) -> bool {
        let connecting = connect(self.address, authorities, NAME, "http/1.1");
        let Ok(stream) = Box::pin(connecting).await else {
            return false;
        };
        let request = Request::get("/").header("host", NAME);
        let answer = send(stream, request.body(Body::empty()).unwrap());
        Box::pin(answer).await.0 == StatusCode::OK
    }

    pub(super) async fn comes_to_serve(&self, authorities: &str) {
        until("a trusted certificate", async || {
            self.serves(authorities).await
        })
        .await;
    }
}

/// Looks again and again, until a limit.
pub(super) async fn until(event: &str, happened: impl AsyncFn() -> bool) {
    let looking = async {
        while !happened().await {
            tokio::task::yield_now().await;
        }
    };
    within(event, looking).await;
}

/// Text that stands in base64.
fn decoded(value: &Value) -> String {
    let bytes: Option<ByteString> = serde_json::from_value(value.clone()).unwrap();
    String::from_utf8(bytes.map(|bytes| bytes.0).unwrap_or_default()).unwrap()
}

/// The CA in the Secret.
fn stored(api: &ApiServer) -> String {
    decoded(&api.object(SECRET)["data"]["tls.crt"])
}

/// What our registration holds.
pub(super) fn trusted(api: &ApiServer) -> String {
    decoded(&api.object(CONFIGURATION)["webhooks"][1]["clientConfig"]["caBundle"])
}

/// An API server right after the chart was installed.
pub(super) async fn installed() -> ApiServer {
    ApiServer::start()
        .await
        .with(SECRET, secret(&Value::Null))
        .with(CONFIGURATION, ours())
}

/// A Secret that a replica has filled.
async fn filled() -> Value {
    let api = installed().await;
    replica(&api).await.ready().await;
    api.object(SECRET)
}

/// A Secret with a CA of the test's.
fn holding(authority: &TestAuthority) -> Value {
    secret(&json!({"tls.crt": encoded(&authority.pem), "tls.key": encoded(&authority.key_pem)}))
}

#[tokio::test]
async fn an_empty_secret_is_filled_at_the_version_that_was_read() {
    let mut api = installed().await;
    let version = api.object(SECRET)["metadata"]["resourceVersion"].clone();
    let replica = replica(&api).await;
    let write = api.write().await;
    assert_eq!(write.path, SECRET);
    assert_eq!(write.body["metadata"]["resourceVersion"], version);
    replica.ready().await;
    assert_eq!(api.write().await.path, CONFIGURATION);
    assert!(
        replica
            .serves(&decoded(&write.body["data"]["tls.crt"]))
            .await
    );
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn a_ca_that_is_there_is_used_and_not_written() {
    let filled = filled().await;
    let mut api = installed().await.with(SECRET, filled.clone());
    let replica = replica(&api).await;
    replica.ready().await;
    assert!(replica.serves(&decoded(&filled["data"]["tls.crt"])).await);
    assert_eq!(api.write().await.path, CONFIGURATION);
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn a_replica_that_comes_second_takes_the_ca_of_the_first() {
    let filled = filled().await;
    // Between its read and its write the other replica has filled the Secret.
    let mut api = installed()
        .await
        .instead([Instead::Overtake(filled.clone())]);
    let replica = replica(&api).await;
    replica.ready().await;
    assert!(replica.serves(&decoded(&filled["data"]["tls.crt"])).await);
    let paths = [api.write().await.path, api.write().await.path];
    assert_eq!(paths, [SECRET, CONFIGURATION]);
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn two_replicas_at_once_end_with_one_ca() {
    let api = installed().await;
    let (one, other) = tokio::join!(replica(&api), replica(&api));
    one.ready().await;
    other.ready().await;
    let authority = stored(&api);
    assert!(one.serves(&authority).await && other.serves(&authority).await);
    assert_eq!(trusted(&api), authority);
}

#[tokio::test]
async fn of_the_registration_only_our_ca_bundle_is_written() {
    let authority = TestAuthority::made_days_ago(1);
    let mut api = installed().await.with(SECRET, holding(&authority));
    let replica = replica(&api).await;
    let write = api.write().await;
    let bundle = json!({"name": "check.gpu-capgate.io", "clientConfig": {"caBundle": encoded(&authority.pem)}});
    assert_eq!(write.body, json!({"webhooks": [bundle]}));
    replica.ready().await;
}

#[tokio::test]
async fn a_ca_bundle_that_is_right_is_not_written_again() {
    let authority = TestAuthority::made_days_ago(1);
    let mut right = ours();
    right["webhooks"][1]["clientConfig"]["caBundle"] = encoded(&authority.pem);
    let mut api = ApiServer::start()
        .await
        .with(SECRET, holding(&authority))
        .with(CONFIGURATION, right);
    replica(&api).await.ready().await;
    assert_eq!(api.unread_writes(), 0);
}

#[tokio::test]
async fn a_ca_bundle_of_another_installation_is_replaced() {
    let mut stale = ours();
    stale["webhooks"][1]["clientConfig"]["caBundle"] = encoded("stale");
    let authority = TestAuthority::made_days_ago(1);
    let api = installed()
        .await
        .with(SECRET, holding(&authority))
        .with(CONFIGURATION, stale);
    replica(&api).await.ready().await;
    assert_eq!(trusted(&api), authority.pem);
    let webhooks = &api.object(CONFIGURATION)["webhooks"];
    assert_eq!(webhooks[0]["clientConfig"]["caBundle"], Value::Null);
}

#[tokio::test]
async fn every_webhook_of_ours_gets_the_ca_bundle() {
    let mut both = ours();
    both["webhooks"][0]["name"] = json!("workloads.check.gpu-capgate.io");
    let mut api = installed().await.with(CONFIGURATION, both);
    replica(&api).await.ready().await;
    let webhooks = &api.object(CONFIGURATION)["webhooks"];
    for number in 0..2 {
        let bundle = decoded(&webhooks[number]["clientConfig"]["caBundle"]);
        assert_eq!(bundle, stored(&api));
    }
    assert_eq!(api.unread_writes(), 2);
}

#[tokio::test]
async fn a_registration_that_could_not_be_written_is_written_again() {
    let refused = Instead::Refuse(403, "validatingwebhookconfigurations is forbidden");
    let authority = TestAuthority::made_days_ago(1);
    let mut api = installed()
        .await
        .with(SECRET, holding(&authority))
        .instead([refused]);
    let replica = replica(&api).await;
    api.write().await;
    assert_eq!(replica.readiness.waiting(), ["registration"]);
    api.write().await;
    replica.ready().await;
}

#[tokio::test]
async fn a_replica_is_ready_only_while_the_registration_vouches_for_what_it_shows() {
    let api = installed().await;
    let replica = replica(&api).await;
    replica.ready().await;
    let stranger = TestAuthority::made_days_ago(1);
    let mut taken = ours();
    taken["webhooks"][1]["clientConfig"]["caBundle"] = encoded(&stranger.pem);
    let refused = Instead::Refuse(403, "validatingwebhookconfigurations is forbidden");
    api.next_writes(vec![refused; 20]);
    api.put(CONFIGURATION, taken);
    replica.not_ready().await;
    // Once it may write again, it is.
    replica.ready().await;
    assert_eq!(trusted(&api), stored(&api));
}

#[tokio::test]
async fn a_stop_is_not_held_up_by_an_api_server_that_does_not_answer() {
    let mut api = installed().await.instead([Instead::KeepWaiting]);
    let mut replica = replica(&api).await;
    api.write().await;
    replica.stop.cancel();
    within("the end", &mut replica.ended).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_jumps_past_the_leafs_end_makes_another_at_once() {
    let api = installed().await;
    let replica = replica_whose_clock_is_ahead(&api, -8 * DAY).await;
    replica.ready().await;
    // It was signed for a week, eight days ago.
    assert!(!replica.serves(&stored(&api)).await);
    replica.ahead.store(0, Ordering::Relaxed);
    replica.comes_to_serve(&trusted(&api)).await;
    replica.ready().await;
    let page = replica.registry.page();
    assert!(
        page.contains("gpu_capgate_certificate_renewals_total 1\n"),
        "{page}"
    );
    assert!(
        page.contains("gpu_capgate_certificate_trusted 1\n"),
        "{page}"
    );
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_certificates_of_its_time() {
    let api = installed().await;
    let replica = replica_whose_clock_is_ahead(&api, 30 * DAY).await;
    replica.ready().await;
    assert!(!replica.serves(&stored(&api)).await);
    replica.ahead.store(0, Ordering::Relaxed);
    until("another certificate", async || {
        replica.serves(&stored(&api)).await
    })
    .await;
    assert!(replica.serves(&trusted(&api)).await);
}

#[tokio::test]
async fn a_leaf_is_renewed_without_an_api_server() {
    let api = installed().await;
    let replica = replica(&api).await;
    replica.ready().await;
    let authority = stored(&api);
    api.delete(SECRET);
    api.delete(CONFIGURATION);
    replica.ahead.store(5 * DAY, Ordering::Relaxed);
    until("a renewal", async || {
        let page = replica.registry.page();
        page.contains("gpu_capgate_certificate_renewals_total 1\n")
    })
    .await;
    // The new one is valid five days from now, and not yet: a client of today refuses it.
    assert!(!replica.serves(&authority).await);
}

#[tokio::test]
async fn a_ca_in_its_last_third_gets_a_successor_and_stays_trusted_beside_it() {
    let old = TestAuthority::made_days_ago(3650 - 1000);
    let api = installed().await.with(SECRET, holding(&old));
    let replica = replica(&api).await;
    replica.ready().await;
    let new = stored(&api);
    assert_ne!(new, old.pem);
    assert_eq!(trusted(&api), format!("{new}{}", old.pem));
    // A week later no leaf of the old one can be valid.
    replica.ahead.store(8 * DAY, Ordering::Relaxed);
    until("the end of the old CA", async || trusted(&api) == new).await;
}

#[tokio::test]
async fn a_ca_of_ours_that_was_corrupted_is_replaced_and_nobody_is_cut_off() {
    let api = installed().await;
    let running = replica(&api).await;
    running.ready().await;
    let old = stored(&api);
    let mut corrupt = api.object(SECRET);
    corrupt["data"]["tls.key"] = encoded("garbage");
    api.put(SECRET, corrupt);
    // Also a replica that has never seen the old one keeps it trusted.
    let fresh = replica(&api).await;
    fresh.ready().await;
    let new = stored(&api);
    assert_ne!(new, old);
    assert_eq!(trusted(&api), format!("{new}{old}"));
    running.comes_to_serve(&new).await;
    assert!(fresh.serves(&new).await);
}

#[tokio::test]
async fn while_the_secret_is_away_the_ca_goes_on_and_an_empty_one_gets_another() {
    let api = installed().await;
    let replica = replica(&api).await;
    replica.ready().await;
    let old = stored(&api);
    api.delete(SECRET);
    until("a look at the Secret", async || {
        let page = replica.registry.page();
        !page.contains("gpu_capgate_certificate_failures_total 0\n")
    })
    .await;
    assert!(replica.readiness.waiting().is_empty());
    assert!(replica.serves(&trusted(&api)).await);
    api.put(SECRET, secret(&Value::Null));
    until("another CA", async || trusted(&api) != old).await;
    let new = stored(&api);
    assert_eq!(trusted(&api), format!("{new}{old}"));
    replica.comes_to_serve(&new).await;
    assert!(replica.readiness.waiting().is_empty());
}

/// What an API server does: it learns of a caBundle, and trusts that a moment longer.
async fn requests_without_end(
    api: Arc<ApiServer>,
    addresses: [SocketAddr; 2],
    stop: CancellationToken,
) -> (usize, Vec<String>) {
    let (mut sent, mut failed) = (0, Vec::new());
    while !stop.is_cancelled() {
        let known = trusted(&api);
        for address in addresses {
            sent += 1;
            let protocol = "http/1.1";
            match connect(address, &known, NAME, protocol).await {
                Ok(stream) => {
                    let request = Request::get("/").header("host", NAME);
                    let answer = send(stream, request.body(Body::empty()).unwrap()).await;
                    assert_eq!(answer.0, StatusCode::OK);
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
    }
    (sent, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_ca_and_all_leaves_are_replaced() {
    let api = Arc::new(installed().await);
    let replicas = [replica(&api).await, replica(&api).await];
    for replica in &replicas {
        replica.ready().await;
    }
    let stop = CancellationToken::new();
    let addresses = replicas.each_ref().map(|replica| replica.address);
    let clients = [(); 2].map(|()| {
        tokio::spawn(requests_without_end(
            Arc::clone(&api),
            addresses,
            stop.clone(),
        ))
    });
    for _ in 0..3 {
        let old = stored(&api);
        api.put(SECRET, secret(&Value::Null));
        until("another CA", async || {
            let secret = api.object(SECRET);
            !secret["data"].is_null() && stored(&api) != old
        })
        .await;
        for replica in &replicas {
            replica.comes_to_serve(&stored(&api)).await;
        }
    }
    stop.cancel();
    for client in clients {
        let (sent, failed) = within("the last answer", client).await.unwrap();
        assert_eq!(failed, Vec::<String>::new(), "of {sent}");
        assert!(sent > 20, "{sent}");
    }
}

/// The real webhook, in front of that API server.
fn program(api: &ApiServer, folder: &Path) -> Command {
    program_of(api, folder, &[CA_SECRET])
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
    let mut half = filled().await["data"].clone();
    half.as_object_mut().unwrap().remove("tls.key");
    never_ready_with(&half).await;
}

#[tokio::test]
async fn a_certificate_with_the_key_of_another_is_no_ca() {
    let mut mixed = filled().await["data"].clone();
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
