//! The program itself beside an API server that only serves nodes: how long until it is ready, and what memory it takes
//! then, while nodes change, while reviews come, and after everything was listed again.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::load::{Authority, Client};
use super::nodes::{conditions, node};
use super::reviews::cases;

/// How often a kubelet says that nothing has changed (`nodeStatusReportFrequency`).
const HEARTBEAT: u64 = 300;
/// Longest wait for readiness.
const LIMIT: Duration = Duration::from_secs(120);

/// How initial lists come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    Streamed,
    InPages,
}

struct Api {
    lists: Lists,
    nodes: Vec<Bytes>,
    registration: Value,
    watches: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
}

/// A child that does not outlive this.
struct Webhook(Child);

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures and prints.
#[tokio::main]
pub(crate) async fn measure(nodes: usize, lists: Lists, churn: Duration) {
    let authority = Authority::make();
    let api = Arc::new(Api {
        lists,
        nodes: (0..nodes)
            .map(|index| node(index).to_string().into())
            .collect(),
        registration: registration(&authority),
        watches: Mutex::default(),
    });
    let sum: usize = api.nodes.iter().map(Bytes::len).sum();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&api));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    let (address, health) = (free(), free());
    let begin = Instant::now();
    let webhook = spawn(folder.path(), server, &authority, [address, health]);
    ready(health, begin).await;
    let to_ready = begin.elapsed();
    let pid = webhook.0.id();
    println!(
        "{nodes} nodes of {} bytes, {lists:?}: ready after {:.2} s; resident {}",
        sum / nodes,
        to_ready.as_secs_f64(),
        resident(pid)
    );
    let changing = tokio::spawn(change(Arc::clone(&api)));
    tokio::time::sleep(churn).await;
    println!(
        "  after {churn:?} of heartbeats and label changes: {}",
        resident(pid)
    );
    load(&authority.client(address)).await;
    println!(
        "  after 10 s of reviews over 50 connections: {}",
        resident(pid)
    );
    api.forget();
    tokio::time::sleep(churn).await;
    assert!(!api.watches().is_empty(), "it watches again");
    println!("  after everything was listed again: {}", resident(pid));
    changing.abort();
}

async fn load(client: &Client) {
    let bodies = cases().into_iter().map(|case| case.body).collect();
    let answered = client.ask(50, &bodies, Duration::from_secs(10)).await;
    println!(
        "  {} reviews, {} failed, p99 {:.1} ms",
        answered.times.len(),
        answered.failed,
        answered.quantile(990) / 1e3
    );
}

fn registration(authority: &Authority) -> Value {
    let bundle = ByteString(authority.pem().into_bytes());
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "capgate", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "webhooks": [{
            "name": "check.gpu-capgate.io", "admissionReviewVersions": ["v1"], "sideEffects": "NoneOnDryRun",
            "clientConfig": {"caBundle": bundle, "service": {"name": "webhook", "namespace": "gpu-capgate"}},
        }],
    })
}

/// An address that nobody listens on.
fn free() -> SocketAddr {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn spawn(
    folder: &Path,
    api: SocketAddr,
    authority: &Authority,
    listen: [SocketAddr; 2],
) -> Webhook {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{api}")}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    });
    let (certificate, key) = authority.sign();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let kubeconfig = file("kubeconfig", config.to_string());
    let certificate = file("tls.crt", certificate.pem());
    let key = file("tls.key", key.serialize_pem());
    let [listen, health] = listen;
    let child = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"))
        .args([
            "webhook",
            "--namespace=gpu-capgate",
            "--service=webhook",
            "--configuration=capgate",
        ])
        .arg(format!("--listen={listen}"))
        .arg(format!("--health-listen={health}"))
        .arg("--tls-cert-file")
        .arg(certificate)
        .arg("--tls-key-file")
        .arg(key)
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    Webhook(child.unwrap())
}

/// Waits until `/readyz` says yes.
async fn ready(health: SocketAddr, begin: Instant) {
    while !is_ready(health).await {
        assert!(begin.elapsed() < LIMIT, "not ready within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_ready(health: SocketAddr) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = TcpStream::connect(health).await else {
        return false;
    };
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {health}\r\nconnection: close\r\n\r\n");
    let (sent, mut answer) = (stream.write_all(request.as_bytes()).await, String::new());
    sent.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// What a process takes now and took at most, as the kernel says.
fn resident(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        number.unwrap_or(f64::NAN) / 1024.0
    };
    format!(
        "{:.1} MiB, at most {:.1} MiB",
        value("VmRSS:"),
        value("VmHWM:")
    )
}

/// Heartbeats of all nodes, and one label a second that decides where Pods may go.
async fn change(api: Arc<Api>) {
    let each = Duration::from_secs(HEARTBEAT) / u32::try_from(api.nodes.len()).unwrap();
    let mut beat = interval(each);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut relabelled = Instant::now();
    for round in 0_usize.. {
        beat.tick().await;
        let mut node = node(round * 7919 % api.nodes.len());
        node["metadata"]["resourceVersion"] = json!((1_000_000 + round).to_string());
        node["status"]["conditions"] = conditions(&format!("2026-03-01T13:00:{:02}Z", round % 60));
        if relabelled.elapsed() > Duration::from_secs(1) {
            relabelled = Instant::now();
            node["metadata"]["labels"]["pool"] = json!(format!("pool-{}", round % 64));
        }
        api.tell(&event("MODIFIED", &node.to_string()));
    }
}

fn event(kind: &str, object: &str) -> Bytes {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").into()
}

impl Api {
    fn watches(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::UnboundedSender<Bytes>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all watches with 410 Gone, after which everything has to be listed again.
    fn forget(&self) {
        let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410});
        self.tell(&event("ERROR", &gone.to_string()));
        self.watches().clear();
    }

    fn tell(&self, line: &Bytes) {
        self.watches()
            .retain(|watch| watch.send(line.clone()).is_ok());
    }
}

async fn answer(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    if uri
        .path()
        .ends_with("/validatingwebhookconfigurations/capgate")
    {
        return object(&api.registration.to_string());
    }
    let nodes: &[Bytes] = if uri.path() == "/api/v1/nodes" {
        &api.nodes
    } else {
        &[]
    };
    match (
        query.contains("watch="),
        query.contains("sendInitialEvents="),
    ) {
        (false, _) => page(nodes, query),
        (true, true) if api.lists == Lists::InPages => {
            let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 422,
                "message": "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"});
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                object(&status.to_string()),
            )
                .into_response()
        }
        (true, first) => follow(
            &api,
            uri.path(),
            if first { nodes.to_vec() } else { Vec::new() },
            first,
        ),
    }
}

fn object(text: &str) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        text.to_owned(),
    )
        .into_response()
}

fn page(nodes: &[Bytes], query: &str) -> Response {
    let number = |key: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(key));
        value.and_then(|value| value.parse::<usize>().ok())
    };
    let start = number("continue=").unwrap_or(0).min(nodes.len());
    let end = nodes
        .len()
        .min(start.saturating_add(number("limit=").unwrap_or(usize::MAX)));
    let items: Vec<&str> = nodes[start..end]
        .iter()
        .map(|node| std::str::from_utf8(node).unwrap())
        .collect();
    let next = if end < nodes.len() {
        end.to_string()
    } else {
        String::new()
    };
    let metadata = json!({"resourceVersion": "1000000", "continue": next});
    object(&format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{metadata},\"items\":[{}]}}",
        items.join(",")
    ))
}

fn follow(api: &Api, path: &str, nodes: Vec<Bytes>, first: bool) -> Response {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    if path == "/api/v1/nodes" {
        api.watches().push(sender);
    } else {
        // It stays open, and nothing happens on it.
        std::mem::forget(sender);
    }
    let end = json!({"apiVersion": "v1", "kind": "Any", "metadata": {"resourceVersion": "1000000",
        "annotations": {"k8s.io/initial-events-end": "true"}}});
    let end = first.then(|| event("BOOKMARK", &end.to_string()));
    let list = nodes
        .into_iter()
        .map(|node| event("ADDED", std::str::from_utf8(&node).unwrap()));
    let list = futures::stream::iter(list.chain(end));
    let later = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    let lines = list.chain(later).map(Ok::<_, std::io::Error>);
    (
        [(header::CONTENT_TYPE, "application/json")],
        Body::from_stream(lines),
    )
        .into_response()
}
