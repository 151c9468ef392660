//! A small API server over plain HTTP: objects by path, `GET` and `PATCH`, versions and conflicts, failures on demand.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::served::Served;
use super::within;

/// A write that arrived.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// How the next write is answered instead of being carried out.
#[derive(Debug, Clone)]
pub(crate) enum Instead {
    /// With this code and message.
    Refuse(u16, &'static str),
    /// Not at all.
    KeepWaiting,
    /// With a conflict, because somebody else has just made the object this.
    Overtake(Value),
}

/// An API server that is up; dropping it ends it.
pub(crate) struct ApiServer {
    served: Served,
    objects: Arc<Mutex<Objects>>,
    writes: mpsc::UnboundedReceiver<Write>,
}

#[derive(Default)]
struct Objects {
    by_path: BTreeMap<String, Value>,
    instead: VecDeque<Instead>,
    version: u64,
}

type Shared = (Arc<Mutex<Objects>>, mpsc::UnboundedSender<Write>);

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let objects = Arc::<Mutex<Objects>>::default();
        let (sender, writes) = mpsc::unbounded_channel();
        let router = Router::new()
            .fallback(answer)
            .with_state((Arc::clone(&objects), sender));
        Self {
            served: Served::start(router).await,
            objects,
            writes,
        }
    }

    /// Stores an object.
    pub(crate) fn with(self, path: &str, object: Value) -> Self {
        self.put(path, object);
        self
    }

    /// Stores an object, in place of another if there is one, while it is used.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().store(path, object);
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str) {
        self.objects.lock().unwrap().by_path.remove(path);
    }

    /// Answers the next writes in another way; those that follow are carried out.
    pub(crate) fn instead(self, instead: impl IntoIterator<Item = Instead>) -> Self {
        self.next_writes(instead);
        self
    }

    /// The same while it is used.
    pub(crate) fn next_writes(&self, instead: impl IntoIterator<Item = Instead>) {
        self.objects.lock().unwrap().instead.extend(instead);
    }

    /// What is stored at a path.
    pub(crate) fn object(&self, path: &str) -> Value {
        self.objects.lock().unwrap().by_path[path].clone()
    }

    /// The next write.
    pub(crate) async fn write(&mut self) -> Write {
        within("a write", self.writes.recv()).await.unwrap()
    }

    /// The writes that have arrived and were not looked at.
    pub(crate) fn unread_writes(&mut self) -> usize {
        std::iter::from_fn(|| self.writes.try_recv().ok()).count()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> kube::Client {
        self.served.patient_client()
    }

    /// A KUBECONFIG that names it.
    pub(crate) fn kubeconfig(&self, folder: &Path) -> PathBuf {
        kubeconfig(folder, &self.served.address)
    }
}

/// A KUBECONFIG that names an address.
pub(crate) fn kubeconfig(folder: &Path, address: &str) -> PathBuf {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

impl Objects {
    fn store(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.by_path.insert(path.to_owned(), object);
    }

    fn patch(&mut self, path: &str, change: &Value) -> Response {
        let Some(object) = self.by_path.get(path) else {
            return status(404, "not found");
        };
        let wanted = &change["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != object["metadata"]["resourceVersion"] {
            return status(409, "the object has been modified");
        }
        let mut object = object.clone();
        merge(&mut object, change);
        self.store(path, object.clone());
        body(StatusCode::OK, &object)
    }
}

async fn answer(
    State((objects, writes)): State<Shared>,
    method: Method,
    uri: Uri,
    bytes: Bytes,
) -> Response {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    if method == Method::GET {
        return read(&objects.lock().unwrap(), path, query);
    }
    assert_eq!(method, Method::PATCH, "nothing else is ever written");
    let change: Value = serde_json::from_slice(&bytes).unwrap();
    let instead = objects.lock().unwrap().instead.pop_front();
    // Nobody may be left to look at it at the end of a test.
    let _ = writes.send(Write {
        path: path.to_owned(),
        query: query.to_owned(),
        body: change.clone(),
    });
    match instead {
        None => objects.lock().unwrap().patch(path, &change),
        Some(Instead::Refuse(code, message)) => status(code, message),
        Some(Instead::KeepWaiting) => std::future::pending().await,
        Some(Instead::Overtake(object)) => {
            objects.lock().unwrap().store(path, object);
            status(409, "the object has been modified")
        }
    }
}

/// An object, the list of Nodes (there are none), or a watch on which nothing happens. Lists are not streamed.
fn read(objects: &Objects, path: &str, query: &str) -> Response {
    if query.contains("sendInitialEvents=") {
        return status(422, "sendInitialEvents is forbidden for watch");
    }
    if query.contains("watch=") {
        let nothing = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        return Body::from_stream(nothing).into_response();
    }
    let empty = json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {"resourceVersion": "1"}, "items": []});
    match objects.by_path.get(path) {
        Some(object) => body(StatusCode::OK, object),
        None if path == "/api/v1/nodes" => body(StatusCode::OK, &empty),
        None => status(404, "not found"),
    }
}

/// RFC 7386, and lists of named objects merge by name: enough for server-side apply, merge and strategic merge of
/// what is written here.
fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(target), Value::Array(patch)) => {
            for value in patch {
                let same = |known: &&mut Value| known["name"] == value["name"];
                match target.iter_mut().find(same) {
                    Some(known) => merge(known, value),
                    None => target.push(value.clone()),
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// A failure in the API's own format.
fn status(code: u16, message: &str) -> Response {
    let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "message": message});
    body(StatusCode::from_u16(code).unwrap(), &status)
}

fn body(code: StatusCode, value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (code, json, value.to_string()).into_response()
}
