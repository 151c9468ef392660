//! The webhook's CA is replaced while the API server asks it about Pods, and nobody may be turned away for that:
//! `failurePolicy: Fail` makes each call that fails a refusal. Needs root on Linux.

use std::thread;

use crate::cluster::chart::{self, WEBHOOK_PODS, of_webhook_pods};
use crate::cluster::harness::{Cluster, Outcome, until};
use crate::cluster::objects::gpu_pod;
use crate::webhook::WITH_SM_60;

const REGISTRATION: &str = "validatingwebhookconfiguration/gpu-capgate-webhook";
const SECRET: [&str; 3] = [
    "secret",
    "gpu-capgate-webhook-ca",
    "--namespace=gpu-capgate",
];
const VALUES: [&str; 3] = [
    "--set=agent.enabled=false",
    "--set=webhook.failurePolicy=Fail",
    // A test must not fail because the machine is busy.
    "--set=webhook.timeoutSeconds=30",
];
/// Creates the Pod again and again until a file is there; prints how often, and what went wrong.
const REQUESTS: &str = r#"
cd "$CLUSTER_STATE"
sent=0
until [ -e enough ]; do
  kubectl create --dry-run=server --filename=pod.json > answer 2>&1 || cat answer >&2
  sent=$((sent + 1))
done
echo $sent"#;

#[test]
fn real_cluster_turns_nobody_away_while_the_ca_is_replaced() {
    let test = "real_cluster_turns_nobody_away_while_the_ca_is_replaced";
    let Outcome::Started(cluster) = Cluster::start(test) else {
        return;
    };
    cluster.load_images();
    chart::apply(&cluster, &[&VALUES[..], &chart::WAIT].concat());
    let pod = gpu_pod("try", WITH_SM_60).to_string();
    std::fs::write(cluster.state().join("pod.json"), pod).unwrap();
    without_the_webhook_it_would_show(&cluster);
    let ran = thread::scope(|scope| {
        let requests = scope.spawn(|| cluster.run("bash", &["-c", REQUESTS]));
        let end = EndOfRequests(&cluster);
        a_ca_that_was_taken_out_is_replaced_by_running_replicas(&cluster);
        a_ca_that_was_corrupted_is_replaced_by_new_replicas(&cluster);
        a_secret_that_was_deleted_comes_back_with_the_chart(&cluster);
        drop(end);
        requests.join().unwrap()
    });
    assert_eq!(ran.stderr, "");
    let sent: u32 = ran.stdout.trim().parse().unwrap();
    assert!(sent > 50, "{sent}");
    cluster.passed();
}

/// Ends the requests, also if something fails before.
struct EndOfRequests<'a>(&'a Cluster);

impl Drop for EndOfRequests<'_> {
    fn drop(&mut self) {
        std::fs::write(self.0.state().join("enough"), "").unwrap();
    }
}

/// A request that the webhook does not answer is refused, so that none of them is overlooked.
fn without_the_webhook_it_would_show(cluster: &Cluster) {
    let file = format!("--filename={}/pod.json", cluster.state().display());
    let create = ["create", "--dry-run=server", &file];
    let put = |bundle: &str| {
        let patch = format!(
            r#"[{{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "{bundle}"}}]"#
        );
        cluster.kubectl(&["patch", REGISTRATION, "--type=json", "-p", &patch]);
    };
    let right = bundle(cluster);
    let strange = cluster.succeeds(
        "bash",
        &["-c", "base64 -w0 < \"$CLUSTER_STATE/pki/ca.crt\""],
    );
    until("the API server does not trust the webhook", || {
        // The replicas put the right one back.
        put(&strange);
        let ran = cluster.run("kubectl", &create);
        ran.stderr.contains("failed calling webhook")
    });
    put(&right);
    until("it does again", || {
        cluster.run("kubectl", &create).code == Some(0)
    });
}

fn a_ca_that_was_taken_out_is_replaced_by_running_replicas(cluster: &Cluster) {
    let before = (authority(cluster), pods(cluster));
    let patch = r#"[{"op": "remove", "path": "/data"}]"#;
    let patching = ["--type=json", "-p", patch];
    cluster.kubectl(&[&["patch"], &SECRET[..], &patching].concat());
    is_replaced(cluster, &before.0);
    assert_eq!(pods(cluster), before.1, "no restart");
}

fn a_ca_that_was_corrupted_is_replaced_by_new_replicas(cluster: &Cluster) {
    let before = authority(cluster);
    let patch = r#"{"data": {"tls.key": "Z2FyYmFnZQ=="}}"#;
    cluster.kubectl(&[&["patch"], &SECRET[..], &["-p", patch]].concat());
    let deployment = ["deployment/gpu-capgate-webhook", WEBHOOK_PODS[0]];
    cluster.kubectl(&[&["rollout", "restart"], &deployment[..]].concat());
    cluster.kubectl(&[&["rollout", "status", "--timeout=90s"], &deployment[..]].concat());
    is_replaced(cluster, &before);
}

fn a_secret_that_was_deleted_comes_back_with_the_chart(cluster: &Cluster) {
    let before = authority(cluster);
    cluster.kubectl(&[&["delete"], &SECRET[..]].concat());
    let another = "--set=logLevel=debug";
    chart::apply(cluster, &[&VALUES[..], &[another], &chart::WAIT].concat());
    is_replaced(cluster, &before);
}

/// Waits until each replica shows a leaf of another CA, and the registration holds what the Secret does.
fn is_replaced(cluster: &Cluster, before: &str) {
    until("another CA is in the Secret", || {
        let now = authority(cluster);
        !now.is_empty() && now != before
    });
    let new = authority(cluster);
    until("all replicas show leaves of it", || {
        let addresses = of_webhook_pods(cluster, ".status.podIP");
        addresses.len() == 2 && addresses.iter().all(|address| shows(cluster, address))
    });
    assert_eq!(authority(cluster), new, "only one replica made another");
    assert_eq!(bundle(cluster), of_secret(cluster, "ca\\.crt"));
}

/// Whether a client that trusts the CA in the Secret alone is served at an address.
fn shows(cluster: &Cluster, address: &str) -> bool {
    let script = format!(
        "openssl s_client -connect {address}:10250 -verify_return_error -verify_hostname gpu-capgate-webhook.gpu-capgate.svc \
         -CAfile <(kubectl get {} -o 'jsonpath={{.data.tls\\.crt}}' | base64 -d) < /dev/null",
        SECRET.join(" ")
    );
    cluster.run("bash", &["-c", &script]).code == Some(0)
}

fn authority(cluster: &Cluster) -> String {
    of_secret(cluster, "tls\\.crt")
}

fn of_secret(cluster: &Cluster, key: &str) -> String {
    let path = format!("-o=jsonpath={{.data.{key}}}");
    cluster.kubectl(&[&["get"], &SECRET[..], &[&path]].concat())
}

fn bundle(cluster: &Cluster) -> String {
    let path = "-o=jsonpath={.webhooks[0].clientConfig.caBundle}";
    cluster.kubectl(&["get", REGISTRATION, path])
}

fn pods(cluster: &Cluster) -> Vec<String> {
    of_webhook_pods(cluster, ".metadata.name")
}
