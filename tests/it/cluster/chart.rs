//! The chart in the test cluster: installed, upgraded, and its webhook's Pods.

use super::harness::Cluster;

/// What picks the webhook's Pods.
pub(crate) const WEBHOOK_PODS: [&str; 2] = [
    "--namespace=gpu-capgate",
    "-l=app.kubernetes.io/component=webhook",
];
/// Waits until all of it is ready.
pub(crate) const WAIT: [&str; 2] = ["--wait", "--timeout=90s"];

/// Installs the chart, or upgrades what is installed.
pub(crate) fn apply(cluster: &Cluster, more: &[&str]) {
    let first = [
        "upgrade",
        "--install",
        "gpu-capgate",
        "charts/gpu-capgate",
        "--namespace=gpu-capgate",
        "--create-namespace",
        "--hide-notes",
    ];
    cluster.succeeds("helm", &[&first[..], more].concat());
}

/// Changes values that are in force without a restart, and has the kubelet look at once: else it does so
/// once a minute. `word` is one that was not said before.
pub(crate) fn reconfigure(cluster: &Cluster, values: &str, word: &str) {
    let values = format!("--set={values}");
    apply(cluster, &["--reuse-values", &values, WAIT[0], WAIT[1]]);
    let told = format!("told={word}");
    let annotate = ["annotate", "--overwrite", "pods", &told];
    cluster.kubectl(&[&annotate[..], &WEBHOOK_PODS].concat());
}

/// One field of each of the webhook's Pods, as a jsonpath below the Pod.
pub(crate) fn of_webhook_pods(cluster: &Cluster, field: &str) -> Vec<String> {
    let path = format!("-o=jsonpath={{range .items[*]}}{{{field}}}{{\"\\n\"}}{{end}}");
    let told = cluster.kubectl(&[&["get", "pods", &path][..], &WEBHOOK_PODS].concat());
    told.lines().map(str::to_owned).collect()
}
