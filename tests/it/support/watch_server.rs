//! An API server that lists and watches, over plain HTTP: versions, streamed lists and pages, label selectors,
//! bookmarks, and what can go wrong, on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::served::Served;
use super::within;

pub(crate) const NODES: &str = "/api/v1/nodes";
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const RUNTIME_CLASSES: &str = "/apis/node.k8s.io/v1/runtimeclasses";
pub(crate) const DEVICE_CLASSES: &str = "/apis/resource.k8s.io/v1/deviceclasses";
pub(crate) const SLICES: &str = "/apis/resource.k8s.io/v1/resourceslices";
pub(crate) const NODE_POOLS: &str = "/apis/karpenter.sh/v1/nodepools";
pub(crate) const AGENT_PODS: &str = "/api/v1/namespaces/gpu-capgate/pods";

/// Whether initial lists are streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    Streamed,
    InPages,
}

/// An API server that is up; dropping it ends it.
pub(crate) struct WatchServer {
    served: Served,
    inside: Arc<Mutex<Inside>>,
    requests: watch::Receiver<BTreeMap<String, usize>>,
}

struct Inside {
    lists: Lists,
    collections: BTreeMap<String, Collection>,
    version: u64,
    /// Answers every request, or those for a path, with a failure.
    refused: BTreeMap<String, u16>,
    requests: watch::Sender<BTreeMap<String, usize>>,
}

#[derive(Default)]
struct Collection {
    /// Each as it is sent.
    objects: BTreeMap<String, String>,
    /// Version and line of each event.
    events: Vec<(u64, String)>,
    /// Events before this version are forgotten.
    oldest: u64,
    watches: Vec<mpsc::UnboundedSender<Bytes>>,
}

impl WatchServer {
    /// Serves all that the webhook watches, apart from Karpenter.
    pub(crate) async fn start(lists: Lists) -> Self {
        let (sender, requests) = watch::channel(BTreeMap::new());
        let paths = [
            NODES,
            NAMESPACES,
            RUNTIME_CLASSES,
            DEVICE_CLASSES,
            SLICES,
            AGENT_PODS,
        ];
        let collections = paths.map(|path| (path.to_owned(), Collection::default()));
        let inside = Arc::new(Mutex::new(Inside {
            lists,
            collections: collections.into(),
            version: 1,
            refused: BTreeMap::new(),
            requests: sender,
        }));
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&inside));
        Self {
            served: Served::start(router).await,
            inside,
            requests,
        }
    }

    pub(crate) fn client(&self) -> kube::Client {
        self.served.client()
    }

    /// Serves another path from now on.
    pub(crate) fn serve(&self, path: &str) {
        let mut inside = self.inside.lock().unwrap();
        inside.collections.entry(path.to_owned()).or_default();
    }

    /// Serves a path no longer, and ends its watches.
    pub(crate) fn withdraw(&self, path: &str) {
        self.inside.lock().unwrap().collections.remove(path);
    }

    /// Creates or changes an object and tells who watches.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.inside.lock().unwrap().put(path, object);
    }

    /// Deletes an object and tells who watches.
    pub(crate) fn delete(&self, path: &str, name: &str) {
        self.inside.lock().unwrap().delete(path, name);
    }

    /// Says something on all open watches of a path that is no event.
    pub(crate) fn say(&self, path: &str, line: &str) {
        let mut inside = self.inside.lock().unwrap();
        inside.collection(path).send(line);
    }

    /// Ends all open watches of a path and forgets what happened so far: who asks for it gets 410 Gone.
    pub(crate) fn compact(&self, path: &str) {
        let mut inside = self.inside.lock().unwrap();
        inside.version += 1;
        let version = inside.version;
        let collection = inside.collection(path);
        collection.oldest = version;
        collection.watches.clear();
    }

    /// Refuses requests for paths that begin so, and ends open watches.
    pub(crate) fn refuse(&self, beginning: &str, code: u16) {
        let mut inside = self.inside.lock().unwrap();
        inside.refused.insert(beginning.to_owned(), code);
        for (path, collection) in &mut inside.collections {
            if path.starts_with(beginning) {
                collection.watches.clear();
            }
        }
    }

    /// Takes back a refusal.
    pub(crate) fn allow(&self, beginning: &str) {
        self.inside.lock().unwrap().refused.remove(beginning);
    }

    /// How many requests for a path have arrived.
    pub(crate) fn requests(&self, path: &str) -> usize {
        self.requests
            .borrow()
            .get(path)
            .copied()
            .unwrap_or_default()
    }

    /// Waits until more than so many requests for a path have arrived.
    pub(crate) async fn asked_more_than(&mut self, path: &str, times: usize) {
        let more = |requests: &BTreeMap<String, usize>| {
            requests.get(path).copied().unwrap_or_default() > times
        };
        let event = format!("more than {times} requests for {path}");
        within(&event, self.requests.wait_for(more)).await.unwrap();
    }
}

impl Inside {
    fn collection(&mut self, path: &str) -> &mut Collection {
        self.collections
            .get_mut(path)
            .expect("a path that is served")
    }

    fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        let version = self.version;
        if object["metadata"].is_object() {
            object["metadata"]["resourceVersion"] = json!(version.to_string());
        }
        let name = object["metadata"]["name"].to_string();
        let name = name.trim_matches('"').to_owned();
        let text = object.to_string();
        let collection = self.collection(path);
        let known = collection.objects.insert(name, text.clone()).is_some();
        let kind = if known { "MODIFIED" } else { "ADDED" };
        collection.happen(version, kind, &text);
    }

    fn delete(&mut self, path: &str, name: &str) {
        self.version += 1;
        let version = self.version;
        let collection = self.collection(path);
        let text = collection.objects.remove(name).expect("an object");
        let mut object: Value = serde_json::from_str(&text).unwrap();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        collection.happen(version, "DELETED", &object.to_string());
    }
}

impl Collection {
    fn happen(&mut self, version: u64, kind: &str, object: &str) {
        let line = event(kind, object);
        self.send(&line);
        self.events.push((version, line));
    }

    fn send(&mut self, line: &str) {
        let bytes = Bytes::from(format!("{line}\n"));
        self.watches
            .retain(|watch| watch.send(bytes.clone()).is_ok());
    }
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}")
}

/// A bookmark; the one that ends a streamed list says so.
pub(crate) fn bookmark(version: u64, annotations: &Value) -> String {
    let object = json!({"apiVersion": "v1", "kind": "Any",
        "metadata": {"resourceVersion": version.to_string(), "annotations": annotations}});
    event("BOOKMARK", &object.to_string())
}

async fn answer(State(inside): State<Arc<Mutex<Inside>>>, uri: Uri) -> Response {
    let (path, query) = (uri.path(), parameters(&uri));
    let mut inside = inside.lock().unwrap();
    inside.requests.send_modify(|requests| {
        *requests.entry(path.to_owned()).or_default() += 1;
    });
    let refusal = inside
        .refused
        .iter()
        .find(|(beginning, _)| path.starts_with(*beginning));
    if let Some((_, code)) = refusal {
        return status(*code, "refused by the test");
    }
    let (lists, version) = (inside.lists, inside.version);
    let Some(collection) = inside.collections.get_mut(path) else {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    };
    if !query.contains_key("watch") {
        return list(collection, version, &query);
    }
    if query.contains_key("sendInitialEvents") && lists == Lists::InPages {
        return status(
            422,
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        );
    }
    follow(collection, version, &query)
}

fn list(collection: &Collection, version: u64, query: &BTreeMap<String, String>) -> Response {
    let limit = query
        .get("limit")
        .map_or(usize::MAX, |limit| limit.parse().unwrap());
    let start: usize = query
        .get("continue")
        .map_or(0, |token| token.parse().unwrap());
    let selected: Vec<&String> = selected(collection, query).collect();
    let page: Vec<&str> = selected
        .iter()
        .skip(start)
        .take(limit)
        .map(|text| text.as_str())
        .collect();
    let end = start + page.len();
    let next = if end < selected.len() {
        end.to_string()
    } else {
        String::new()
    };
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    let body = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{metadata},\"items\":[{}]}}",
        page.join(",")
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn follow(collection: &mut Collection, version: u64, query: &BTreeMap<String, String>) -> Response {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let from: u64 = query["resourceVersion"].parse().unwrap();
    let mut lines: Vec<String> = Vec::new();
    if query.contains_key("sendInitialEvents") {
        lines.extend(selected(collection, query).map(|object| event("ADDED", object)));
        lines.push(bookmark(
            version,
            &json!({"k8s.io/initial-events-end": "true"}),
        ));
    } else if from < collection.oldest {
        let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410});
        lines.push(event("ERROR", &gone.to_string()));
    } else {
        let missed = collection
            .events
            .iter()
            .filter(|(version, _)| *version > from);
        lines.extend(missed.map(|(_, line)| line.clone()));
    }
    for line in lines {
        sender.send(Bytes::from(format!("{line}\n"))).unwrap();
    }
    collection.watches.push(sender);
    let stream = futures::stream::poll_fn(move |context| {
        receiver
            .poll_recv(context)
            .map(|bytes| bytes.map(Ok::<_, std::io::Error>))
    });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, Body::from_stream(stream)).into_response()
}

/// Objects that have all labels that the selector names, in the form `key`, `key=value` and commas.
fn selected<'a>(
    collection: &'a Collection,
    query: &BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    let selector = query.get("labelSelector").cloned().unwrap_or_default();
    let terms: BTreeSet<(String, Option<String>)> = selector
        .split(',')
        .filter(|term| !term.is_empty())
        .map(|term| match term.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (term.to_owned(), None),
        })
        .collect();
    collection.objects.values().filter(move |text| {
        if terms.is_empty() {
            return true;
        }
        let object: Value = serde_json::from_str(text).unwrap();
        terms.iter().all(|(key, value)| {
            let label = object["metadata"]["labels"][key.as_str()].as_str();
            label.is_some() && value.as_deref().is_none_or(|value| label == Some(value))
        })
    })
}

fn status(code: u16, message: &str) -> Response {
    let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "message": message});
    let json = [(header::CONTENT_TYPE, "application/json")];
    (
        StatusCode::from_u16(code).unwrap(),
        json,
        status.to_string(),
    )
        .into_response()
}

/// The query, decoded.
fn parameters(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        decoded.push(u8::from_str_radix(code, 16).unwrap().into());
        decoded.push_str(rest);
    }
    decoded
}
