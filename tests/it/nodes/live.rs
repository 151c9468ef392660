//! Reading a live cluster, with an API server on the wire, and once with the real one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use gpu_capgate::cli::SourceArguments;
use gpu_capgate::cluster::workload::Kinds;
use gpu_capgate::command::source::{self, ClusterError, SourceError};
use gpu_capgate::compat::Catalog;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::cluster::harness::{Cluster, Outcome};
use super::super::support::api_server::kubeconfig;
use super::run_with_input;

/// Lists by path, each a sequence of pages; a number instead of a list is a failure.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<HashMap<String, Vec<Value>>>>);

impl Answers {
    fn page(self, path: &str, page: Value) -> Self {
        let mut answers = self.0.lock().unwrap();
        answers.entry(path.to_owned()).or_default().push(page);
        drop(answers);
        self
    }

    fn items(self, path: &str, items: &Value) -> Self {
        self.page(
            path,
            json!({"kind": "List", "metadata": {}, "items": items}),
        )
    }

    fn resources(self, path: &str, version: &str, kinds: &[(&str, &str)]) -> Self {
        let resource = |(kind, plural): &(&str, &str)| json!({"name": plural, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get", "list"]});
        let resources: Vec<Value> = kinds.iter().map(resource).collect();
        self.page(
            path,
            json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources}),
        )
    }

    /// A server that gives these answers, and arguments that name it. It ends with the runtime.
    async fn serve(self) -> (SourceArguments, TempDir) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        (named(kubeconfig(folder.path(), &address)), folder)
    }
}

fn named(kubeconfig: std::path::PathBuf) -> SourceArguments {
    SourceArguments {
        kubeconfig: Some(kubeconfig),
        resource: vec!["nvidia.com/gpu".to_owned()],
        ..SourceArguments::default()
    }
}

async fn answer(State(Answers(answers)): State<Answers>, uri: Uri) -> Response {
    let mut query = uri.query().unwrap_or_default().split('&');
    let number = query.find_map(|pair| pair.strip_prefix("continue="));
    let number: usize = number.map_or(0, |token| token.parse().unwrap());
    let answers = answers.lock().unwrap();
    let found = answers.get(uri.path()).and_then(|pages| pages.get(number));
    let value: Value = found.cloned().unwrap_or(json!(404));
    let (code, body) = match value.as_u64() {
        Some(code) => (
            StatusCode::from_u16(u16::try_from(code).unwrap()).unwrap(),
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no", "reason": ""}),
        ),
        None => (StatusCode::OK, value),
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    (code, json, body.to_string()).into_response()
}

/// Reads off the test's runtime, since a command has one of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": "1"}},
        "status": {"capacity": {"nvidia.com/gpu": "1"}}})
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_missing_apis_are_fine() {
    let page = |items: Value, next: &str| json!({"metadata": {"continue": next}, "items": items});
    let answers = Answers::default()
        .page("/api/v1/nodes", page(json!([node("a"), node("b")]), "1"))
        .page("/api/v1/nodes", page(json!([node("c")]), "2"))
        .page("/api/v1/nodes", page(Value::Null, ""));
    let (arguments, _folder) = answers.serve().await;
    let loaded = blocking(move || source::fleet(&arguments, Catalog::embedded()))
        .await
        .unwrap();
    assert_eq!((loaded.nodes, loaded.fleet.nodes()), (3, 3));
    assert!(
        loaded.notes.is_empty() && loaded.errors.is_empty(),
        "{loaded:?}"
    );
}

#[tokio::test]
async fn older_versions_are_read_where_the_newest_is_not_served() {
    let slice = json!({"metadata": {"name": "s"}, "spec": {"driver": "gpu.nvidia.com", "nodeName": "a",
        "pool": {"name": "a", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0", "basic": {"attributes": {"type": {"string": "gpu"},
            "productName": {"string": "NVIDIA L4"}, "cudaComputeCapability": {"version": "8.9.0"}}}}]}});
    let pool = json!({"metadata": {"name": "p"}, "spec": {"template": {"spec": {}}}});
    let answers = Answers::default()
        .items("/api/v1/nodes", &json!([{"metadata": {"name": "a"}}]))
        .items(
            "/apis/resource.k8s.io/v1beta1/resourceslices",
            &json!([slice]),
        )
        .items("/apis/karpenter.sh/v1beta1/nodepools", &json!([pool]));
    let (arguments, _folder) = answers.serve().await;
    let loaded = blocking(move || source::fleet(&arguments, Catalog::embedded()))
        .await
        .unwrap();
    assert!(loaded.errors.is_empty(), "{loaded:?}");
    assert_eq!(loaded.fleet.nodes(), 1);
    assert!(loaded.fleet.has_pools());
}

#[tokio::test]
async fn nodes_must_be_readable_and_all_else_may_be_forbidden() {
    let answers = Answers::default()
        .items("/api/v1/nodes", &json!([node("a")]))
        .page("/apis/karpenter.sh/v1/nodepools", json!(403));
    let (arguments, _folder) = answers.serve().await;
    let loaded = blocking(move || source::fleet(&arguments, Catalog::embedded()))
        .await
        .unwrap();
    assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
    assert!(
        loaded.notes[0].contains("--verb=list --resource=nodepools.karpenter.sh"),
        "{:?}",
        loaded.notes
    );
    let (arguments, _folder) = Answers::default()
        .page("/api/v1/nodes", json!(403))
        .serve()
        .await;
    let error = blocking(move || source::fleet(&arguments, Catalog::embedded()))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SourceError::Cluster(ClusterError::Forbidden { resource, .. }) if resource == "nodes"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_fails_or_is_not_there_is_named() {
    for code in [401, 500] {
        let (arguments, _folder) = Answers::default()
            .page("/api/v1/nodes", json!(code))
            .serve()
            .await;
        let error = blocking(move || source::fleet(&arguments, Catalog::embedded()))
            .await
            .unwrap_err();
        assert!(
            error.to_string().starts_with("http://127.0.0.1:"),
            "{error}"
        );
    }
}

#[test]
fn a_context_that_is_not_there_is_told_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = kubeconfig(folder.path(), "127.0.0.1:1");
    let path = path.to_str().unwrap();
    let run = run_with_input(&["nodes", "--kubeconfig", path, "--context", "prod"], b"");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        run.stderr,
        "gpu-capgate: error: --context \"prod\": the kubeconfig has no such context; it has test\n"
    );
}

#[test]
fn a_cluster_that_cannot_be_reached_is_told_once_with_its_address_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = kubeconfig(folder.path(), "127.0.0.1:1");
    let run = run_with_input(&["nodes", "--kubeconfig", path.to_str().unwrap()], b"");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    let told = run.stderr;
    let begins = "gpu-capgate: error: http://127.0.0.1:1/ gives no usable answer for /api/v1/nodes (see whether \"kubectl get --raw /api/v1/nodes\" has one, or read a file with --nodes): ";
    assert!(told.starts_with(begins), "{told}");
    assert_eq!(told.matches("(Connect)").count(), 1, "{told}");
    assert!(told.contains("Connection refused"), "{told}");
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_named() {
    let told = |arguments: &[&str]| {
        let run = run_with_input(arguments, b"");
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
        run.stderr
    };
    let named = told(&["nodes", "--kubeconfig", "no-such-file"]);
    let begins = "gpu-capgate: error: no cluster to read: --kubeconfig no-such-file cannot be used (name one with --kubeconfig, or nodes from a file with --nodes): ";
    assert!(named.starts_with(begins), "{named}");
    assert_eq!(named.matches("No such file").count(), 1, "{named}");
    let usual = told(&["nodes"]);
    assert!(
        usual.contains("the kubeconfig (of KUBECONFIG, else ~/.kube/config) cannot be used"),
        "{usual}"
    );
}

#[tokio::test]
async fn workloads_come_from_the_top_and_from_every_kind_that_is_served() {
    let meta = |name: &str, owner: Option<&str>| match owner {
        None => json!({"metadata": {"name": name, "uid": name}}),
        Some(owner) => {
            json!({"metadata": {"name": name, "uid": name, "ownerReferences": [{"uid": owner, "controller": true}]}})
        }
    };
    let answers = Answers::default()
        .resources("/api/v1", "v1", &[("Pod", "pods"), ("Secret", "secrets")])
        .resources(
            "/apis/apps/v1",
            "apps/v1",
            &[("Deployment", "deployments"), ("ReplicaSet", "replicasets")],
        )
        .resources(
            "/apis/ray.io/v1",
            "ray.io/v1",
            &[("RayCluster", "rayclusters")],
        )
        .items("/apis/apps/v1/deployments", &json!([meta("d", None)]))
        .items("/apis/apps/v1/replicasets", &json!([meta("rs", Some("d"))]))
        .items(
            "/api/v1/pods",
            &json!([meta("p", Some("rs")), meta("alone", None)]),
        )
        .page("/apis/ray.io/v1/rayclusters", json!(403));
    let (arguments, _folder) = answers.serve().await;
    let kinds = Kinds::bundled().unwrap();
    let found = blocking(move || source::workloads(&arguments, &kinds))
        .await
        .unwrap();
    let told: Vec<String> = found
        .objects
        .iter()
        .map(|object| {
            format!(
                "{} {} {}",
                object["apiVersion"], object["kind"], object["metadata"]["name"]
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "\"apps/v1\" \"Deployment\" \"d\"",
            "\"v1\" \"Pod\" \"alone\""
        ]
    );
    assert!(
        found.notes[0].contains("rayclusters.ray.io were not read"),
        "{:?}",
        found.notes
    );
}

#[tokio::test]
async fn namespaces_tell_their_modes_and_may_be_forbidden() {
    let space = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    let spaces = json!([
        space("quiet", json!({"gpu-capgate.io/mode": "audit"})),
        space("plain", json!({"a": "b"})),
        {"metadata": {"name": "bare"}},
    ]);
    let answers = Answers::default().items("/api/v1/namespaces", &spaces);
    let (arguments, _folder) = answers.serve().await;
    let found = blocking(move || source::namespaces(&arguments))
        .await
        .unwrap();
    assert_eq!((found.default.as_str(), found.modes.len()), ("default", 1));
    assert_eq!(found.modes.mode("quiet"), Some("audit"));

    let answers = Answers::default().page("/api/v1/namespaces", json!(403));
    let (arguments, _folder) = answers.serve().await;
    let found = blocking(move || source::namespaces(&arguments))
        .await
        .unwrap();
    assert!(found.modes.is_empty());
    assert!(
        found.notes[0].starts_with("namespaces were not read, so that their modes do not count: "),
        "{:?}",
        found.notes
    );
}

/// Part of the names by which the cluster tests are chosen.
mod real_cluster {
    use super::{Cluster, Outcome, Value};

    #[test]
    fn a_live_cluster_and_what_kubectl_prints_of_it_are_the_same() {
        let test = "a_live_cluster_and_what_kubectl_prints_of_it_are_the_same";
        let Outcome::Started(cluster) = Cluster::start_control_plane(test) else {
            return;
        };
        cluster.stop_controllers();
        let program = env!("CARGO_BIN_EXE_gpu-capgate");
        let script = format!(
            "kubectl create --validate=false -f examples/nodes.yaml > made
             {program} nodes -o json > live.json
             kubectl get nodes -o yaml | {program} nodes --nodes - -o json > file.json
             kubectl get --raw /api/v1/nodes | {program} nodes --nodes - -o json > raw.json
             cmp live.json file.json && cmp live.json raw.json
             kubectl create -f examples/p100-batch.yaml -f examples/cuda13-old-driver.yaml >> made
             {program} check --all -o json --overlay examples/aliases.toml > all.json || test $? = 1
             echo '['; cat live.json; echo ,; cat all.json; echo ']'"
        );
        let repository = std::env::current_dir().unwrap();
        let script = script
            .replace("examples/", &format!("{}/examples/", repository.display()))
            .replacen(
                "kubectl create",
                "cd \"$CLUSTER_STATE\" && kubectl create",
                1,
            );
        let told = cluster.succeeds("bash", &["-e", "-c", &script]);
        let told: Value = serde_json::from_str(&told).unwrap();
        let (live, all) = (&told[0], &told[1]);
        assert_eq!(live["gpuNodes"], 11, "{live}");
        let refused = all["documents"].as_array().unwrap().iter();
        let refused: Vec<[&str; 3]> = refused
            .map(|document| {
                ["kind", "name", "decision"].map(|field| document[field].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            refused,
            [
                ["Deployment", "embed", "deny"],
                ["Job", "batch-inference", "deny"]
            ]
        );
        cluster.passed();
    }
}
