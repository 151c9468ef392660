//! The webhook's own credentials in other hands: what somebody can do who has the token of one of its Pods.

use serde_json::{Value, json};

use super::chart::of_webhook_pods;
use super::harness::{Cluster, Ran};

const REFUSAL: &str = "may change nothing of its registration but clientConfig.caBundle";

/// Somebody who has such a token and nothing else.
pub(crate) struct Thief<'a> {
    cluster: &'a Cluster,
    token: String,
}

impl<'a> Thief<'a> {
    /// With a token that the API server binds to one of the Pods, be it running or not.
    pub(crate) fn of_bound_token(cluster: &'a Cluster) -> Self {
        let pods = of_webhook_pods(cluster, ".metadata.name");
        let pod = format!("--bound-object-name={}", pods.first().unwrap());
        let token = cluster.kubectl(&[
            "create",
            "token",
            "gpu-capgate-webhook",
            "--namespace=gpu-capgate",
            "--bound-object-kind=Pod",
            &pod,
        ]);
        Self::having(cluster, &token)
    }

    /// With the token that is mounted in one of the Pods.
    pub(crate) fn of_mounted_token(cluster: &'a Cluster) -> Self {
        let pods = of_webhook_pods(cluster, ".metadata.uid");
        let volumes = format!(
            "cat /var/lib/kubelet/pods/{}/volumes/kubernetes.io~projected/kube-api-access-*/token",
            pods.first().unwrap()
        );
        let token = cluster.succeeds("sh", &["-c", &volumes]);
        Self::having(cluster, &token)
    }

    fn having(cluster: &'a Cluster, token: &str) -> Self {
        let token = format!("--token={}", token.trim());
        let thief = Self { cluster, token };
        let name = ["auth", "whoami", "-o=jsonpath={.status.userInfo.username}"];
        let name = thief.kubectl(&name).stdout;
        assert_eq!(
            name,
            "system:serviceaccount:gpu-capgate:gpu-capgate-webhook"
        );
        thief
    }

    /// Runs kubectl without the administrator's certificate, which would count before the token.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Ran {
        let state = self.cluster.state().display();
        let authority = format!("--certificate-authority={state}/pki/ca.crt");
        let own = [
            "--kubeconfig=/dev/null",
            "--server=https://192.0.2.2:6443",
            &authority,
            &self.token,
        ];
        self.cluster.run("kubectl", &[&own[..], arguments].concat())
    }

    pub(crate) fn may(&self, verb: &str, what: &str) -> bool {
        let asked = ["auth", "can-i", verb, what, "--namespace=gpu-capgate"];
        match self.kubectl(&asked).stdout.trim() {
            "yes" => true,
            "no" => false,
            other => panic!("{verb} {what}: {other}"),
        }
    }

    /// Of a registration of the webhook, the caBundle and nothing else.
    pub(crate) fn may_change_only_the_ca_of(&self, registration: &str) {
        let text = self.cluster.kubectl(&["get", registration, "-o=json"]);
        let there: Value = serde_json::from_str(&text).unwrap();
        for (path, value) in changes(&there["webhooks"][0]) {
            let refused = self.patch(registration, path, &value);
            assert_eq!(refused.code, Some(1), "{registration} {path}: {refused:?}");
            let why = &refused.stderr;
            assert!(why.contains(REFUSAL), "{registration} {path}: {why}");
        }
        let bundle = json!(self.longer_bundle(registration));
        let allowed = self.patch(registration, "/webhooks/0/clientConfig/caBundle", &bundle);
        assert_eq!(allowed.code, Some(0), "{registration}: {allowed:?}");
        assert!(allowed.stdout.ends_with(" patched\n"), "{allowed:?}");
    }

    fn patch(&self, registration: &str, path: &str, value: &Value) -> Ran {
        let change = json!([{"op": "add", "path": path, "value": value}]).to_string();
        self.kubectl(&["patch", registration, "--type=json", "-p", &change])
    }

    /// What is trusted already, and the test cluster's own CA.
    fn longer_bundle(&self, registration: &str) -> String {
        let script = format!(
            "{{ kubectl get {registration} -o 'jsonpath={{.webhooks[0].clientConfig.caBundle}}' | base64 -d
                cat \"$CLUSTER_STATE/pki/ca.crt\"; }} | base64 -w0"
        );
        self.cluster
            .succeeds("bash", &["-o", "pipefail", "-c", &script])
    }
}

/// Changes to a webhook and to the object around it, each to something that is not there.
fn changes(webhook: &Value) -> Vec<(&'static str, Value)> {
    let other = |field: &str, one: &str, another: &str| {
        json!(if webhook[field] == one { another } else { one })
    };
    let rule = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["secrets"]});
    let mut changes = vec![
        (
            "/webhooks/0/clientConfig",
            json!({"url": "https://192.0.2.9/validate"}),
        ),
        ("/webhooks/0/clientConfig/service/name", json!("other")),
        ("/webhooks/0/clientConfig/service/path", json!("/other")),
        ("/webhooks/0/rules/-", rule),
        (
            "/webhooks/0/failurePolicy",
            other("failurePolicy", "Ignore", "Fail"),
        ),
        ("/webhooks/0/matchPolicy", json!("Exact")),
        ("/webhooks/0/namespaceSelector", json!({})),
        (
            "/webhooks/0/objectSelector",
            json!({"matchLabels": {"a": "b"}}),
        ),
        ("/webhooks/0/timeoutSeconds", json!(30)),
        (
            "/webhooks/0/sideEffects",
            other("sideEffects", "None", "NoneOnDryRun"),
        ),
        ("/webhooks/0/matchConditions", json!([])),
        ("/webhooks/0/name", json!("other.gpu-capgate.io")),
        ("/metadata/labels/a", json!("b")),
        ("/metadata/annotations", json!({"a": "b"})),
        ("/metadata/finalizers", json!(["example.com/stay"])),
    ];
    if webhook["reinvocationPolicy"] == "IfNeeded" {
        changes.push(("/webhooks/0/reinvocationPolicy", json!("Never")));
    }
    changes
}
